"""Quotas hold on every database, whoever asks at the same time."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hydria.model.errors import HydriaError, ProjectBusy, QuotaExceeded
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.quota import Quota
from hydria.model.resource import Resource
from hydria.settings import QuotasSettings
from hydria.store import Store, quotas
from tests.db.conftest import ENGINES
from tests.unit.api_writing import GRAPH, MONITOR, PROJECT, Api, everything


class LimitedApi(Api):
    """With an identity, so that quotas hold."""

    def _serve(self) -> None:
        identified = dataclasses.replace(self.settings.api_settings, auth_strategy="keystone")
        self.settings = dataclasses.replace(self.settings, api_settings=identified)
        super()._serve()

    def default(self, **options: Any) -> None:
        """Set options of ``[quotas]``."""
        self.settings = dataclasses.replace(self.settings, quotas=QuotasSettings(**options))
        self._serve()

    def limit(self, **limits: int | None) -> None:
        """Set the project's quotas."""
        self.store.transact(lambda tx: quotas.save(tx, Quota(project_id=PROJECT, **limits)))


@pytest.fixture
def api(store: Store) -> Iterator[LimitedApi]:
    return LimitedApi(store)


@pytest.fixture
def noop(store: Store) -> Iterator[LimitedApi]:
    """With a provider that takes everything."""
    return LimitedApi(store, provider="noop_driver")


def answers(count: int, order: Any) -> list[str]:
    """What so many requests at once are answered: "made" or why not."""
    together = threading.Barrier(count)

    def ask(number: int) -> str:
        together.wait()
        try:
            order(number)
        except HydriaError as error:
            return error.message
        return "made"

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(ask, range(count)))


@pytest.mark.parametrize("stored", [True, False])
def test_fifty_at_once_with_a_quota_of_ten_make_exactly_ten(api: LimitedApi, stored: bool) -> None:
    if stored:
        api.limit(loadbalancer=10)
    else:
        api.default(default_load_balancer_quota=10)
    said = answers(50, lambda number: api.create(LoadBalancer, name=f"lb{number}"))
    refusal = "Quota has been met for resources: Load Balancer"
    assert sorted(said) == [refusal] * 40 + ["made"] * 10
    assert len(api.all(LoadBalancer)) == 10
    assert len(list(api.network.ports())) == 10  # none is left of those that were refused


def test_members_of_different_load_balancers_at_once(api: LimitedApi) -> None:
    pools = [everything(api)["pools"] for _ in range(4)]  # with two members each
    api.limit(member=18)
    said = answers(
        24, lambda n: api.create(Member, pools[n % 4], address=f"192.0.2.{100 + n}", protocol_port=80)
    )
    assert said.count("made") == 10
    assert said.count("Quota has been met for resources: Member") == 14
    assert len(api.all(Member)) == 18


SINGLE: list[tuple[type[Resource], str]] = [
    (LoadBalancer, "loadbalancer"),
    (Listener, "listener"),
    (Pool, "pool"),
    (Member, "member"),
    (HealthMonitor, "healthmonitor"),
    (L7Policy, "l7policy"),
    (L7Rule, "l7rule"),
]
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
POLICY = {"action": "REJECT", "rules": [RULE]}
WHOLE = {**GRAPH, "listeners": [{**GRAPH["listeners"][0], "l7policies": [POLICY]}]}  # type: ignore[dict-item,index]  # it is one


