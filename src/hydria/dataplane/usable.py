"""What of a tree can be served when something of it is unusable; pure.

The rule: never serve without a protection that was asked for, and never more than what is concerned.

- A listener without its certificate is not served. One certificate of several for names (SNI) may be missing:
  the clients that ask for that name get the default one, which they refuse, and all others are served.
- A listener that verifies its clients is not served without its CA, nor without its list of revoked
  certificates.
- A pool that lacks something of its TLS is connected to nowhere: its listeners answer 503 for it, or close
  the connection.
- A rule that cannot be used counts as met in an L7 policy that refuses requests (REJECT, and FIXED_RESPONSE
  with an error): the policy refuses whatever its other rules match, everything if it has none, rather than
  let through what it is there to stop. A FIXED_RESPONSE that cannot be used itself refuses as REJECT does.
- Any other L7 policy with an unusable rule decides nothing: without that rule it would send elsewhere, or
  change, more than it should.
- A pool without an unusable monitor is served unchecked.

What was changed into something that daemons refuse is served as it was before; what was added, is not served,
and an L7 policy that was served without a new rule goes on without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from hydria.model import recall, secrets
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.resource import Recalled
from hydria.model.statuses import ClientAuthentication, CompareType, PolicyAction, RuleType
from hydria.model.tree import Tree

R = TypeVar("R", bound=Recalled)
_WITHOUT_SNI = "The listener serves without it."
_NOT_SERVED = "The listener is not served until it can be used."
_POOL_NOT_SERVED = "The pool gets no traffic until it can be used."
_AS_BEFORE = "It is served as it was before."
_REFUSES_MORE = "refuses whatever its other rules match"
_ERRORS = 400
_KEPT = "Amphorae that have it go on with it."


@dataclass(frozen=True, slots=True)
class Unusable:
    """What cannot be used, each with the reason in words for the owner.

    missing: references to secrets that are not to be had. kept: those whose content the amphora has, and goes
    on with. refused: ids of objects that cannot be part of a configuration as they are; hopeless: those of
    them that could not as they were before either.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    hopeless: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Usable:
    """tree: what can be served. faults: id of an object -> why it is not served as it was wanted."""

    tree: Tree
    faults: Mapping[str, str]


def usable(tree: Tree, unusable: Unusable) -> Usable:
    """What of a tree of desired objects (:meth:`Tree.desired`) can be served.

    An object has a fault where it is the reason itself, or cannot work without what is. What it only belongs
    to, or refers to, has none.
    """
    if not (unusable.missing or unusable.kept or unusable.refused):
        return Usable(tree, {})
    faults: dict[str, str] = {}
    tree = _recalled(tree, unusable, faults)
    unusable = dataclasses.replace(
        unusable, refused={key: text for key, text in unusable.refused.items() if key not in faults}
    )
    balancer, refused = tree.load_balancer, unusable.refused
    listeners = [_listener(balancer, listener, unusable, faults) for listener in tree.listeners]
    pools = [_pool(balancer, pool, unusable, faults) for pool in tree.pools]
    empty = {after.id for before, after in zip(tree.pools, pools, strict=True) if before is not after}
    refusing = {policy.id for policy in tree.l7policies if _refuses(policy)}
    faulty = dict(_policies(tree, refused, refusing))
    plain = {policy.id for policy in tree.l7policies if policy.action is PolicyAction.REJECT}
    policies = {key for key in faulty if key not in refusing or (key in refused and key in plain)}
    added = _added(tree, refused)
    rules = [
        _met(rule) if rule.l7policy_id in refusing and rule.id in refused else rule for rule in tree.l7rules
    ]
    dropped = {
        rule.id
        for rule in tree.l7rules
        if rule.id in added
        or rule.l7policy_id in policies
        or (rule.id in refused and rule.l7policy_id not in refusing)
    }
    for item in tree.children():
        if item.id in refused:
            faults[item.id] = refused[item.id]
    return Usable(
        dataclasses.replace(
            tree,
            listeners=tuple(filter(None, listeners)),
            pools=tuple(pools),
            members=tuple(
                each for each in tree.members if each.pool_id not in empty and each.id not in refused
            ),
            health_monitors=tuple(
                each for each in tree.health_monitors if each.pool_id not in empty and each.id not in refused
            ),
            l7policies=tuple(
                _plainly(each) if each.id in refused else each
                for each in tree.l7policies
                if each.id not in policies
            ),
            l7rules=tuple(each for each in rules if each.id not in dropped),
        ).desired(),
        faults | faulty,
    )


def _recalled(tree: Tree, unusable: Unusable, faults: dict[str, str]) -> Tree:
    """The tree with what is refused as it was before, where it was served then."""
    tried = unusable.refused.keys() - unusable.hopeless

    def before(item: R) -> R:
        was = recall.as_before(item) if item.id in tried else None
        if was is None:
            return item
        faults[item.id] = f"{unusable.refused[item.id]} {_AS_BEFORE}"
        return was

    if not tried:
        return tree
    return dataclasses.replace(
        tree,
        listeners=tuple(map(before, tree.listeners)),
        pools=tuple(map(before, tree.pools)),
        health_monitors=tuple(map(before, tree.health_monitors)),
        l7policies=tuple(map(before, tree.l7policies)),
        l7rules=tuple(map(before, tree.l7rules)),
    )


