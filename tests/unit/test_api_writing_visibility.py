"""Changes by those who may not make them: 404 for what is not there, then 403, and nothing is written."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hydria.api import writing
from hydria.api.call import Caller
from hydria.api.policy.enforcement import Enforcement
from hydria.model.errors import Forbidden, Invalid, NotFound
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.settings import Settings
from tests.databases import new_store
from tests.unit.api_writing import GRAPH, MONITOR, PROJECT, Api

RULES = Enforcement(Settings())
MEMBER = {"address": "192.0.2.9", "protocol_port": 80}
NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def tree(api: Api) -> dict[str, Any]:
    """A load balancer with one of everything; from now on the caller is of another project."""
    made = api.create(LoadBalancer, **GRAPH, vip_subnet_id=api.network.default_vip_subnet_id)
    become(api, "p2")
    return made


def become(api: Api, project_id: str) -> None:
    """From now on a member of the project asks."""
    services = dataclasses.replace(api.call.services, policy=RULES)
    caller = Caller(project_id, roles=("member", "reader"))
    api.call = dataclasses.replace(api.call, services=services, caller=caller)


def writes(tree: dict[str, Any]) -> list[Any]:
    balancer, listener, pool = tree["id"], tree["listeners"][0]["id"], tree["pools"][0]["id"]
    monitor, member = tree["pools"][0]["healthmonitor"]["id"], tree["pools"][0]["members"][0]["id"]
    return [
        lambda call: writing.create(call, LoadBalancer, {"project_id": PROJECT, "vip_subnet_id": NOWHERE}, None),
        lambda call: writing.update(call, LoadBalancer, balancer, {}, None),
        lambda call: writing.delete(call, LoadBalancer, balancer, None, cascade=False),
        lambda call: writing.create(
            call, Listener, {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 9,
                             "default_pool_id": NOWHERE}, None),
        lambda call: writing.update(call, Listener, listener, {"default_pool_id": NOWHERE}, None),
        lambda call: writing.delete(call, Listener, listener, None, cascade=False),
        lambda call: writing.create(
            call, Pool, {"loadbalancer_id": balancer, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}, None),
        lambda call: writing.create(
            call, Pool, {"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}, None),
        lambda call: writing.update(call, Pool, pool, {}, None),
        lambda call: writing.delete(call, Pool, pool, None, cascade=False),
        lambda call: writing.create(call, Member, MEMBER, pool),
        lambda call: writing.create(call, Member, {**MEMBER, "subnet_id": NOWHERE}, pool),
        lambda call: writing.update(call, Member, member, {}, pool),
        lambda call: writing.delete(call, Member, member, pool, cascade=False),
        lambda call: writing.batch_members(call, pool, [{**MEMBER, "subnet_id": NOWHERE}], additive_only=False),
        lambda call: writing.batch_members(call, pool, [MEMBER], additive_only=True),
        lambda call: writing.create(call, HealthMonitor, {**MONITOR, "pool_id": pool}, None),
        lambda call: writing.update(call, HealthMonitor, monitor, {"delay": 1, "timeout": 9}, None),
        lambda call: writing.delete(call, HealthMonitor, monitor, None, cascade=False),
    ]  # fmt: skip


def test_writes_to_others(api: Api, tree: dict[str, Any]) -> None:
    for write in writes(tree):
        with api.unchanged(Forbidden, "Policy does not allow this request to be performed."):
            write(api.call)


def test_what_is_not_there_is_said_first(api: Api, tree: dict[str, Any]) -> None:
    pool = tree["pools"][0]["id"]
    with pytest.raises(NotFound):
        api.update(Listener, NOWHERE)
    with pytest.raises(NotFound):
        api.update(Member, NOWHERE, pool)
    with pytest.raises(NotFound):
        api.create(Member, NOWHERE, **MEMBER, subnet_id=NOWHERE)


def test_the_owner_may(api: Api, tree: dict[str, Any]) -> None:
    become(api, PROJECT)
    api.update(LoadBalancer, tree["id"], name="mine")
    api.batch(tree["pools"][0]["id"], MEMBER)
    with pytest.raises(Invalid):
        api.create(LoadBalancer, vip_subnet_id=NOWHERE)
