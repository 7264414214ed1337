"""What heartbeats mean (contract 1.8): each case is a tree, a report, and the statuses that follow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hydria.model.resource import Resource
from hydria.model.statuses import AmphoraRole, OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.planner.health import Observed, Voice, believed, changed_statuses, unserved_statuses
from hydria.testing import trees as make
from hydria.wire.heartbeat import ListenerReport, Report

LB, LISTENER, POOL, MEMBER, MONITOR = make.BALANCER, make.LISTENER, make.POOL, make.MEMBER, make.MONITOR
SECOND = make.member(2).id


def report(
    members: dict[str, str] | None = None, *, listeners: Any = None, pools: Any = None, **more: Any
) -> Report:
    """Of the usual tree, with an open listener and a pool, unless told otherwise."""
    return Report(
        "a1", 1, 1, **{"generation": 1, "haproxy": True, **more},
        listeners={name: ListenerReport(status) for name, status in ({LISTENER: "OPEN"} if listeners is None else listeners).items()},
        pools={POOL: "UP"} if pools is None else pools, members=members or {},
    )  # fmt: skip


def balancer(**attributes: Any) -> Any:
    return make.load_balancer(generation=1, applied_generation=1, **attributes)


def usual(*more: Resource, **attributes: Any) -> Tree:
    """An HTTP listener, its pool, two members and a monitor."""
    return make.tree(
        balancer(**attributes), make.listener(default_pool_id=POOL), make.pool(), make.member(1), make.member(2),
        make.monitor(), *more,
    )  # fmt: skip


def after(tree: Tree, heard: Report) -> dict[str, str]:
    """Every object's operating status once the report is written; all were DRAINING before."""

    def unknown(item: Any) -> Any:
        return msgspec.structs.replace(item, operating_status=OperatingStatus.DRAINING)

    blank = Tree(
        unknown(tree.load_balancer),
        *(
            tuple(map(unknown, group))
            for group in (tree.listeners, tree.pools, tree.members, tree.health_monitors)
        ),
    )
    found = {item.id: "?" for item in (blank.load_balancer, *blank.children())}
    found |= {item.id: str(status) for item, status in changed_statuses(Observed.of(blank), heard)}
    return {name: "DRAINING" if status == "?" else status for name, status in found.items()}


ALL_UP = {MEMBER: "UP", SECOND: "UP"}


@pytest.mark.parametrize(
    ("first", "second", "pool", "whole"),
    [
        ("UP", "UP", "ONLINE", "ONLINE"),
        ("UP", "DOWN", "DEGRADED", "DEGRADED"),
        ("DOWN", "DOWN", "ERROR", "ERROR"),
        ("NO_CHECK", "NO_CHECK", "ONLINE", "ONLINE"),
        ("UP", "MAINT", "ONLINE", "ONLINE"),
        ("DOWN", "MAINT", "ERROR", "ERROR"),
        ("MAINT", "MAINT", "ERROR", "ERROR"),
    ],
)
def test_a_pool_is_as_good_as_its_members(first: str, second: str, pool: str, whole: str) -> None:
    statuses = after(usual(), report({MEMBER: first, SECOND: second}))
    assert (statuses[POOL], statuses[LB], statuses[LISTENER]) == (pool, whole, "ONLINE")


@pytest.mark.parametrize(
    ("said", "meant"),
    [("UP", "ONLINE"), ("DOWN", "ERROR"), ("DRAIN", "DRAINING"), ("MAINT", "OFFLINE"), ("NO_CHECK", "NO_MONITOR")],
)  # fmt: skip
def test_words_for_members(said: str, meant: str) -> None:
    assert after(usual(), report({MEMBER: said, SECOND: "UP"}))[MEMBER] == meant


def test_weight_0_with_a_monitor_drains_and_does_not_degrade() -> None:
    tree = make.tree(
        balancer(), make.listener(default_pool_id=POOL), make.pool(), make.member(1, weight=0), make.member(2),
        make.monitor(),
    )  # fmt: skip
    statuses = after(tree, report({MEMBER: "DRAIN", SECOND: "UP"}))
    assert (statuses[MEMBER], statuses[POOL], statuses[LB]) == ("DRAINING", "ONLINE", "ONLINE")


def test_weight_0_without_a_monitor() -> None:
    tree = make.tree(
        balancer(), make.listener(default_pool_id=POOL), make.pool(), make.member(1, weight=0), make.member(2)
    )
    statuses = after(tree, report({MEMBER: "NO_CHECK", SECOND: "NO_CHECK"}))
    assert (statuses[MEMBER], statuses[POOL]) == ("NO_MONITOR", "ONLINE")


