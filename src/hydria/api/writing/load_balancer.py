"""Changes of load balancers (contract 1.9), the fully populated create among them (1.10)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import cast

import sqlalchemy as sa

from hydria.api import policy
from hydria.api.call import Call
from hydria.api.writing import choices, graph, member, quota, requests, vip
from hydria.api.writing.change import Change, carry_out, known_id, open_balancer
from hydria.api.writing.choices import Choices
from hydria.model.errors import Busy, Invalid, NotFound, ProjectBusy, Unavailable, validation
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import build, parse_create, parse_update
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.providers import objects
from hydria.providers.registry import Completion, Provider
from hydria.store import changes, rows, tables

_DELETABLE = (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Order a load balancer, with everything below it that the request carries."""
    services, settings = call.services, call.services.settings
    given = requests.record(LoadBalancer, body)
    values = parse_create(LoadBalancer, given, services.defaults, ignored=LoadBalancer.children)
    identifier = str(uuid.uuid4())
    nested = graph.read(call, given, identifier)
    values["project_id"] = _project(call, values)
    _authorize_create(call, values)
    chosen = choices.read(call, values)
    values |= chosen.attributes(values, settings.controller_worker.loadbalancer_topology)
    source = vip.resolve(call, values, chosen.valid_vip_networks)
    nested = graph.judged(
        call,
        nested,
        source.expected_addresses,
        cast("list[str]", values["vip_sg_ids"]),
        sriov=chosen.member_sriov,
    )
    graph.judge_certificates(call, nested, str(values["project_id"]))
    member.check_subnets(call, nested.members)
    provider = chosen.provider(call, None if given.get("provider") is None else str(values["provider"]))
    provider.admit_extensions(LoadBalancer, values)
    graph.check_provider(provider, nested, source.expected_addresses)
    wanted = graph.counted(nested)
    limits = quota.foresee(call, str(values["project_id"]), wanted)
    claimed = vip.claim(services.network, provider, identifier, str(values["project_id"]), source, values)
    try:
        balancer = _new(call, provider, identifier, {**values, **claimed})
        tree = graph.grown(balancer, nested)

        def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
            quota.reserve(call, tx, balancer.project_id, wanted, limits)
            return _write(Change(call, tx, balancer, balancer.generation, chosen=[provider]), tree, chosen)

        return carry_out(call, work)
    except Unavailable as away:
        if isinstance(away, ProjectBusy):
            vip.release(services.network, claimed)
        # The database may have committed before it fell silent, so the port may be in use: if it is not,
        # housekeeping finds it.
        raise
    except BaseException:
        vip.release(services.network, claimed)
        raise


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a load balancer's own attributes."""
    given = parse_update(LoadBalancer, requests.record(LoadBalancer, body), call.services.defaults)
    if given.get("vip_sg_ids") or given.get("vip_qos_policy_id"):
        _check_guards(call, identifier, given)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_balancer(call, tx, identifier)
        change.authorize("loadbalancer:put")
        if "vip_sg_ids" in given:
            change.authorize("loadbalancer:put:vip_sg_ids")
        choices.groups_fit(change.balancer.vip_vnic_type, given)
        if given.get("vip_sg_ids"):
            _cidrs_fit(change)
        admit(change, (ProvisioningStatus.ACTIVE,))
        updated = change.update_balancer(given)
        shown = change.shown(updated)
        change.hand_over(
            "loadbalancer_update",
            objects.of(change.balancer, **change.choices()),
            objects.changed(LoadBalancer, updated.id, given),
        )
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Remove a load balancer; ``cascade``: with everything below it."""

    def work(tx: sa.Connection) -> tuple[None, Change]:
        change = open_balancer(call, tx, identifier)
        change.authorize("loadbalancer:delete")
        remaining = change.find_tree().desired()
        if not cascade and any(remaining.children()):
            raise validation(f"Cannot delete Load Balancer {change.balancer.id} - it has children")
        admit(change, _DELETABLE)
        change.touch(provisioning_status=ProvisioningStatus.PENDING_DELETE)
        change.hand_over("loadbalancer_delete", objects.of_tree(remaining, **change.choices()), cascade)
        return None, change

    carry_out(call, work)


def _new(call: Call, provider: Provider, identifier: str, values: Mapping[str, object]) -> LoadBalancer:
    return build(
        LoadBalancer,
        {
            **values,
            "id": identifier,
            "provider": provider.name,
            "provisioning_status": ProvisioningStatus.PENDING_CREATE,
            "operating_status": OperatingStatus.OFFLINE,
            "created_at": rows.now(),
            "generation": 1,
            "request_id": call.request_id,
            "applied_generation": int(provider.completion is Completion.REPORTED),
        },
    )


def _write(change: Change, tree: Tree, chosen: Choices) -> tuple[dict[str, object], Change]:
    tx = change.tx
    chosen.hold(tx)
    changes.add_load_balancer(tx, tree.load_balancer)
    below = (
        tree.pools, tree.listeners, tree.members, tree.health_monitors, tree.l7policies, tree.l7rules,
        tree.limit_policies, tree.limit_rules,
    )  # fmt: skip
    for items in below:
        rows.insert(tx, items)
    change.hand_over("loadbalancer_create", objects.of_tree(tree, **chosen.expanded()))
    return graph.shown(tree), change


def admit(change: Change, classic: tuple[ProvisioningStatus, ...]) -> None:
    """Raise Busy unless the load balancer itself may change; ``classic``: when, for providers that lock."""
    status = change.balancer.provisioning_status
    if status.going or (change.classic and status not in classic):
        raise Busy(f"Invalid state {status} of loadbalancer resource {change.balancer.id}")
    change.require_match(change.balancer)


def _check_guards(call: Call, identifier: str, given: Mapping[str, object]) -> None:
    """Raise Invalid for what the network service does not have, before the transaction, for that asks it.

    But NotFound or Forbidden where the load balancer itself is in the way (contract 1.20).
    """
    with call.services.store.read() as tx:
        found = rows.load_one(tx, LoadBalancer, known_id(LoadBalancer, identifier))
    if found is None or found.provisioning_status is ProvisioningStatus.DELETED:
        raise NotFound(LoadBalancer.label, identifier)
    policy.authorize(call, "loadbalancer:put", found.project_id)
    vip.check_guards(call.network, given)


def _cidrs_fit(change: Change) -> None:
    """Raise Invalid where listeners say themselves who is admitted, which security groups would, too."""
    owned = tables.listeners.c.load_balancer_id == change.balancer.id
    if any(each.desired and each.allowed_cidrs for each in rows.load(change.tx, Listener, owned)):
        raise validation("Allowed CIDRs are not allowed when using custom VIP Security Groups.")


def _project(call: Call, values: Mapping[str, object]) -> str:
    project_id = values["project_id"] or call.caller.project_id
    if not project_id:
        raise Invalid(
            "Missing project ID in request where one is required. An administrator should check the keystone"
            " settings in the Octavia configuration."
        )
    return str(project_id)


def _authorize_create(call: Call, values: Mapping[str, object]) -> None:
    project_id = str(values["project_id"])
    policy.authorize(call, "loadbalancer:post", project_id)
    if values["vip_sg_ids"]:
        policy.authorize(call, "loadbalancer:post:vip_sg_ids", project_id)
