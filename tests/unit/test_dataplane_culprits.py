"""Whose fault a refusal is; the sentences are HAProxy's (tests/node/test_dataplane_culprits.py asks it)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydria.dataplane.culprits import culprits, isolate
from hydria.dataplane.state import Rendered
from hydria.testing import trees as make
from hydria.wire.state import DesiredState

PEM = f"{'ab' * 16}.pem"
RENDERED = Rendered(DesiredState(1), ("", "", make.LISTENER, make.RULE, make.POLICY), {PEM: "local:web"})
TREE = make.tree(make.listener(), make.pool(), make.member(), make.policy(), make.rule())
REFUSED = "Amphora a0 refused generation 5: haproxy: "


@pytest.mark.parametrize(
    ("said", "objects", "secrets"),
    [
        ("config : parsing [haproxy.cfg.new:4] : regex is invalid.", [make.RULE], []),
        (
            "config : parsing [haproxy.cfg.new:4] : a; b.; config : parsing [haproxy.cfg.new:3] : c.",
            [make.RULE, make.LISTENER],
            [],
        ),
        # What follows from another thing is not said of anybody.
        (
            "config : parsing [haproxy.cfg:4] : a.; config : parsing [haproxy.cfg:5] : no such ACL.",
            [make.RULE],
            [],
        ),
        ("config : parsing [haproxy.cfg:5] : a.", [make.POLICY], []),
        (f"config : parsing [haproxy.cfg:3] : 'bind' : unable to load 'tls/{PEM}'.", [], ["local:web"]),
        (
            f"config : Proxy '{make.LISTENER}': unable to load 'tls/{PEM}' at [haproxy.cfg:3].",
            [],
            ["local:web"],
        ),
        (f"config : backend '{make.POOL}:{make.LISTENER}' has no sense.", [make.POOL], []),
        (f"Starting frontend {make.LISTENER}: cannot bind socket [[::1]:80]", [make.LISTENER], []),
        # A line of nobody's, a line that there is not, an id of another's, and nothing at all.
        ("config : parsing [haproxy.cfg:1] : unknown keyword.", [], []),
        ("config : parsing [haproxy.cfg:99] : unknown keyword.", [], []),
        (f"config : Proxy '{make.listener(7).id}' is odd.", [], []),
        ("out of memory", [], []),
    ],
)
def test_what_haproxy_names(said: str, objects: list[str], secrets: list[str]) -> None:
    found = culprits(REFUSED + said, RENDERED, TREE)
    assert (list(found.objects), list(found.secrets)) == (objects, secrets)
    assert all(REFUSED not in text and "parsing" not in text for text in found.objects.values())


SUSPECTS = [str(number) for number in range(6)]


def trying(bad: AbstractSet[str], *, at_once: bool) -> tuple[AbstractSet[str] | None, list[AbstractSet[str]]]:
    """What is found, and what was in force one after the other."""
    accepted: list[AbstractSet[str]] = []

    def accepts(left_out: AbstractSet[str]) -> bool:
        fine = bad <= left_out
        if fine:
            accepted.append(left_out)
        return fine

    return isolate(SUSPECTS, accepts, at_once=at_once), accepted


@given(st.sets(st.sampled_from(SUSPECTS), min_size=1))
def test_those_that_are_refused_are_found_by_trying(bad: set[str]) -> None:
    found, _ = trying(bad, at_once=True)
    assert found == (bad if len(bad) < len(SUSPECTS) else None), "if none is accepted it is not theirs"


@given(st.sets(st.sampled_from(SUSPECTS), min_size=1))
def test_what_serves_never_loses_more_than_one_by_it(bad: set[str]) -> None:
    found, accepted = trying(bad, at_once=False)
    assert found == (bad if len(bad) == 1 else None)
    assert accepted == ([bad] if len(bad) == 1 else [])
