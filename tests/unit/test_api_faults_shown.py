"""Why an object is in ERROR and since when: a key beyond Octavia's, there only while the object is in ERROR."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from octaviaclient.osc.v2 import constants
from openstack.load_balancer.v2 import health_monitor, listener, load_balancer, member, pool
from osc_lib import utils

from hydria.api import views
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.store import tables
from hydria.store.relations import Relations
from hydria.store.tables import RESOURCES
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import MAKERS, Api, url_of

EVERY = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.root)
SINCE = trees.EPOCH + timedelta(hours=1)
FAULT = {"message": "Amphora a refused generation 7", "since": SINCE.isoformat()}
ROWS = {
    LoadBalancer: (load_balancer.LoadBalancer, constants.LOAD_BALANCER_ROWS),
    Listener: (listener.Listener, constants.LISTENER_ROWS),
    Pool: (pool.Pool, constants.POOL_ROWS),
    Member: (member.Member, constants.MEMBER_ROWS),
    HealthMonitor: (health_monitor.HealthMonitor, constants.MONITOR_ROWS),
}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    made = Api(new_store(tmp_path))
    made.insert(*(MAKERS[resource]() for resource in RESOURCES if resource in MAKERS))
    return made


def one(resource: type[Resource]) -> str:
    return f"{url_of(resource)}/{MAKERS[resource]().id}"


def fail(api: Api, resource: type[Resource], status: str = "ERROR") -> None:
    values = {"provisioning_status": status, "fault": FAULT["message"], "fault_since": SINCE}
    api.store.transact(lambda tx: tx.execute(sa.update(tables.table_of(resource)).values(**values)))


@EVERY
def test_in_error_it_is_shown_wherever_the_object_is(api: Api, resource: type[Resource]) -> None:
    url = one(resource)
    before = api.get(url)[resource.root]
    assert "fault" not in before
    fail(api, resource)
    after = api.get(url)[resource.root]
    assert after.pop("fault") == FAULT
    assert after == before | {"provisioning_status": "ERROR"}, "and nothing else is different"
    (listed,) = api.get(url.rpartition("/")[0])[resource.plural]
    assert listed["fault"] == FAULT
    assert api.get(url, params={"fields": "fault"}) == {resource.root: {"fault": FAULT}}


@EVERY
@pytest.mark.parametrize("status", ["ACTIVE", "PENDING_UPDATE"])
def test_what_is_not_in_error_has_octavias_keys_alone(
    api: Api, resource: type[Resource], status: str
) -> None:
    """Also while a pass that has failed before is being repeated."""
    fail(api, resource, status)
    assert "fault" not in api.get(one(resource))[resource.root]


@EVERY
def test_an_object_at_hand_shows_the_same(resource: type[Resource]) -> None:
    item = MAKERS[resource](provisioning_status="ERROR", fault=FAULT["message"], fault_since=SINCE)
    assert views.body(item, Relations())["fault"] == FAULT
    assert "fault_since" not in views.body(item, Relations())


def test_it_is_in_the_status_tree(api: Api) -> None:
    url = f"{one(LoadBalancer)}/status"
    used = sa.update(tables.listeners).values(default_pool_id=trees.POOL)
    api.store.transact(lambda tx: tx.execute(used))
    assert "fault" not in str(api.get(url))
    for resource in RESOURCES:
        fail(api, resource)
    balancer = api.get(url)["statuses"]["loadbalancer"]
    (shown_listener,) = balancer["listeners"]
    (shown_pool,) = shown_listener["pools"]
    for shown in (balancer, shown_listener, shown_pool, *shown_pool["members"], shown_pool["health_monitor"]):
        assert shown["fault"] == FAULT


@pytest.mark.parametrize("resource", ROWS, ids=lambda resource: resource.root)
def test_existing_clients_ignore_it(api: Api, resource: type[Resource]) -> None:
    fail(api, resource)
    body = api.get(one(resource))[resource.root]
    known, rows = ROWS[resource]
    assert known.existing(**body).to_dict() == known.existing(**{**body, "fault": None}).to_dict()
    # What the command line shows: columns of its own choice.
    assert "fault" not in rows
    assert utils.get_dict_properties(body, rows)
