"""The rules as they are unless a policy file says otherwise, in Octavia's names (contract 2.1, 2.2).

Data alone: oslo.policy's objects are made of it in enforcement.py, docs/reference/policies.md as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PREFIX = "os_load-balancer_api:"

_OWN = "project_id:%(project_id)s"
_MEMBER = "rule:load-balancer:member_and_owner"
_OBSERVER = "rule:load-balancer:observer_and_owner"
_GLOBAL = "rule:load-balancer:global_observer"
_QUOTA = "rule:load-balancer:quota-admin"
_ADMIN = "rule:load-balancer:admin"


@dataclass(frozen=True, slots=True)
class Block:
    """A rule that others are built of: a role.

    old: what else is enough while ``[oslo_policy] enforce_new_defaults`` is off: the rule before Keystone had
    roles of its own for reading and for changing.
    """

    name: str
    check: str
    text: str
    old: str = ""


BLOCKS = (
    Block(
        "context_is_admin",
        "role:admin",
        "Who counts as is_admin:True",
        old="role:admin or role:load-balancer_admin",
    ),
    Block(
        "load-balancer:admin",
        "is_admin:True or role:admin",
        "Administrators of the deployment",
        old="is_admin:True or role:admin or role:load-balancer_admin",
    ),
    Block("load-balancer:owner", _OWN, "Whose project the load balancer is of"),
    Block("project-member", f"role:member and {_OWN}", "Those who change things in their project"),
    Block("project-reader", f"role:reader and {_OWN}", "Those who look at things in their project"),
    Block(
        "load-balancer:member_and_owner",
        "rule:project-member",
        "Who may change load balancers of the project",
        old="role:load-balancer_member and rule:load-balancer:owner",
    ),
    Block(
        "load-balancer:observer_and_owner",
        "rule:project-reader",
        "Who may look at load balancers of the project",
        old="role:load-balancer_observer and rule:load-balancer:owner",
    ),
    Block(
        "load-balancer:global_observer",
        "role:admin",
        "Who may look at the load balancers of all projects",
        old="role:load-balancer_global_observer",
    ),
    Block(
        "load-balancer:quota-admin",
        "role:admin",
        "Who may look at and change the quotas of all projects",
        old="role:load-balancer_quota_admin",
    ),
    Block("service", "role:service", "Other services"),
    Block("load-balancer:read", f"{_OBSERVER} or {_GLOBAL} or {_MEMBER} or {_ADMIN}", "Look"),
    Block("load-balancer:read-global", f"{_GLOBAL} or {_ADMIN}", "Look at all projects"),
    Block("load-balancer:write", f"{_MEMBER} or {_ADMIN}", "Change"),
    Block(
        "load-balancer:read-quota",
        f"{_OBSERVER} or {_GLOBAL} or {_MEMBER} or {_QUOTA} or {_ADMIN}",
        "Look at quotas",
    ),
    Block(
        "load-balancer:read-quota-global",
        f"{_GLOBAL} or {_QUOTA} or {_ADMIN}",
        "Look at the quotas of all projects",
    ),
    Block("load-balancer:write-quota", f"{_QUOTA} or {_ADMIN}", "Change quotas"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may send a request. ``operations``: method and path of each request that asks for it."""

    name: str
    check: str
    text: str
    operations: tuple[tuple[str, str], ...]

    @property
    def full_name(self) -> str:
        """The name in policy files."""
        return PREFIX + self.name


_LBAAS = "/v2/lbaas"
_AMPHORAE = "/v2/octavia/amphorae"
_READ = "rule:load-balancer:read"
_READ_GLOBAL = "rule:load-balancer:read-global"
_WRITE = "rule:load-balancer:write"

# Of these the operator decides. ``read`` is who may look at them.
_OPERATORS = (
    ("flavor", "flavor", f"{_LBAAS}/flavors", "id", _READ),
    ("flavor-profile", "flavor profile", f"{_LBAAS}/flavorprofiles", "id", _ADMIN),
    ("availability-zone", "availability zone", f"{_LBAAS}/availabilityzones", "name", _READ),
    (
        "availability-zone-profile",
        "availability zone profile",
        f"{_LBAAS}/availabilityzoneprofiles",
        "id",
        _ADMIN,
    ),
)


def rules() -> Iterator[Rule]:
    """Every rule that a request is judged by."""
    yield from _load_balancer()
    yield from _owned("listener", "listener", f"{_LBAAS}/listeners")
    yield Rule(
        "listener:get_stats",
        _READ,
        "Show what a listener has carried",
        (("GET", f"{_LBAAS}/listeners/{{id}}/stats"),),
    )
    yield from _owned("pool", "pool", f"{_LBAAS}/pools")
    yield from _child("member", "member", f"{_LBAAS}/pools/{{pool_id}}/members", f"{_READ} or rule:service")
    yield from _owned("healthmonitor", "health monitor", f"{_LBAAS}/healthmonitors")
    yield from _owned("l7policy", "L7 policy", f"{_LBAAS}/l7policies")
    yield from _child("l7rule", "L7 rule", f"{_LBAAS}/l7policies/{{l7policy_id}}/rules", _READ)
    yield from _owned("ratelimitpolicy", "rate limit policy", f"{_LBAAS}/ratelimitpolicies")
    limits = f"{_LBAAS}/ratelimitpolicies/{{rate_limit_policy_id}}/rules"
    yield from _child("ratelimitrule", "rate limit rule", limits, _READ)
    yield from _quota()
    for name, label, path, key, read in _OPERATORS:
        yield from _single(name, label, path, key, read, read, _ADMIN)
    yield from _provider()
    yield from _amphora()


