"""Rules of L7 policies (contract 1.15)."""

from __future__ import annotations

from collections.abc import Mapping

from hydria.model.errors import Invalid
from hydria.model.l7policy import L7Policy
from hydria.model.rules import draft
from hydria.model.rules.modification import modification_fits
from hydria.model.statuses import ListenerProtocol, PolicyAction

MOST_RULES = 50  # of one policy
_DEFAULT_CODE = 302

# What each action needs; whatever else a policy has is of another action, and goes when the action comes.
# Of several, one is enough.
_FIELDS: Mapping[PolicyAction, tuple[str, ...]] = {
    PolicyAction.REDIRECT_TO_POOL: ("redirect_pool_id",),
    PolicyAction.REDIRECT_TO_URL: ("redirect_url",),
    PolicyAction.REDIRECT_PREFIX: ("redirect_prefix",),
    PolicyAction.FIXED_RESPONSE: ("fixed_response",),
    PolicyAction.MODIFY: ("header_changes", "url_rewrite"),
}
_MISSING = {"redirect_pool_id": "redirect_pool_id or redirect_pool must not be None"}
_SENDS_ELSEWHERE = (PolicyAction.REDIRECT_TO_URL, PolicyAction.REDIRECT_PREFIX)


def policy_created(values: Mapping[str, object], listener_protocol: ListenerProtocol) -> dict[str, object]:
    """A new policy's values, without what its action does not use, the code of a redirect filled in."""
    policies_allowed(listener_protocol)
    _one_target(values)
    return _completed(draft.created(L7Policy, values), dict(values))


def policy_updated(policy: L7Policy, changes: Mapping[str, object]) -> dict[str, object]:
    """A policy's changes; a target without an action says which action is meant."""
    if not changes:
        raise invalid_arguments("Invalid update options")
    _one_target(changes)
    completed = dict(changes)
    if "action" not in completed:
        meant = [action for action, fields in _FIELDS.items() if _given(completed, fields)]
        if len(meant) > 1:
            named = " and ".join(name for action in meant for name in _given(completed, _FIELDS[action]))
            raise invalid_arguments(f"Cannot specify {named} without an action")
        completed.update(action=meant[0] if meant else policy.action)
    completed = _completed(draft.updated(policy, completed), completed)
    # What was filled in and changes nothing is not part of the change.
    return {
        field: value
        for field, value in completed.items()
        if field in changes or value != getattr(policy, field)
    }


def policies_allowed(listener_protocol: ListenerProtocol) -> None:
    """Refuse policies on a listener that carries no traffic."""
    if listener_protocol is ListenerProtocol.PROMETHEUS:
        raise Invalid(f"Protocol {listener_protocol} listeners cannot have child objects.")


def invalid_arguments(detail: str) -> Invalid:
    """The error for attributes of a policy that do not go together."""
    return Invalid(f"Invalid L7 Policy arguments: {detail}")


def _given(values: Mapping[str, object], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if values.get(name) is not None]


def _one_target(given: Mapping[str, object]) -> None:
    if given.get("redirect_pool_id") and (given.get("redirect_url") or given.get("redirect_prefix")):
        raise invalid_arguments(
            "Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time"
        )


def _completed(policy: L7Policy, completed: dict[str, object]) -> dict[str, object]:
    """``completed`` with everything about the action of the policy that it leads to."""
    needed = _FIELDS.get(policy.action, ())
    if needed and all(getattr(policy, name) is None for name in needed):
        raise invalid_arguments(_MISSING.get(needed[0], f"{' or '.join(needed)} must not be None"))
    of_others = {name for names in _FIELDS.values() for name in names if name not in needed}
    completed.update(dict.fromkeys(sorted(of_others)))
    if needed:
        modification_fits(policy)
    code = policy.redirect_http_code or _DEFAULT_CODE
    completed["redirect_http_code"] = code if policy.action in _SENDS_ELSEWHERE else None
    return completed
