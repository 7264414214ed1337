"""Whose fault it is that a daemon refuses a configuration, found in what the daemon says; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from hydria.dataplane.state import Rendered
from hydria.model.tree import Tree

# What HAProxy says of a configuration, one thing after the other, as the agent joins them.
_NEXT = re.compile(r"; (?=config : )")
_LINE = re.compile(r"\[[^\[\]\s]*haproxy\.cfg[^\[\]\s]*:(\d+)\]")  # "[haproxy.cfg.new:26]"
_GENERALITIES = re.compile(r"^(?:.*?haproxy: )?(?:config : )?(?:(?:parsing )?\[[^\]]*\] : )?", re.DOTALL)
_FILE = re.compile(r"[0-9a-f]{32}\.(?:pem|ca|crl)")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Culprits:
    """objects: id -> what is wrong with it. secrets: reference -> what is wrong with its content."""

    objects: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


def culprits(said: str, rendered: Rendered, tree: Tree) -> Culprits:
    """What a daemon names when it refuses a state that was rendered of this tree; empty if it names none.

    The content of a secret that is named is at fault, rather than the object that refers to it; and what else
    is said then may only follow from that. Where a line is named it is the line's owner; else the most
    particular object whose id is in the text.
    """
    objects: dict[str, str] = {}
    secrets: dict[str, str] = {}
    known = _particular_last(tree)
    for number, text in _parts(said):
        named = [rendered.references[name] for name in _FILE.findall(text) if name in rendered.references]
        for reference in named:
            secrets.setdefault(reference, text)
        owner = rendered.owners[number - 1] if 0 < number <= len(rendered.owners) else ""
        if not owner and not number:
            owner = max(_ID.findall(text), key=lambda found: known.get(found, -1), default="")
        if not named and owner in known:
            objects.setdefault(owner, text)
    if secrets:
        return Culprits({}, secrets)
    # A policy's line cannot be read when a rule that it names could not.
    follow = {rule.l7policy_id for rule in tree.l7rules if rule.id in objects}
    return Culprits({key: text for key, text in objects.items() if key not in follow})


def isolate(
    suspects: Sequence[str], accepts: Callable[[AbstractSet[str]], bool], *, at_once: bool
) -> AbstractSet[str] | None:
    """Which of the suspects have to be left out so that the rest is accepted, by trying.

    For a refusal that names nobody. accepts: whether the rest is accepted without these; what it has accepted
    is in force. One at a time comes first. Several only with ``at_once``, for then it begins with a single
    suspect alone, and takes up others one by one: nothing for an amphora that serves. None when no single one
    is accepted: it is not the objects' fault.
    """
    for suspect in suspects:
        if accepts({suspect}):
            return {suspect}
    if not at_once:
        return None
    for suspect in suspects:
        left_out = set(suspects) - {suspect}
        if accepts(left_out):
            break
    else:
        return None
    for suspect in suspects:
        if suspect in left_out and accepts(left_out - {suspect}):
            left_out.remove(suspect)
    return left_out


def _parts(said: str) -> Iterator[tuple[int, str]]:
    """Number of a line, 0 for none, and what is said of it."""
    for part in _NEXT.split(said):
        line = _LINE.search(part)
        text = _GENERALITIES.sub("", part, count=1)
        yield int(line[1]) if line else 0, f"It cannot be served, HAProxy says: {text}"


def _particular_last(tree: Tree) -> dict[str, int]:
    kinds = (tree.listeners, tree.pools, tree.members, tree.health_monitors, tree.l7policies, tree.l7rules)
    return {item.id: place for place, items in enumerate(kinds) for item in items}