def _load_balancer() -> Iterator[Rule]:
    path = f"{_LBAAS}/loadbalancers"
    one = f"{path}/{{id}}"
    yield from _owned("loadbalancer", "load balancer", path)
    for action, check, text, method, where in (
        ("get_stats", _READ, "Show what a load balancer has carried", "GET", f"{one}/stats"),
        (
            "get_status",
            _READ,
            "Show the statuses of a load balancer and all below it",
            "GET",
            f"{one}/status",
        ),
        (
            "post:vip_sg_ids",
            _WRITE,
            "Name security groups for the VIP of a new load balancer",
            "POST",
            path,
        ),
        ("put:vip_sg_ids", _WRITE, "Change the security groups of the VIP", "PUT", one),
        ("put_failover", _ADMIN, "Replace the amphorae of a load balancer", "PUT", f"{one}/failover"),
    ):
        yield Rule(f"loadbalancer:{action}", check, text, ((method, where),))


def _owned(name: str, label: str, path: str) -> Iterator[Rule]:
    """What belongs to a project and is listed over all of them."""
    yield Rule(
        f"{name}:get_all-global",
        _READ_GLOBAL,
        f"List every {label} of all projects",
        (("GET", path),),
    )
    yield from _single(name, label, path, "id", _READ, _READ, _WRITE)


def _child(name: str, label: str, path: str, listed: str) -> Iterator[Rule]:
    """What is listed below its parent, and judged by the project of that."""
    for rule in _single(name, label, path, "id", listed, _READ, _WRITE):
        if name == "member" and rule.name in ("member:post", "member:put", "member:delete"):
            # The whole list in one request asks for all three, or with additive_only for the first two.
            yield Rule(rule.name, rule.check, rule.text, (*rule.operations, ("PUT", path)))
        else:
            yield rule


def _single(name: str, label: str, path: str, key: str, listed: str, read: str, write: str) -> Iterator[Rule]:
    one = f"{path}/{{{key}}}"
    article = "an" if label[0] in "aL" else "a"
    yield Rule(f"{name}:get_all", listed, f"List every {label} that the caller may see", (("GET", path),))
    yield Rule(f"{name}:get_one", read, f"Show {article} {label}", (("GET", one),))
    yield Rule(f"{name}:post", write, f"Create {article} {label}", (("POST", path),))
    yield Rule(f"{name}:put", write, f"Change {article} {label}", (("PUT", one),))
    yield Rule(f"{name}:delete", write, f"Remove {article} {label}", (("DELETE", one),))


def _quota() -> Iterator[Rule]:
    path = f"{_LBAAS}/quotas"
    one = f"{path}/{{project_id}}"
    read = "rule:load-balancer:read-quota"
    write = "rule:load-balancer:write-quota"
    yield Rule(
        "quota:get_all-global",
        "rule:load-balancer:read-quota-global",
        "List the quotas of all projects",
        (("GET", path),),
    )
    yield Rule("quota:get_all", read, "List the quotas that the caller may see", (("GET", path),))
    shown = (("GET", one), ("GET", f"{one}/usage"))
    yield Rule("quota:get_one", read, "Show the quotas of a project, and what it uses of them", shown)
    yield Rule(
        "quota:get_defaults", read, "Show the quotas of projects without any", (("GET", f"{one}/default"),)
    )
    yield Rule("quota:put", write, "Change the quotas of a project", (("PUT", one),))
    yield Rule("quota:delete", write, "Have the default quotas for a project again", (("DELETE", one),))


def _provider() -> Iterator[Rule]:
    path = f"{_LBAAS}/providers"
    yield Rule("provider:get_all", _READ, "List the enabled providers", (("GET", path),))
    yield Rule(
        "provider-flavor:get_all",
        _ADMIN,
        "List what flavors of a provider can say",
        (("GET", f"{path}/{{provider}}/flavor_capabilities"),),
    )
    yield Rule(
        "provider-availability-zone:get_all",
        _ADMIN,
        "List what availability zones of a provider can say",
        (("GET", f"{path}/{{provider}}/availability_zone_capabilities"),),
    )


def _amphora() -> Iterator[Rule]:
    one = f"{_AMPHORAE}/{{id}}"
    for action, text, method, path in (
        ("get_all", "List amphorae", "GET", _AMPHORAE),
        ("get_one", "Show an amphora", "GET", one),
        ("delete", "Remove an amphora", "DELETE", one),
        ("put_config", "Have an amphora's agent configured anew", "PUT", f"{one}/config"),
        ("put_failover", "Replace an amphora", "PUT", f"{one}/failover"),
        ("get_stats", "Show what an amphora has carried", "GET", f"{one}/stats"),
    ):
        yield Rule(f"amphora:{action}", _ADMIN, text, ((method, path),))
