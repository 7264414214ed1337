"""Failover of load balancers, by what their provider is."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from octavia_lib.api.drivers import exceptions

from hydria.api.writing import amphora
from hydria.model.errors import Busy, Unsupported
from hydria.model.load_balancer import LoadBalancer
from hydria.store import tables
from tests.databases import new_store
from tests.unit.api_writing import Api


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


def report(api: Api, identifier: str, status: str) -> None:
    """As a driver does through the driver agent."""
    row = tables.load_balancers
    change = sa.update(row).where(row.c.id == identifier).values(provisioning_status=status)
    api.store.transact(lambda tx: tx.execute(change))


def test_workers_do_it_for_the_amphora_provider(api: Api) -> None:
    made = api.create(LoadBalancer)["id"]
    api.apply()
    amphora.failover_load_balancer(api.call, made)
    assert api.get(LoadBalancer, made).provisioning_status == "PENDING_UPDATE"
    assert api.wakeups.woken == [made, made]


def test_a_provider_of_another_kind_does_it_itself(api: Api) -> None:
    made = api.create(LoadBalancer, provider="third")["id"]
    message = f"Invalid state PENDING_CREATE of loadbalancer resource {made}"
    with api.unchanged(Busy, message):
        amphora.failover_load_balancer(api.call, made)
    for status in ("ACTIVE", "ERROR"):
        report(api, made, status)
        amphora.failover_load_balancer(api.call, made)
        assert api.third.calls[-1] == ("loadbalancer_failover", (made,))
        balancer = api.get(LoadBalancer, made)
        assert balancer.provisioning_status == "PENDING_UPDATE"
        assert balancer.applied_generation == balancer.generation, "there is nothing for workers to do"
    assert made not in api.wakeups.woken


def test_a_provider_that_cannot(api: Api) -> None:
    made = api.create(LoadBalancer, provider="third")["id"]
    report(api, made, "ACTIVE")
    api.third.error = exceptions.NotImplementedError(user_fault_string="no failover here")
    refusal = "Provider 'third' does not support a requested action: no failover here"
    before = api.dump(taken_back=True)
    with pytest.raises(Unsupported) as raised:
        amphora.failover_load_balancer(api.call, made)
    assert raised.value.message == refusal
    assert api.dump(taken_back=True) == before


def test_the_noop_provider_has_done_it_at_once(api: Api) -> None:
    made = api.create(LoadBalancer, provider="noop_driver")["id"]
    amphora.failover_load_balancer(api.call, made)
    assert api.noop.calls[-1] == ("loadbalancer_failover", (made,))
    assert api.get(LoadBalancer, made).provisioning_status == "ACTIVE"
