"""A pool's whole list of members in one request (contract 1.13)."""

from pathlib import Path
from typing import Any

import pytest

from hydria.api import writing
from hydria.model.errors import Busy, Conflict, Invalid, NotFound
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from tests.databases import new_store
from tests.unit.api_writing import Api, everything

ONE = {"address": "192.0.2.1", "protocol_port": 80}
TWO = {"address": "192.0.2.2", "protocol_port": 80}
THREE = {"address": "2001:db8::3", "protocol_port": 80}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def pool(api: Api) -> str:
    return everything(api)["pools"]


def members(api: Api) -> dict[str, Any]:
    api.apply()
    return {member.address: member for member in api.all(Member)}


def test_the_list_replaces_what_was_there(api: Api, pool: str) -> None:
    before = members(api)
    api.batch(pool, {**TWO, "weight": 5}, THREE)
    after = members(api)
    assert sorted(after) == ["192.0.2.2", "2001:db8::3"]
    assert after["192.0.2.2"].id == before["192.0.2.2"].id
    assert after["192.0.2.2"].weight == 5
    assert after["2001:db8::3"].pool_id == pool


def test_additive_only_leaves_the_others_alone(api: Api, pool: str) -> None:
    api.batch(pool, THREE, additive_only=True)
    assert sorted(members(api)) == ["192.0.2.1", "192.0.2.2", "2001:db8::3"]
    before = api.dump()
    api.batch(pool, additive_only=True)
    assert api.dump() == before


def test_the_provider_is_told_all_that_shall_be(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="third")
    pool = everything(api)["pools"]
    api.batch(pool, {**ONE, "weight": 0}, THREE, additive_only=True)
    method, (told, desired) = api.third.calls[-1]
    assert (method, told) == ("member_batch_update", pool)
    assert sorted((member.address, member.weight) for member in desired) == [
        ("192.0.2.1", 0), ("192.0.2.2", 1), ("2001:db8::3", 1),
    ]  # fmt: skip


def test_what_is_left_out_goes_back_to_the_default_except_what_names_it(api: Api, pool: str) -> None:
    subnet = api.network.add_network("203.0.113.0/24").subnet_ids[0]
    full = {
        "weight": 9, "backup": True, "admin_state_up": False, "monitor_address": "192.0.2.9",
        "monitor_port": 8080, "name": "n", "tags": ["t"], "subnet_id": subnet,
    }  # fmt: skip
    api.batch(pool, {**ONE, **full})
    api.batch(pool, ONE)
    member = members(api)["192.0.2.1"]
    assert (member.weight, member.backup, member.admin_state_up) == (1, False, True)
    assert (member.monitor_address, member.monitor_port) == (None, None)
    assert (member.name, member.subnet_id) == ("n", subnet)
    tagged = api.update(Member, member.id, pool)
    assert list(tagged["tags"]) == ["t"]
    api.batch(pool, {**ONE, "name": "", "tags": [], "subnet_id": None})
    member = members(api)["192.0.2.1"]
    assert (member.name, member.subnet_id) == ("", None)
    assert list(api.update(Member, member.id, pool)["tags"]) == []


def test_spellings_of_an_address_are_one_member(api: Api, pool: str) -> None:
    api.batch(pool, THREE)
    before = members(api)["2001:db8::3"].id
    api.batch(pool, {"address": "2001:DB8::0:3", "protocol_port": 80, "weight": 2})
    after = api.all(Member)
    assert [(member.id, member.weight) for member in after] == [(before, 2)]


def test_an_identical_list_is_pushed_and_an_empty_one_is_not(api: Api, pool: str) -> None:
    balancer = api.all(LoadBalancer)[0]
    api.batch(pool, ONE, TWO)
    assert api.all(LoadBalancer)[0].generation == balancer.generation + 1
    api.batch(pool)
    assert members(api) == {}
    before, woken = api.dump(), list(api.wakeups.woken)
    api.batch(pool)
    assert (api.dump(), api.wakeups.woken) == (before, woken)


def test_a_member_on_its_way_out_is_replaced_by_a_new_one(api: Api, pool: str) -> None:
    api.batch(pool, TWO)
    api.batch(pool, ONE, TWO)
    assert len(api.all(Member)) == 3
    assert sorted(members(api)) == ["192.0.2.1", "192.0.2.2"]


def test_a_member_under_creation_stays_so(api: Api, pool: str) -> None:
    api.batch(pool, THREE)
    api.batch(pool, {**THREE, "weight": 3})
    found = {member.address: member for member in api.all(Member)}["2001:db8::3"]
    assert (str(found.provisioning_status), found.weight) == ("PENDING_CREATE", 3)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ([ONE, {**ONE, "weight": 2}], Invalid, "Validation failure: Member must be updated only once in the same request."),
        ([THREE, {**THREE, "address": "2001:db8:0::3"}], Conflict, "Another member on this pool is already using ip 2001:db8:0::3 on protocol_port 80"),
        ([ONE, {**THREE, "colour": 1}], Invalid, "Unknown attribute for argument members_.members: colour"),
        ([ONE, {"address": "192.0.2.1"}], Invalid, "Invalid input for field/attribute protocol_port. Value: 'None'. Mandatory field missing."),
        ([{**ONE, "weight": 257}], Invalid, "Invalid input for field/attribute weight. Value: '257'. Value should be lower or equal to 256"),
        ([{**ONE, "address": "169.254.169.254"}], Invalid, "169.254.169.254 is not a valid option for member address"),
        ([ONE, 3], Invalid, f"Invalid input for field/attribute members. Value: '[{ONE}, 3]'. Expected a list of objects."),
        (None, Invalid, "Invalid input for field/attribute members. Value: 'None'. Mandatory field missing."),
        ({}, Invalid, "Invalid input for field/attribute members. Value: '{}'. Expected a list of objects."),
    ],
)  # fmt: skip
def test_a_refused_list_changes_nothing(api: Api, pool: str, body: Any, error: type, message: str) -> None:
    with api.unchanged(error, message):
        writing.batch_members(api.call, pool, body, additive_only=False)


def test_the_pool_must_be_there(api: Api, pool: str) -> None:
    other = "00000000-0000-0000-0000-000000000007"
    with api.unchanged(NotFound, f"Pool {other} not found."):
        api.batch(other, ONE)
    api.delete(Pool, pool)
    with api.unchanged(Busy, f"Pool {pool} is immutable and cannot be updated."):
        api.batch(pool, THREE)


def test_a_long_list_takes_as_many_statements_as_a_short_one(api: Api, pool: str) -> None:
    with api.statements() as first:
        api.batch(pool, *({"address": f"192.0.2.{n}", "protocol_port": 80} for n in range(2, 5)))
    with api.statements() as second:
        api.batch(pool, *({"address": f"192.0.2.{n}", "protocol_port": 80} for n in range(4, 100)))
    assert len(first) == len(second)
