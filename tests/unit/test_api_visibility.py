"""What callers see who are no administrators (contract 1.21), with the roles of Keystone's defaults."""

import dataclasses
from pathlib import Path

import pytest

from hydria.api import reading
from hydria.api.call import Call, Caller
from hydria.api.policy.enforcement import Enforcement
from hydria.model.errors import Forbidden
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.settings import Settings
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import Api

RULES = Enforcement(Settings())
OTHER = trees.identifier(LoadBalancer, 2)
OTHER_POOL = trees.identifier(trees.Pool, 2)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    api = Api(new_store(tmp_path))
    api.insert(trees.load_balancer(1), trees.load_balancer(2, project_id="p2"))
    api.insert(trees.pool(1), trees.pool(2, load_balancer_id=OTHER, project_id="p2"))
    api.insert(trees.member(1), trees.member(2, pool_id=OTHER_POOL, project_id="p2"))
    api.insert(trees.listener(), trees.listener(2, load_balancer_id=OTHER, project_id="p2"))
    return api


def call(api: Api, project_id: str, *, admin: bool = False) -> Call:
    roles = ("admin", "member", "reader") if admin else ("reader",)
    services = dataclasses.replace(api.services, policy=RULES)
    return Call(services, Caller(project_id, roles=roles), "http://x")


def seen(caller: Call, parent: str | None = None, **params: str) -> list[object]:
    resource = LoadBalancer if parent is None else Member
    answer = reading.show_all(caller, resource, params, "/", parent)
    items = answer[resource.plural]
    assert isinstance(items, list)
    return [item["id"] for item in items]


def test_lists(api: Api) -> None:
    owner = call(api, "p2")
    assert seen(owner) == seen(owner, project_id="p2") == [OTHER]
    assert seen(owner, OTHER_POOL) == [trees.identifier(Member, 2)]
    assert seen(call(api, "p3")) == []
    assert seen(call(api, "p3", admin=True)) == [trees.BALANCER, OTHER]
    assert seen(call(api, "p3", admin=True), project_id="p2") == [OTHER]


def test_lists_of_others(api: Api) -> None:
    for caller, params in ((call(api, "p2"), {"project_id": trees.PROJECT}), (call(api, ""), {})):
        with pytest.raises(Forbidden, match="Policy does not allow this request"):
            seen(caller, **params)
    with pytest.raises(Forbidden):
        seen(call(api, "p2"), trees.POOL)


def test_a_marker_of_others_is_unknown(api: Api) -> None:
    with pytest.raises(Exception, match="marker"):
        seen(call(api, "p2"), marker=trees.BALANCER)


def test_objects_of_others(api: Api) -> None:
    owner = call(api, "p2")
    reading.show(owner, LoadBalancer, OTHER)
    reading.statuses(owner, OTHER)
    reading.statistics(owner, Listener, trees.identifier(Listener, 2))
    with pytest.raises(Forbidden):
        reading.show(owner, LoadBalancer, trees.BALANCER)
    with pytest.raises(Forbidden):
        reading.show(owner, Member, trees.MEMBER, trees.POOL)
    with pytest.raises(Forbidden):
        reading.statuses(owner, trees.BALANCER)
    with pytest.raises(Forbidden):
        reading.statistics(owner, Listener, trees.LISTENER)