@pytest.mark.parametrize("said", ["DRAIN", "NO_CHECK"])
def test_a_pool_in_which_nobody_has_weight_serves_nobody(said: str) -> None:
    tree = make.tree(balancer(), make.listener(default_pool_id=POOL), make.pool(), make.member(1, weight=0))
    assert after(tree, report({MEMBER: said}))[POOL] == "ERROR"


def test_an_empty_pool_is_online() -> None:
    tree = make.tree(balancer(), make.listener(default_pool_id=POOL), make.pool())
    statuses = after(tree, report())
    assert (statuses[POOL], statuses[LB]) == ("ONLINE", "ONLINE")


def test_a_pool_whose_last_member_leaves_is_empty() -> None:
    leaving = make.member(1, provisioning_status=ProvisioningStatus.PENDING_DELETE)
    tree = make.tree(balancer(), make.listener(default_pool_id=POOL), make.pool(), leaving)
    assert after(tree, report({MEMBER: "DOWN"}))[POOL] == "ONLINE"


def test_a_member_that_is_not_there_yet_stays_as_it_is_and_counts_for_nothing() -> None:
    new = make.member(3, provisioning_status=ProvisioningStatus.PENDING_CREATE)
    statuses = after(usual(new), report(ALL_UP))
    assert (statuses[new.id], statuses[POOL]) == ("DRAINING", "ONLINE")
    first = make.member(1, provisioning_status=ProvisioningStatus.PENDING_CREATE)
    tree = make.tree(balancer(), make.listener(default_pool_id=POOL), make.pool(), first, make.monitor())
    assert after(tree, report())[POOL] == "ONLINE"


def test_a_pool_that_nobody_uses() -> None:
    unused = make.pool(2)
    idle = make.member(3, pool_id=unused.id)
    statuses = after(usual(unused, idle), report(ALL_UP))
    assert (statuses[unused.id], statuses[idle.id], statuses[LB]) == ("OFFLINE", "OFFLINE", "ONLINE")


def test_a_disabled_load_balancer_is_offline_with_all_below() -> None:
    statuses = after(usual(admin_state_up=False), report(listeners={}, pools={}))
    assert {statuses[name] for name in (LB, LISTENER, POOL, MEMBER)} == {"OFFLINE"}


def test_a_disabled_listener_is_offline_and_no_error() -> None:
    tree = make.tree(
        balancer(), make.listener(default_pool_id=POOL, admin_state_up=False), make.pool(), make.member(1)
    )
    statuses = after(tree, report(listeners={}, pools={}))
    assert (statuses[LISTENER], statuses[POOL], statuses[MEMBER], statuses[LB]) == (
        "OFFLINE", "OFFLINE", "OFFLINE", "ONLINE",
    )  # fmt: skip


def test_a_disabled_pool_is_offline() -> None:
    tree = make.tree(
        balancer(), make.listener(default_pool_id=POOL), make.pool(admin_state_up=False), make.member(1)
    )
    statuses = after(tree, report(pools={}))
    assert (statuses[LISTENER], statuses[POOL], statuses[MEMBER], statuses[LB]) == (
        "ONLINE", "OFFLINE", "OFFLINE", "ONLINE",
    )  # fmt: skip


def test_a_listener_that_is_full_degrades() -> None:
    statuses = after(usual(), report(ALL_UP, listeners={LISTENER: "FULL"}))
    assert (statuses[LISTENER], statuses[LB]) == ("DEGRADED", "DEGRADED")


def test_a_listener_that_should_be_there_is_an_error() -> None:
    statuses = after(usual(), report(ALL_UP, listeners={}))
    assert (statuses[LISTENER], statuses[LB]) == ("ERROR", "ERROR")


def test_a_listener_that_is_being_made_is_not() -> None:
    new = make.listener(2, provisioning_status=ProvisioningStatus.PENDING_CREATE)
    statuses = after(usual(new, provisioning_status=ProvisioningStatus.PENDING_UPDATE), report(ALL_UP))
    assert (statuses[new.id], statuses[LB]) == ("OFFLINE", "ONLINE")


def test_a_pool_of_two_listeners_counts_once() -> None:
    second = make.listener(2, default_pool_id=POOL)
    statuses = after(
        usual(second),
        report({MEMBER: "UP", SECOND: "DOWN"}, listeners={LISTENER: "OPEN", second.id: "OPEN"}),
    )
    assert (statuses[POOL], statuses[LISTENER], statuses[second.id]) == ("DEGRADED", "ONLINE", "ONLINE")


