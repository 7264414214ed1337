"""Changes of the desired state on every database: locks, races, and what exists only once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hydria.model.errors import Conflict, HydriaError
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.store import Store, trees
from tests.unit.api_writing import MONITOR, Api, everything


@pytest.fixture
def api(store: Store) -> Api:
    return Api(store)


def test_the_life_of_a_load_balancer(api: Api) -> None:
    ids = everything(api, tags=["t"])
    balancer, pool = ids["load_balancers"], ids["pools"]
    api.update(LoadBalancer, balancer, name="n", tags=["u", "v"])
    api.update(Pool, pool, session_persistence={"type": "HTTP_COOKIE"})
    api.update(HealthMonitor, ids["health_monitors"], http_version="1.1", domain_name="example.org")
    api.batch(
        pool,
        {"address": "192.0.2.2", "protocol_port": 80, "tags": ["t"]},
        {"address": "2001:db8::1", "protocol_port": 80},
    )
    api.delete(HealthMonitor, ids["health_monitors"])
    api.create(HealthMonitor, pool_id=pool, **MONITOR)
    api.apply()
    assert [member.address for member in api.all(Member)] == ["192.0.2.2", "2001:db8::1"]
    assert {status for each in api.statuses().values() for status in each} == {"ACTIVE"}
    api.delete(LoadBalancer, balancer, cascade=True)
    api.apply()
    assert api.statuses() == {
        "load_balancers": ["DELETED"], "listeners": [], "pools": [], "members": [], "health_monitors": [],
        "l7policies": [], "l7rules": [], "rate_limit_policies": [], "rate_limit_rules": [],
    }  # fmt: skip


def test_conflicts_are_named(api: Api) -> None:
    ids = everything(api)
    message = "Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80"
    with api.unchanged(Conflict, message):
        api.create(Listener, loadbalancer_id=ids["load_balancers"], protocol="TCP", protocol_port=80)
    with api.unchanged(
        Conflict, "Another member on this pool is already using ip 192.0.2.1 on protocol_port 80"
    ):
        api.create(Member, ids["pools"], address="192.0.2.1", protocol_port=80)
    with api.unchanged(Conflict, "This pool already has a health monitor"):
        api.create(HealthMonitor, pool_id=ids["pools"], **MONITOR)


def test_many_at_once_are_all_accepted(api: Api) -> None:
    ids = everything(api)
    before = api.get(LoadBalancer, ids["load_balancers"]).generation

    def change(number: int) -> None:
        if number % 2:
            api.update(Pool, ids["pools"], name=f"p{number}")
        else:
            api.create(Member, ids["pools"], address=f"192.0.2.{100 + number}", protocol_port=80)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(change, range(20)))
    assert len(api.all(Member)) == 12
    assert api.get(LoadBalancer, ids["load_balancers"]).generation == before + 20


def test_of_many_alike_one_is_accepted(api: Api) -> None:
    ids = everything(api)

    def add(_: int) -> str:
        try:
            api.create(Member, ids["pools"], address="192.0.2.100", protocol_port=80)
        except HydriaError as error:
            return error.message
        return "accepted"

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(add, range(8)))
    refusal = "Another member on this pool is already using ip 192.0.2.100 on protocol_port 80"
    assert sorted(answers) == [refusal] * 7 + ["accepted"]


def test_changes_go_on_beside_a_worker(api: Api) -> None:
    ids = everything(api)

    def change(number: int) -> None:
        if number % 3:
            api.create(Member, ids["pools"], address=f"192.0.2.{100 + number}", protocol_port=80)
        else:
            api.apply()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(24)))
    api.apply()
    assert len(api.all(Member)) == 18
    assert {status for each in api.statuses().values() for status in each} == {"ACTIVE"}


def test_positions_have_no_gaps_however_many_move_policies_at_once(api: Api) -> None:
    listener = everything(api)["listeners"]
    given = [api.create(L7Policy, listener_id=listener, action="REJECT")["id"] for _ in range(6)]

    def change(number: int) -> None:
        if number < 6:
            api.create(L7Policy, listener_id=listener, action="REJECT", position=number)
        elif number < 12:
            api.update(L7Policy, given[number - 6], position=12 - number)
        elif number < 15:
            api.delete(L7Policy, given[number - 12])
        else:
            api.apply()

    with ThreadPoolExecutor(8) as threads:
        failures = [
            each.exception() for each in [threads.submit(change, number) for number in (*range(1, 12), 15)]
        ]
        failures += [
            each.exception() for each in [threads.submit(change, number) for number in range(12, 16)]
        ]
    assert failures == [None] * 16
    found = sorted(policy.position for policy in api.all(L7Policy) if policy.desired)
    assert found == list(range(1, 6 + 5 - 3 + 1))


def test_a_quarter_of_a_hundred_rules_at_once_stay_within_the_limit(api: Api) -> None:
    listener = everything(api)["listeners"]
    policy = api.create(L7Policy, listener_id=listener, action="REJECT")["id"]
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
    for _ in range(40):
        api.create(L7Rule, policy, **rule)

    def add(_: int) -> str:
        try:
            api.create(L7Rule, policy, **rule)
        except HydriaError as error:
            return error.message
        return "accepted"

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(add, range(25)))
    assert sorted(answers) == [f"Too many rules on L7 policy {policy}"] * 15 + ["accepted"] * 10


def test_rate_limits_on_every_engine(api: Api) -> None:
    """Through the database as a worker reads it, and on to rows that go with their listener."""
    listener = everything(api)["listeners"]
    policy = api.create(RateLimitPolicy, listener_id=listener, action="QUEUE", enabled=False)["id"]
    urls = ["/login", "/it's;%20"]
    rule = api.create(RateLimitRule, policy, metric="REQUESTS_PER_URL", threshold=5, interval=9, urls=urls)[
        "id"
    ]
    assert api.update(RateLimitRule, rule, policy, threshold=2**31 - 1)["urls"] == urls
    api.update(RateLimitPolicy, policy, enabled=True)
    api.apply()
    assert {status for each in api.statuses().values() for status in each} == {"ACTIVE"}
    with api.store.read() as tx:
        tree = trees.load_tree(tx, api.all(LoadBalancer)[0].id)
    assert tree is not None
    (found,) = tree.limit_policies_of(listener)
    assert (found.action, found.admin_state_up, found.operating_status) == ("QUEUE", True, "ONLINE")
    (below,) = tree.limit_rules_of(policy)
    assert (below.threshold, below.interval, below.urls) == (2**31 - 1, 9, urls)
    api.delete(Listener, listener)
    api.apply()
    assert (api.all(RateLimitPolicy), api.all(RateLimitRule)) == ((), ())


def test_a_pool_that_a_policy_redirects_to_takes_its_listener_along(api: Api) -> None:
    """On every engine: its changes mark the listener, and it is shown with it."""
    ids = everything(api)
    spare = api.create(
        Pool, loadbalancer_id=ids["load_balancers"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )["id"]
    redirect = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": spare}
    policy = api.create(L7Policy, listener_id=ids["listeners"], **redirect)["id"]
    api.create(L7Rule, policy, type="PATH", compare_type="EQUAL_TO", value="/")
    api.apply()
    api.create(Member, spare, address="192.0.2.9", protocol_port=80)
    assert [str(each.provisioning_status) for each in api.all(Listener)] == ["PENDING_UPDATE"]
    assert api.update(Pool, spare, name="n")["listeners"] == [{"id": ids["listeners"]}]
    api.apply()
    assert {status for each in api.statuses().values() for status in each} == {"ACTIVE"}