def _refuses(policy: L7Policy) -> bool:
    """Whether it keeps requests from where they would go otherwise, and sends them nowhere else."""
    if policy.action is PolicyAction.FIXED_RESPONSE and policy.fixed_response is not None:
        return policy.fixed_response.status >= _ERRORS
    return policy.action is PolicyAction.REJECT


def _met(rule: L7Rule) -> L7Rule:
    """A rule in its place that every request meets: no method is written like that."""
    return msgspec.structs.replace(
        rule, type=RuleType.METHOD, compare_type=CompareType.EQUAL_TO, key_name=None, value="-", invert=True
    )


def _plainly(policy: L7Policy) -> L7Policy:
    return msgspec.structs.replace(policy, action=PolicyAction.REJECT, fixed_response=None)


def _added(tree: Tree, refused: Mapping[str, str]) -> AbstractSet[str]:
    """The refused rules without which a policy goes on as it was served before they came."""
    served = {policy.id for policy in tree.l7policies if not recall.never_served(policy)}
    rules = {rule.l7policy_id for rule in tree.l7rules if rule.id not in refused and rule.admin_state_up}
    return {
        rule.id
        for rule in tree.l7rules
        if rule.id in refused and recall.never_served(rule) and rule.l7policy_id in served & rules
    }


def _policies(
    tree: Tree, refused: Mapping[str, str], refusing: AbstractSet[str]
) -> Iterable[tuple[str, str]]:
    """The L7 policies that decide nothing, or refuse more than they should, each with the reason."""
    added = _added(tree, refused)
    for rule in tree.l7rules:
        if rule.id in refused and rule.id not in added:
            does = _REFUSES_MORE if rule.l7policy_id in refusing else "decides nothing"
            yield (
                rule.l7policy_id,
                f"Its rule {rule.id} cannot be used, so it {does}: {refused[rule.id]}",
            )
    for policy in tree.l7policies:
        if policy.id in refused and not any(rule.id in refused for rule in tree.rules_of(policy.id)):
            yield policy.id, refused[policy.id]


def _listener(
    balancer: LoadBalancer, listener: Listener, unusable: Unusable, faults: dict[str, str]
) -> Listener | None:
    """What can be served of a listener; None for nothing."""
    if listener.id in unusable.refused:
        return None
    if not secrets.uses_secrets(balancer, listener):
        return listener
    _note_kept(listener, unusable, faults)
    missing = unusable.missing
    verifies = listener.client_authentication is not ClientAuthentication.NONE
    # Whoever is not verified needs no CA, nor a list of those who are not accepted.
    of_clients = [listener.client_ca_tls_container_ref, listener.client_crl_container_ref]
    needed = [listener.default_tls_container_ref, *(of_clients if verifies else ())]
    for reference in needed:
        if reference in missing:
            faults[listener.id] = f"{missing[reference]} {_NOT_SERVED}"
            return None
    names = [reference for reference in listener.sni_container_refs if reference not in missing]
    if not names and not listener.default_tls_container_ref:
        faults[listener.id] = f"{missing[listener.sni_container_refs[0]]} {_NOT_SERVED}"
        return None
    lost = [*listener.sni_container_refs, *filter(None, of_clients)]
    for reference in lost:
        if reference in missing:
            faults[listener.id] = f"{missing[reference]} {_WITHOUT_SNI}"
    changes: dict[str, object] = {"sni_container_refs": names}
    if any(reference in missing for reference in of_clients):
        changes |= {"client_ca_tls_container_ref": None, "client_crl_container_ref": None}
    return msgspec.structs.replace(listener, **changes)


def _pool(balancer: LoadBalancer, pool: Pool, unusable: Unusable, faults: dict[str, str]) -> Pool:
    """The pool, or one of the same id that has nothing but that."""
    if pool.id in unusable.refused:
        return _emptied(pool)
    if not secrets.uses_secrets(balancer, pool):
        return pool
    _note_kept(pool, unusable, faults)
    for reference in secrets.of([pool]):
        if reference in unusable.missing:
            faults[pool.id] = f"{unusable.missing[reference]} {_POOL_NOT_SERVED}"
            return _emptied(pool)
    return pool


def _emptied(pool: Pool) -> Pool:
    """A pool whose members are left out goes on existing: what is sent to it must not go elsewhere."""
    return msgspec.structs.replace(pool, tls_enabled=False, session_persistence=None)


def _note_kept(item: Listener | Pool, unusable: Unusable, faults: dict[str, str]) -> None:
    for reference in secrets.of([item]):
        if reference in unusable.kept:
            faults[item.id] = f"{unusable.kept[reference]} {_KEPT}"
