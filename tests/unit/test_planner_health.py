"""Operating statuses by contract 1.8, from what an amphora reports."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus
from hydria.model.tree import Tree
from hydria.planner.health import changed_statuses
from hydria.testing import trees
from hydria.wire.heartbeat import ListenerReport, Report


def report(tree: Tree, **more: Any) -> Report:
    """Of an amphora that has everything and finds all of it well."""
    given: dict[str, Any] = {
        "listeners": {item.id: ListenerReport("OPEN") for item in tree.listeners},
        "pools": {item.id: "UP" for item in tree.pools},
        "members": {item.id: "UP" for item in tree.members},
        "generation": tree.load_balancer.applied_generation,
        **more,
    }
    return Report("amphora", 1, 1, haproxy=True, **given)


def statuses(tree: Tree, **more: Any) -> dict[str, str]:
    """Every object's operating status after the report, by its name."""
    changed = {item.id: status for item, status in changed_statuses(tree, report(tree, **more))}
    items: tuple[Any, ...] = (tree.load_balancer, *tree.children())
    return {item.name: str(changed.get(item.id, item.operating_status)) for item in items}


def web(members: int = 2, **balancer: Any) -> Tree:
    found = trees.web(members)
    return Tree(
        trees.load_balancer(generation=1, applied_generation=1, **balancer), found.listeners, found.pools, found.members,
        found.health_monitors,
    )  # fmt: skip


def but(tree: Tree, kind: str, **changes: Any) -> Tree:
    """The tree with its first object of a kind changed."""
    first, *rest = getattr(tree, kind)
    changed = (msgspec.structs.replace(first, **changes), *rest)
    return Tree(**{name: getattr(tree, name) for name in Tree.__slots__} | {kind: changed})


ALL_WELL = {
    "lb-1": "ONLINE", "listener-1": "ONLINE", "pool-1": "ONLINE", "member-1": "ONLINE", "member-2": "ONLINE",
    "monitor-1": "ONLINE",
}  # fmt: skip


def test_all_is_well() -> None:
    assert statuses(web()) == ALL_WELL
    assert changed_statuses(web(), report(web())) == []


@pytest.mark.parametrize(
    ("word", "status", "pool"),
    [
        ("UP", "ONLINE", "ONLINE"),
        ("DOWN", "ERROR", "DEGRADED"),
        ("DRAIN", "DRAINING", "ONLINE"),
        ("NO_CHECK", "NO_MONITOR", "ONLINE"),
    ],
)
def test_a_member(word: str, status: str, pool: str) -> None:
    found = statuses(web(), members={trees.MEMBER: word, trees.identifier(trees.Member, 2): "UP"})
    balancer = "DEGRADED" if pool == "DEGRADED" else "ONLINE"
    assert found == ALL_WELL | {"member-1": status, "pool-1": pool, "lb-1": balancer}


def test_a_member_that_is_switched_off() -> None:
    tree = but(web(), "members", admin_state_up=False)
    found = statuses(tree, members={trees.MEMBER: "MAINT", trees.identifier(trees.Member, 2): "UP"})
    assert found == ALL_WELL | {"member-1": "OFFLINE"}


def test_a_pool_without_a_working_member() -> None:
    tree = web()
    found = statuses(tree, members={item.id: "DOWN" for item in tree.members}, pools={trees.POOL: "DOWN"})
    assert found == ALL_WELL | {"member-1": "ERROR", "member-2": "ERROR", "pool-1": "ERROR", "lb-1": "ERROR"}


def test_a_pool_without_members() -> None:
    assert statuses(web(0), pools={trees.POOL: "DOWN"})["pool-1"] == "ONLINE"


def test_what_is_not_reported() -> None:
    found = statuses(web(), pools={}, members={})
    assert found == ALL_WELL | {"pool-1": "OFFLINE", "member-1": "OFFLINE", "member-2": "OFFLINE"}


