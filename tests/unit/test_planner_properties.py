"""What every plan has in common, whatever state a load balancer's amphorae are in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.planner import convergence
from hydria.planner.convergence import Activate, Build, Configure, Delete, Fence, Kind, Plan, ReleaseVip
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
def test_a_deletion_deletes_all(amphorae: list[Amphora]) -> None:
    found = plan(*amphorae, status="PENDING_DELETE")
    assert found.actions == (*map(Delete, amphorae), ReleaseVip())
    assert found.kind is Kind.DELETE


@given(states, topologies)
def test_each_role_is_there_once_and_nothing_else_is_left(
    amphorae: list[Amphora], topology: Topology
) -> None:
    found = plan(*amphorae, topology=topology)
    deleted = [action.amphora.id for action in found.of(Delete)]
    assert len(deleted) == len(set(deleted))
    resumed = {action.amphora.id: action.slot for action in found.of(Build) if action.amphora}
    configured = {action.amphora.id for action in found.of(Configure)}
    kept = [one for one in amphorae if one.id not in {*deleted, *resumed}]
    assert not (set(deleted) & configured | set(deleted) & set(resumed) | configured & set(resumed))
    built = [action.slot.role for action in found.of(Build)]
    assert sorted([*(one.role for one in kept), *built]) == ROLES[topology]
    assert all(one.status is AmphoraStatus.ALLOCATED for one in kept)
    assert {one.id for one in kept} == configured == {one.id for one in found.serving}, (
        "all say what they lack"
    )
    assert [action.slot for action in found.of(Activate)] == [action.slot for action in found.of(Build)]
    assert all(
        slot.role is next(one for one in amphorae if one.id == name).role for name, slot in resumed.items()
    )
    assert found.reason
    assert (found.kind is Kind.NOTHING) == (not found.actions)


@given(states, topologies)
def test_who_may_still_answer_is_fenced_before_another_takes_the_vip(
    amphorae: list[Amphora], topology: Topology
) -> None:
    found = plan(*amphorae, topology=topology)
    fenced = {action.amphora.id for action in found.of(Fence)}
    ended = {action.amphora.id: action.amphora for action in found.of(Delete)}
    assert fenced <= ended.keys()
    if found.of(Activate):
        for name, one in ended.items():
            assert (name in fenced) == (one.status is not AmphoraStatus.ALLOCATED)


@given(states, topologies)
def test_what_was_planned_and_done_needs_nothing_more(amphorae: list[Amphora], topology: Topology) -> None:
    found = plan(*amphorae, topology=topology)
    gone = {action.amphora.id for action in found.of(Delete)}
    gone |= {action.amphora.id for action in found.of(Build) if action.amphora}
    done = [amphora(one.id, role=one.role) for one in amphorae if one.id not in gone]
    done += [amphora(f"new-{number}", role=action.slot.role) for number, action in enumerate(found.of(Build))]
    assert plan(*done, topology=topology, applied=WANTED, status="ACTIVE").kind is Kind.NOTHING
