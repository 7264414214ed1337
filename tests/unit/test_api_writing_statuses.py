"""Which statuses a change sets, and when it is refused (contract 1.8, 1.20; design section 2)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.model.errors import Busy, NotFound
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.statuses import ProvisioningStatus
from hydria.store import tables
from tests.databases import new_store
from tests.unit.api_writing import MONITOR, Api, everything

A, U, C, D = "ACTIVE", "PENDING_UPDATE", "PENDING_CREATE", "PENDING_DELETE"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


def statuses(api: Api) -> str:
    """One word per table: the statuses of its rows."""
    found = api.statuses()
    return " ".join(
        "+".join(found[table]) or "-" for table in found if not table.startswith(("l7", "rate_limit"))
    )


# load balancer, listeners, pools, members, monitors
CASES = {
    "load balancer PUT": (lambda api, its: api.update(LoadBalancer, its["load_balancers"], name="n"), f"{U} {A} {A} {A}+{A} {A}"),
    "load balancer PUT {}": (lambda api, its: api.update(LoadBalancer, its["load_balancers"]), f"{U} {A} {A} {A}+{A} {A}"),
    "load balancer DELETE cascade": (lambda api, its: api.delete(LoadBalancer, its["load_balancers"], cascade=True), f"{D} {A} {A} {A}+{A} {A}"),
    "listener POST": (
        lambda api, its: api.create(Listener, loadbalancer_id=its["load_balancers"], protocol="TCP", protocol_port=81),
        f"{U} {A}+{C} {A} {A}+{A} {A}",
    ),
    "listener PUT": (lambda api, its: api.update(Listener, its["listeners"], name="n"), f"{U} {U} {A} {A}+{A} {A}"),
    "listener DELETE": (lambda api, its: api.delete(Listener, its["listeners"]), f"{U} {D} {A} {A}+{A} {A}"),
    "pool POST": (
        lambda api, its: api.create(Pool, loadbalancer_id=its["load_balancers"], protocol="TCP", lb_algorithm="ROUND_ROBIN"),
        f"{U} {A} {A}+{C} {A}+{A} {A}",
    ),
    "pool PUT": (lambda api, its: api.update(Pool, its["pools"], name="n"), f"{U} {U} {U} {A}+{A} {A}"),
    "pool DELETE": (lambda api, its: api.delete(Pool, its["pools"]), f"{U} {U} {D} {D}+{D} {D}"),
    "member POST": (
        lambda api, its: api.create(Member, its["pools"], address="192.0.2.3", protocol_port=80),
        f"{U} {U} {U} {A}+{A}+{C} {A}",
    ),
    "member PUT": (lambda api, its: api.update(Member, its["members"], its["pools"], weight=3), f"{U} {U} {U} {U}+{A} {A}"),
    "member DELETE": (lambda api, its: api.delete(Member, its["members"], its["pools"]), f"{U} {U} {U} {D}+{A} {A}"),
    "member batch": (
        lambda api, its: api.batch(its["pools"], {"address": "192.0.2.1", "protocol_port": 80}, {"address": "192.0.2.9", "protocol_port": 80}),
        f"{U} {U} {U} {U}+{D}+{C} {A}",
    ),
    "monitor PUT": (lambda api, its: api.update(HealthMonitor, its["health_monitors"], delay=9), f"{U} {U} {U} {A}+{A} {U}"),
    "monitor DELETE": (lambda api, its: api.delete(HealthMonitor, its["health_monitors"]), f"{U} {U} {U} {A}+{A} {D}"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_change_marks_what_it_affects_and_wakes_a_worker(api: Api, case: str) -> None:
    request, expected = CASES[case]
    ids = everything(api)
    before = api.get(LoadBalancer, ids["load_balancers"])
    api.wakeups.woken.clear()

    request(api, ids)

    assert statuses(api) == expected
    after = api.get(LoadBalancer, ids["load_balancers"])
    assert (after.generation, after.applied_generation) == (before.generation + 1, before.generation)
    assert api.wakeups.woken == [ids["load_balancers"]]
    changed = [item for each in (Listener, Pool, Member, HealthMonitor) for item in api.all(each)]
    assert all((item.generation == after.generation) == item.provisioning_status.pending for item in changed)

    api.apply()
    assert not any(status.startswith("PENDING") for each in api.statuses().values() for status in each)


@pytest.mark.parametrize("case", CASES)
def test_providers_with_the_classic_lock_refuse_while_it_is_pending(tmp_path: Path, case: str) -> None:
    api = Api(new_store(tmp_path), provider="third")
    request, expected = CASES[case]
    ids = everything(api)
    api.apply()
    request(api, ids)
    assert statuses(api) == expected
    after = api.get(LoadBalancer, ids["load_balancers"])
    assert after.applied_generation == after.generation, "nothing of it is our workers' business"
    assert api.wakeups.woken == []

    balancer = ids["load_balancers"]
    message = f"Load Balancer {balancer} is immutable and cannot be updated."
    if case.startswith("load balancer"):
        status = after.provisioning_status
        with api.unchanged(Busy, f"Invalid state {status} of loadbalancer resource {balancer}"):
            api.update(LoadBalancer, balancer, name="n")
    with api.unchanged(Busy, message):
        api.update(Listener, ids["listeners"], name="m")
    with api.unchanged(Busy, message):
        api.create(Member, ids["pools"], address="192.0.2.4", protocol_port=80)
    with api.unchanged(Busy, message):
        api.delete(Pool, ids["pools"])


@pytest.mark.parametrize("case", CASES)
def test_a_noop_provider_is_done_at_once(tmp_path: Path, case: str) -> None:
    api = Api(new_store(tmp_path), provider="noop_driver")
    request, _ = CASES[case]
    ids = everything(api)
    assert statuses(api) == f"{A} {A} {A} {A}+{A} {A}"
    request(api, ids)
    final = "DELETED" if "cascade" in case else A
    assert {status for each in api.statuses().values() for status in each} == {final}
    assert api.wakeups.woken == []


def test_the_classic_lock_lets_a_load_balancer_in_error_be_deleted_alone(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="third")
    ids = everything(api)
    balancer = ids["load_balancers"]
    api.store.transact(
        lambda tx: tx.execute(sa.update(tables.load_balancers).values(provisioning_status="ERROR"))
    )
    with api.unchanged(Busy, f"Invalid state ERROR of loadbalancer resource {balancer}"):
        api.update(LoadBalancer, balancer, name="n")
    with api.unchanged(Busy, f"Load Balancer {balancer} is immutable and cannot be updated."):
        api.delete(Listener, ids["listeners"])
    api.delete(LoadBalancer, balancer, cascade=True)
    assert api.get(LoadBalancer, balancer).provisioning_status is ProvisioningStatus.PENDING_DELETE


def test_the_classic_lock_wants_an_active_pool(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="third")
    ids = everything(api)
    api.store.transact(lambda tx: tx.execute(sa.update(tables.pools).values(provisioning_status="ERROR")))
    message = f"Pool {ids['pools']} is immutable and cannot be updated."
    with api.unchanged(Busy, message):
        api.create(Member, ids["pools"], address="192.0.2.4", protocol_port=80)
    with api.unchanged(Busy, message):
        api.update(HealthMonitor, ids["health_monitors"], delay=9)
    with api.unchanged(Busy, message):
        api.batch(ids["pools"])
    api.update(Pool, ids["pools"], name="mended")


def test_changes_join_a_create_that_is_under_way(api: Api) -> None:
    made = api.create(LoadBalancer)
    listener = api.create(Listener, loadbalancer_id=made["id"], protocol="HTTP", protocol_port=80)
    pool = api.create(Pool, listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    member = api.create(Member, pool["id"], address="192.0.2.1", protocol_port=80)
    api.update(Member, member["id"], pool["id"], weight=7)
    api.create(HealthMonitor, pool_id=pool["id"], **MONITOR)
    api.update(LoadBalancer, made["id"], name="x")
    assert statuses(api) == f"{C} {C} {C} {C} {C}"
    assert api.get(LoadBalancer, made["id"]).generation == 7
    assert api.get(Listener, listener["id"]).default_pool_id == pool["id"]
    api.apply()
    assert statuses(api) == f"{A} {A} {A} {A} {A}"


def test_changes_join_an_update_and_clear_an_error(api: Api) -> None:
    ids = everything(api)
    api.update(Listener, ids["listeners"], name="a")
    api.update(Listener, ids["listeners"], name="b")
    assert api.get(Listener, ids["listeners"]).name == "b"
    api.store.transact(
        lambda tx: tx.execute(
            sa.update(tables.load_balancers).values(provisioning_status="ERROR", fault="no")
        )
    )
    api.update(Pool, ids["pools"], name="c")
    after = api.get(LoadBalancer, ids["load_balancers"])
    assert (after.provisioning_status, after.retry_at) == (ProvisioningStatus.PENDING_UPDATE, None)


def test_nothing_changes_below_a_load_balancer_on_its_way_out(api: Api) -> None:
    ids = everything(api)
    balancer, pool = ids["load_balancers"], ids["pools"]
    api.delete(LoadBalancer, balancer, cascade=True)
    for request in (
        lambda: api.update(LoadBalancer, balancer),
        lambda: api.delete(LoadBalancer, balancer, cascade=True),
    ):
        with api.unchanged(Busy, f"Invalid state PENDING_DELETE of loadbalancer resource {balancer}"):
            request()
    for request in (
        lambda: api.create(Listener, loadbalancer_id=balancer, protocol="TCP", protocol_port=99),
        lambda: api.create(Pool, loadbalancer_id=balancer, protocol="TCP", lb_algorithm="ROUND_ROBIN"),
        lambda: api.create(Member, pool, address="192.0.2.3", protocol_port=80),
        lambda: api.batch(pool),
        lambda: api.update(Listener, ids["listeners"]),
        lambda: api.update(Pool, pool),
        lambda: api.update(Member, ids["members"], pool),
        lambda: api.update(HealthMonitor, ids["health_monitors"]),
        lambda: api.delete(Listener, ids["listeners"]),
        lambda: api.delete(Pool, pool),
        lambda: api.delete(Member, ids["members"], pool),
        lambda: api.delete(HealthMonitor, ids["health_monitors"]),
    ):
        with api.unchanged(Busy, f"Load Balancer {balancer} is immutable and cannot be updated."):
            request()
    api.apply()
    with api.unchanged(NotFound, f"Load Balancer {balancer} not found."):
        api.update(LoadBalancer, balancer)


@pytest.mark.parametrize("resource", [Listener, Pool, Member, HealthMonitor])
def test_what_is_on_its_way_out_may_be_deleted_again_but_not_changed(api: Api, resource: type) -> None:
    ids = everything(api)
    identifier, parent = ids[resource.table], ids["pools"] if resource is Member else None
    api.delete(resource, identifier, parent)
    before = api.dump()
    api.delete(resource, identifier, parent)
    assert api.dump() == before
    with api.unchanged(Busy, f"{resource.label} {identifier} is immutable and cannot be updated."):
        api.update(resource, identifier, parent)
    api.apply()
    with api.unchanged(NotFound, f"{resource.label} {identifier} not found."):
        api.delete(resource, identifier, parent)


def test_nothing_joins_a_pool_on_its_way_out(api: Api) -> None:
    ids = everything(api)
    api.delete(Pool, ids["pools"])
    message = f"Pool {ids['pools']} is immutable and cannot be updated."
    for request in (
        lambda: api.create(Member, ids["pools"], address="192.0.2.3", protocol_port=80),
        lambda: api.update(Member, ids["members"], ids["pools"]),
        lambda: api.create(HealthMonitor, pool_id=ids["pools"], **MONITOR),
        lambda: api.update(HealthMonitor, ids["health_monitors"]),
        lambda: api.update(Listener, ids["listeners"], default_pool_id=ids["pools"]),
    ):
        with api.unchanged(Busy, message):
            request()
    api.delete(Member, ids["members"], ids["pools"])  # going with it already
    api.delete(HealthMonitor, ids["health_monitors"])


def test_many_at_once_are_all_accepted(api: Api) -> None:
    ids = everything(api)
    before = api.get(LoadBalancer, ids["load_balancers"]).generation

    def add(number: int) -> str:
        return api.create(Member, ids["pools"], address=f"192.0.2.{100 + number}", protocol_port=80)["id"]

    with ThreadPoolExecutor(20) as pool:
        made = set(pool.map(add, range(20)))
    members = {member.id: member for member in api.all(Member)}
    assert made < set(members)
    assert len(members) == 22
    assert api.get(LoadBalancer, ids["load_balancers"]).generation == before + 20
    assert sorted(members[each].generation for each in made) == list(range(before + 1, before + 21))


def test_adding_a_member_takes_six_statements(api: Api) -> None:
    ids = everything(api)
    with api.statements() as seen:
        api.create(Member, ids["pools"], address="192.0.2.3", protocol_port=80)
    assert len(seen) == 6, "\n".join(seen)
