"""Who may do what (contract 2).

Every endpoint asks here, right after it has looked up the object that the request is about, or the parent
of one that is to be made: first 404, then 403, then whatever is wrong with the request (contract 1.20).
A rule is named by resource and action: ``loadbalancer:post`` is ``os_load-balancer_api:loadbalancer:post``.
What the rules say is in rules.py, who evaluates them in enforcement.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydria.api.call import Call
from hydria.model.errors import Forbidden
from hydria.model.resource import Declared, name_of

# Name of a resource -> its name in rules, where that is another.
_NAMES: Mapping[str, str] = {
    "flavorprofile": "flavor-profile",
    "availability_zone": "availability-zone",
    "availability_zone_profile": "availability-zone-profile",
}


def rule(resource: type[Declared], action: str) -> str:
    """The rule for an action (``get_one``, ``post``, …) on this kind of resource."""
    name = name_of(resource)
    return f"{_NAMES.get(name, name)}:{action}"


def authorize(call: Call, rule: str, project_id: str | None = None) -> None:
    """Raise Forbidden unless the caller may do this to an object of the project.

    project_id: the load balancer's, whatever is below it; None: what belongs to no project (flavors,
    providers), which is judged as if it were the caller's own.
    """
    if not call.services.policy.allows(call.caller, rule, project_id):
        raise forbidden()


def listed_project(call: Call, rule: str, asked: str | None) -> str | None:
    """The project that a list is restricted to; None when the caller may see those of all projects.

    rule: ``loadbalancer:get_all``, which has a twin ``loadbalancer:get_all-global``. asked: the project that
    the request names. Raises Forbidden when the caller may not see that one, or has none.
    """
    if call.services.policy.allows(call.caller, f"{rule}-global", asked or ""):
        return None
    project_id = asked or call.caller.project_id
    if not project_id:
        raise forbidden()
    authorize(call, rule, project_id)
    return project_id


def forbidden() -> Forbidden:
    """The refusal in the words that clients know."""
    return Forbidden("Policy does not allow this request to be performed.")
