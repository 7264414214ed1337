"""What every plan has in common, whatever state a load balancer's amphorae are in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.planner import convergence
from hydria.planner.convergence import Kind, Plan
from hydria.testing import trees

WANTED = 7
ROLES = {Topology.SINGLE: ["STANDALONE"], Topology.ACTIVE_STANDBY: ["BACKUP", "MASTER"]}


def amphora(name: str, status: str = "ALLOCATED", role: str = "STANDALONE", applied: int = WANTED) -> Amphora:
    return Amphora(
        id=name, load_balancer_id=trees.BALANCER, status=AmphoraStatus(status), role=AmphoraRole(role),
        applied_generation=applied, created_at=trees.EPOCH,
    )  # fmt: skip


def plan(*amphorae: Amphora, status: str = "PENDING_UPDATE", applied: int = WANTED - 1, **more: Any) -> Plan:
    balancer = trees.load_balancer(
        generation=WANTED, applied_generation=applied, provisioning_status=ProvisioningStatus(status), **more
    )
    return convergence.plan(trees.tree(balancer), amphorae)


some = st.builds(
    amphora,
    st.uuids().map(str),
    st.sampled_from([str(status) for status in AmphoraStatus if status != "DELETED"]),
    st.sampled_from([str(role) for role in AmphoraRole]),
    st.integers(0, WANTED),
)
states = st.lists(some, max_size=5, unique_by=lambda one: one.id)
topologies = st.sampled_from(list(Topology))


@given(states)
def test_a_deletion_retires_all(amphorae: list[Amphora]) -> None:
    found = plan(*amphorae, status="PENDING_DELETE")
    assert found == Plan(Kind.DELETE, found.reason, retire=tuple(amphorae))


@given(states, topologies)
def test_each_role_is_there_once_and_nothing_else_is_left(
    amphorae: list[Amphora], topology: Topology
) -> None:
    found = plan(*amphorae, topology=topology)
    retired = {one.id for one in (*found.clear, *found.retire)}
    assert len(retired) == len(found.clear) + len(found.retire)
    resumed = {item.resumed.id for item in found.build if item.resumed}
    configured = {one.id for one in found.configure}
    kept = [one for one in amphorae if one.id not in retired | resumed]
    assert not (retired & configured | retired & resumed | configured & resumed)
    assert sorted([*(one.role for one in kept), *(item.role for item in found.build)]) == ROLES[topology]
    assert all(one.status is AmphoraStatus.ALLOCATED for one in kept)
    assert {one.id for one in kept} == configured, "all say what of it they cannot serve"
    assert all(one.applied_generation == 0 for one in found.clear)
    assert bool(found.build) or not found.clear
    assert all(item.resumed is None or item.resumed.role is item.role for item in found.build)
    assert found.reason
    assert (found.kind is Kind.NOTHING) == (not (found.build or found.configure or found.retire))


@given(states, topologies)
def test_what_was_planned_and_done_needs_nothing_more(amphorae: list[Amphora], topology: Topology) -> None:
    found = plan(*amphorae, topology=topology)
    gone = {one.id for one in (*found.clear, *found.retire)}
    gone |= {item.resumed.id for item in found.build if item.resumed}
    done = [amphora(one.id, role=one.role) for one in amphorae if one.id not in gone]
    done += [amphora(f"new-{number}", role=item.role) for number, item in enumerate(found.build)]
    assert plan(*done, topology=topology, applied=WANTED, status="ACTIVE").kind is Kind.NOTHING