def test_a_listener_that_is_full() -> None:
    found = statuses(web(), listeners={trees.LISTENER: ListenerReport("FULL")})
    assert found == ALL_WELL | {"listener-1": "DEGRADED", "lb-1": "DEGRADED"}


def test_a_listener_that_is_missing() -> None:
    assert statuses(web(), listeners={})["listener-1"] == "ERROR"
    assert statuses(web(), listeners={})["lb-1"] == "ERROR"


@pytest.mark.parametrize(
    "tree",
    [
        but(web(), "listeners", admin_state_up=False),
        but(web(), "listeners", provisioning_status=trees.ProvisioningStatus.PENDING_UPDATE),
        web(provisioning_status=trees.ProvisioningStatus.PENDING_UPDATE),
    ],
    ids=["switched off", "changing", "below what changes"],
)
def test_a_listener_that_need_not_be_there(tree: Tree) -> None:
    assert statuses(tree, listeners={}) == ALL_WELL | {"listener-1": "OFFLINE"}


def test_a_load_balancer_that_is_switched_off() -> None:
    found = statuses(web(admin_state_up=False), listeners={}, pools={}, members={})
    assert set(found.values()) == {"OFFLINE", "ONLINE"}
    assert {name for name, status in found.items() if status == "ONLINE"} == {"monitor-1"}


def test_a_health_monitor() -> None:
    assert statuses(but(web(), "health_monitors", admin_state_up=False)) == ALL_WELL | {
        "monitor-1": "OFFLINE"
    }
    assert statuses(but(web(), "health_monitors", operating_status=OperatingStatus.OFFLINE)) == ALL_WELL


@pytest.mark.parametrize("start", ["OFFLINE", "NO_MONITOR"])
def test_a_new_member_that_the_amphora_has_not_got_yet(start: str) -> None:
    tree = but(
        web(),
        "members",
        provisioning_status=trees.ProvisioningStatus.PENDING_CREATE,
        operating_status=OperatingStatus(start),
    )
    found = statuses(tree, members={trees.identifier(trees.Member, 2): "UP"})
    assert found["member-1"] == start
    assert found["member-2"] == "ONLINE"


def test_an_older_report_says_nothing() -> None:
    tree = web(operating_status=OperatingStatus.OFFLINE)
    assert changed_statuses(tree, report(tree, generation=0)) == []
    assert changed_statuses(tree, report(tree, generation=1)) != []
    assert changed_statuses(tree, report(tree, generation=2)) != []


def test_what_is_on_its_way_out_is_left_alone() -> None:
    tree = but(web(), "members", provisioning_status=trees.ProvisioningStatus.PENDING_DELETE)
    changed = changed_statuses(tree, report(tree, members={trees.identifier(trees.Member, 2): "UP"}))
    assert trees.MEMBER not in {item.id for item, _ in changed}


words = st.sampled_from(["UP", "DOWN", "DRAIN", "MAINT", "NO_CHECK", "something new"])


@given(st.data())
def test_what_was_written_is_not_written_again(data: st.DataObject) -> None:
    tree = web(3)
    heard = report(
        tree,
        members=data.draw(st.dictionaries(st.sampled_from([item.id for item in tree.members]), words)),
        pools=data.draw(st.dictionaries(st.just(trees.POOL), st.sampled_from(["UP", "DOWN"]))),
        listeners=data.draw(
            st.dictionaries(
                st.just(trees.LISTENER), st.builds(ListenerReport, st.sampled_from(["OPEN", "FULL"]))
            )
        ),
    )
    changed = changed_statuses(tree, heard)
    ids = [item.id for item, _ in changed]
    assert len(ids) == len(set(ids))
    new = {item.id: status for item, status in changed}

    def written(item: Resource) -> Any:
        return msgspec.structs.replace(item, operating_status=new.get(item.id, item.operating_status))

    after = trees.tree(*map(written, (tree.load_balancer, *tree.children())))
    assert changed_statuses(after, heard) == []