def test_monitors() -> None:
    assert after(usual(), report(ALL_UP))[MONITOR] == "ONLINE"
    tree = make.tree(balancer(), make.pool(), make.monitor(admin_state_up=False))
    assert after(tree, report())[MONITOR] == "OFFLINE"


def test_an_amphora_whose_haproxy_has_ended_serves_nothing() -> None:
    statuses = after(usual(), report(ALL_UP, haproxy=False))
    assert (statuses[LISTENER], statuses[LB]) == ("ERROR", "ERROR")


def test_what_was_sent_before_the_last_change_says_nothing() -> None:
    tree = make.tree(make.load_balancer(generation=2, applied_generation=2), make.listener())
    assert changed_statuses(Observed.of(tree), report(generation=1)) == []


def test_what_is_as_reported_is_not_written() -> None:
    assert changed_statuses(Observed.of(usual()), report(ALL_UP)) == []


@pytest.mark.parametrize("status", ["ACTIVE", "PENDING_UPDATE"])
def test_a_listener_that_is_left_out_is_in_error_whatever_is_being_changed(status: str) -> None:
    left_out = make.listener(2, provisioning_status=ProvisioningStatus.ERROR)
    statuses = after(usual(left_out, provisioning_status=ProvisioningStatus(status)), report(ALL_UP))
    assert (statuses[left_out.id], statuses[LISTENER], statuses[LB]) == ("ERROR", "ONLINE", "ERROR")


def test_a_listener_that_goes_on_with_what_amphorae_have_is_online() -> None:
    tree = make.tree(balancer(), make.listener(provisioning_status=ProvisioningStatus.ERROR))
    assert after(tree, report())[LISTENER] == "ONLINE"


def test_a_pool_whose_members_are_left_out_is_in_error() -> None:
    pool = make.pool(provisioning_status=ProvisioningStatus.ERROR)
    tree = make.tree(balancer(), make.listener(default_pool_id=POOL), pool, make.member(1))
    statuses = after(tree, report({}))
    assert (statuses[POOL], statuses[MEMBER], statuses[LB]) == ("ERROR", "OFFLINE", "ERROR")


def test_while_nobody_serves_the_load_balancer_is_in_error_unless_it_is_disabled() -> None:
    def status_of(tree: Tree) -> list[OperatingStatus]:
        return [
            status
            for item, status in unserved_statuses(Observed.of(tree))
            if item.id == tree.load_balancer.id
        ]

    pending = balancer(provisioning_status=ProvisioningStatus.PENDING_UPDATE)
    assert status_of(make.tree(balancer())) == [OperatingStatus.ERROR]
    assert status_of(make.tree(pending, make.listener())) == [OperatingStatus.ERROR]
    assert (
        status_of(make.tree(balancer(admin_state_up=False, operating_status=OperatingStatus.OFFLINE))) == []
    )


def voice(
    amphora_id: str, role: AmphoraRole, *, haproxy: bool = True, has_vip: bool = False
) -> tuple[str, Voice]:
    return amphora_id, Voice(Report(amphora_id, 1, 1, 1, haproxy=haproxy), role, has_vip)


MASTER, BACKUP, ALONE = AmphoraRole.MASTER, AmphoraRole.BACKUP, AmphoraRole.STANDALONE


@pytest.mark.parametrize(
    ("voices", "first"),
    [
        ([voice("a", BACKUP), voice("b", MASTER)], "b"),
        ([voice("a", BACKUP), voice("b", MASTER, haproxy=False)], "a"),
        ([voice("a", BACKUP, has_vip=True), voice("b", MASTER)], "a"),
        ([voice("a", BACKUP, has_vip=True, haproxy=False), voice("b", MASTER)], "a"),
        ([voice("b", ALONE), voice("a", ALONE)], "a"),
        ([voice("a", BACKUP)], "a"),
    ],
    ids=["master", "master without HAProxy", "VRRP", "VRRP without HAProxy", "equals", "one"],
)
def test_one_amphora_is_believed(voices: list[tuple[str, Voice]], first: str) -> None:
    for order in (voices, voices[::-1]):
        said = believed(voice for _, voice in order)
        assert said is not None
        assert said.amphora_id == first


def test_nobody_is_believed_who_says_nothing() -> None:
    assert believed([]) is None
