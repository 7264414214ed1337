"""What is to be done for a load balancer, whatever state its amphorae are in."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.planner import convergence
from hydria.planner.convergence import Build, Kind, Plan
from hydria.testing import trees

WANTED = 7


def amphora(name: str, status: str = "ALLOCATED", role: str = "STANDALONE", applied: int = WANTED) -> Amphora:
    return Amphora(
        id=name, load_balancer_id=trees.BALANCER, status=AmphoraStatus(status), role=AmphoraRole(role),
        applied_generation=applied, created_at=trees.EPOCH,
    )  # fmt: skip


def plan(*amphorae: Amphora, **more: Any) -> Plan:
    given = {
        "generation": WANTED,
        "applied_generation": WANTED - 1,
        "provisioning_status": "PENDING_UPDATE",
        **more,
    }
    given["provisioning_status"] = ProvisioningStatus(given["provisioning_status"])
    return convergence.plan(trees.tree(trees.load_balancer(**given)), amphorae)


def outline(found: Plan) -> tuple[str, list[tuple[str, str | None]], list[str], list[str]]:
    """Kind, what is built (role, what it resumes), what is configured, what is retired."""
    return (
        str(found.kind),
        [(str(item.role), item.resumed.id if item.resumed else None) for item in found.build],
        [one.id for one in found.configure],
        [one.id for one in found.retire],
    )


SINGLE = [
    ("nothing there", [], ("create", [("STANDALONE", None)], [], [])),
    ("an interrupted build", [amphora("b", "BOOTING", applied=0)], ("create", [("STANDALONE", "b")], [], [])),
    (
        "two interrupted builds",
        [amphora("b", "BOOTING", applied=0), amphora("c", "BOOTING", applied=0)],
        ("create", [("STANDALONE", "b")], [], ["c"]),
    ),
    ("a failed build", [amphora("e", "ERROR", applied=0)], ("replace", [("STANDALONE", None)], [], ["e"])),
    (
        "a failed build and its successor",
        [amphora("e", "ERROR", applied=0), amphora("b", "BOOTING", applied=0)],
        ("replace", [("STANDALONE", "b")], [], ["e"]),
    ),
    ("behind", [amphora("a", applied=WANTED - 1)], ("configure", [], ["a"], [])),
    ("serving already", [amphora("a")], ("nothing", [], [], [])),
    ("serving, a retirement interrupted", [amphora("a"), amphora("p", "PENDING_DELETE")], ("configure", [], [], ["p"])),
    (
        "behind, with remains of two kinds",
        [amphora("a", applied=1), amphora("b", "BOOTING", applied=0), amphora("e", "ERROR")],
        ("configure", [], ["a"], ["e", "b"]),
    ),
    ("dead", [amphora("d", "ERROR")], ("replace", [("STANDALONE", None)], [], ["d"])),
    ("retired but not replaced", [amphora("p", "PENDING_DELETE")], ("replace", [("STANDALONE", None)], [], ["p"])),
    ("two with the VIP", [amphora("old", applied=WANTED - 1), amphora("new")], ("configure", [], [], ["old"])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("amphorae", "expected"), [case[1:] for case in SINGLE], ids=[case[0] for case in SINGLE]
)
def test_single(amphorae: Sequence[Amphora], expected: object) -> None:
    assert outline(plan(*amphorae)) == expected


PAIR = [
    ("nothing there", [], ("create", [("MASTER", None), ("BACKUP", None)], [], [])),
    (
        "one dead",
        [amphora("m", "ERROR", "MASTER"), amphora("b", role="BACKUP", applied=3)],
        ("replace", [("MASTER", None)], ["b"], ["m"]),
    ),
    (
        "one missing, its build interrupted",
        [amphora("m", role="MASTER"), amphora("b", "BOOTING", "BACKUP", 0)],
        ("replace", [("BACKUP", "b")], ["m"], []),
    ),
    (
        "one behind",
        [amphora("m", role="MASTER"), amphora("b", role="BACKUP", applied=3)],
        ("configure", [], ["b"], []),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("amphorae", "expected"), [case[1:] for case in PAIR], ids=[case[0] for case in PAIR]
)
def test_pair(amphorae: Sequence[Amphora], expected: object) -> None:
    assert outline(plan(*amphorae, topology=Topology.ACTIVE_STANDBY)) == expected


def test_an_error_is_tried_again_like_anything_else() -> None:
    assert plan(amphora("a", applied=1), provisioning_status="ERROR").kind is Kind.CONFIGURE
    assert plan(provisioning_status="ERROR").kind is Kind.CREATE


some = st.builds(
    amphora,
    st.uuids().map(str),
    st.sampled_from([str(status) for status in AmphoraStatus if status != "DELETED"]),
    st.sampled_from([str(role) for role in AmphoraRole]),
    st.integers(0, WANTED),
)
states = st.lists(some, max_size=5, unique_by=lambda one: one.id)


@given(states)
def test_a_deletion_retires_all(amphorae: list[Amphora]) -> None:
    found = plan(*amphorae, provisioning_status="PENDING_DELETE")
    assert found == Plan(Kind.DELETE, found.reason, retire=tuple(amphorae))


@given(states, st.sampled_from(list(Topology)))
def test_what_every_plan_has_in_common(amphorae: list[Amphora], topology: Topology) -> None:
    found = plan(*amphorae, topology=topology)
    roles = {Topology.SINGLE: ["STANDALONE"], Topology.ACTIVE_STANDBY: ["BACKUP", "MASTER"]}[topology]
    retired = {one.id for one in found.retire}
    resumed = {item.resumed.id for item in found.build if item.resumed}
    configured = {one.id for one in found.configure}
    kept = [one for one in amphorae if one.id not in retired | resumed]
    assert not (retired & configured | retired & resumed | configured & resumed)
    assert sorted([*(one.role for one in kept), *(item.role for item in found.build)]) == roles, (
        "each role once"
    )
    assert all(one.status is AmphoraStatus.ALLOCATED for one in kept), "nothing else is left"
    stale = {one.id for one in kept if one.applied_generation < WANTED}
    assert stale <= configured
    assert found.reason
    assert (found.kind is Kind.NOTHING) == (not (found.build or found.configure or found.retire))


@given(states, st.sampled_from(list(Topology)))
def test_what_was_planned_and_done_needs_nothing_more(amphorae: list[Amphora], topology: Topology) -> None:
    found = plan(*amphorae, topology=topology)
    retired = {one.id for one in found.retire} | {item.resumed.id for item in found.build if item.resumed}
    kept = [one.id for one in amphorae if one.id not in retired]
    roles = {one.id: one.role for one in amphorae}
    done = [amphora(name, role=roles[name]) for name in kept]
    done += [amphora(f"new-{number}", role=item.role) for number, item in enumerate(found.build)]
    assert plan(*done, topology=topology).kind is Kind.NOTHING


def test_a_build_is_of_its_role() -> None:
    pair = plan(
        amphora("b", "BOOTING", "BACKUP", 0), amphora("m", "BOOTING", "MASTER", 0), topology=Topology.ACTIVE_STANDBY
    )  # fmt: skip
    assert [item.resumed.id for item in pair.build if item.resumed] == ["m", "b"]
    assert all(item == Build(item.role, item.resumed) for item in pair.build)


@pytest.mark.parametrize(
    ("attempts", "delay"), [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10**6, 60.0)]
)
def test_retries_are_further_and_further_apart(attempts: int, delay: float) -> None:
    assert convergence.retry_delay(attempts, 1.0, 60.0) == delay