def order(api: Api, resource: type[Resource], ids: dict[str, str]) -> dict[str, Any]:
    balancer = ids["load_balancers"]
    if resource is Listener:
        return api.create(Listener, loadbalancer_id=balancer, protocol="HTTP", protocol_port=81)
    if resource is Pool:
        return api.create(Pool, loadbalancer_id=balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    if resource is Member:
        return api.create(Member, ids["pools"], address="192.0.2.77", protocol_port=80)
    if resource is HealthMonitor:
        return api.create(HealthMonitor, pool_id=ids["pools"], **MONITOR)
    if resource is L7Policy:
        return api.create(L7Policy, listener_id=ids["listeners"], action="REJECT")
    if resource is L7Rule:
        return api.create(L7Rule, ids["policies"], **RULE)
    return api.create(LoadBalancer, name="one more")


@pytest.mark.parametrize(("resource", "field"), SINGLE)
def test_each_kind_has_its_quota(noop: LimitedApi, resource: type[Resource], field: str) -> None:
    ids = everything(noop)
    ids["policies"] = noop.create(L7Policy, listener_id=ids["listeners"], action="REJECT")["id"]
    if resource is HealthMonitor:
        noop.delete(HealthMonitor, ids["health_monitors"])
    present = sum(item.desired for item in noop.all(resource))
    noop.limit(**{field: present})
    with noop.unchanged(QuotaExceeded, f"Quota has been met for resources: {resource.label}"):
        order(noop, resource, ids)
    noop.limit(**{field: present + 1})
    order(noop, resource, ids)
    noop.limit(**{field: 0})
    with noop.unchanged(QuotaExceeded, f"Quota has been met for resources: {resource.label}"):
        noop.create(LoadBalancer, **WHOLE)


def test_everything_in_one_request_is_counted(noop: LimitedApi) -> None:
    for field, label in (("pool", "Pool"), ("member", "Member"), ("listener", "Listener")):
        noop.limit(**{field: 1 if field == "member" else 0})
        with noop.unchanged(QuotaExceeded, f"Quota has been met for resources: {label}"):
            noop.create(LoadBalancer, **GRAPH)
    noop.limit(loadbalancer=1, pool=1, member=2, listener=1, healthmonitor=1, l7policy=1, l7rule=1)
    noop.create(LoadBalancer, **WHOLE)


def test_a_list_of_members_is_counted_by_what_it_adds(api: LimitedApi) -> None:
    pool = everything(api)["pools"]
    api.limit(member=2)
    other = [{"address": f"192.0.2.{number}", "protocol_port": 80} for number in (11, 12, 13)]
    with api.unchanged(QuotaExceeded, "Quota has been met for resources: Member"):
        api.batch(pool, *other)
    with api.unchanged(QuotaExceeded, "Quota has been met for resources: Member"):
        api.batch(pool, other[0], additive_only=True)
    api.batch(pool, *other[:2])
    assert sorted(item.address for item in api.all(Member) if item.desired) == ["192.0.2.11", "192.0.2.12"]


def test_a_quota_below_what_there_is_lets_what_is_there_live(api: LimitedApi) -> None:
    ids = everything(api)
    api.limit(loadbalancer=0, pool=0, member=0)
    api.update(Pool, ids["pools"], name="still")
    api.batch(ids["pools"], {"address": "192.0.2.1", "protocol_port": 80, "weight": 7})


def test_what_is_below_a_load_balancer_makes_room_at_once(api: LimitedApi) -> None:
    ids = everything(api)
    api.limit(member=2, loadbalancer=1)
    api.delete(Member, ids["members"], ids["pools"])
    api.create(Member, ids["pools"], address="192.0.2.99", protocol_port=80)
    api.delete(LoadBalancer, ids["load_balancers"], cascade=True)
    with api.unchanged(QuotaExceeded, "Quota has been met for resources: Load Balancer"):
        api.create(LoadBalancer)
    api.apply()
    api.create(LoadBalancer)


def test_who_has_no_limit_pays_one_look(api: LimitedApi) -> None:
    pool = everything(api)["pools"]
    with api.statements() as limited:
        api.create(Member, pool, address="192.0.2.77", protocol_port=80)
    free = Api(api.store)
    with free.statements() as unlimited:
        free.create(Member, pool, address="192.0.2.78", protocol_port=80)
    assert len(limited) == len(unlimited) + 1


# SQLite locks the whole database: nobody can hold a project alone.
@pytest.mark.parametrize("upgraded", ENGINES[1:], indirect=True)
def test_a_project_that_stays_locked_is_busy(api: LimitedApi) -> None:
    api.limit(loadbalancer=10)
    api.create(LoadBalancer)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with api.store.writer.begin() as tx:
            quotas.lock(tx, PROJECT)
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        began = time.monotonic()
        with api.unchanged(ProjectBusy, "Project busy.  Unable to lock the project.  Please try again."):
            api.create(LoadBalancer)
        assert time.monotonic() - began < 9
    finally:
        done.set()
        holder.join()
    api.create(LoadBalancer)
