"""What the API has beyond Octavia's: found by name, seen only when set, refused by drivers that do not know it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hydria.api import extensions as api_extensions
from hydria.dataplane import Tuning, desired_state
from hydria.model import extensions
from hydria.model.errors import Invalid, Unsupported
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource, attributes, extensions_used
from hydria.model.statuses import MonitorType, RuleType
from hydria.providers import objects
from hydria.store import Store, trees
from hydria.store.tables import RESOURCES
from tests.databases import new_store
from tests.unit import api_reading
from tests.unit.api_writing import Api, everything

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
# Of each extension, a way to use it in a change of an object of everything().
USES: dict[str, tuple[type[Resource], dict[str, Any]]] = {
    "drain-timeout": (Pool, {"drain_timeout": 30}),
    "slow-start": (Pool, {"slow_start": 10}),
    "compression": (Listener, {"compression": True}),
    "flow-logs": (LoadBalancer, {"flow_logs": False}),
    "preserve-source": (Pool, {"preserve_source": False}),
}
# Of those that add words, a body that creates an object with one.
WORDS: dict[str, tuple[type[Resource], dict[str, Any]]] = {
    "l7-actions": (
        L7Policy,
        {
            "action": "FIXED_RESPONSE",
            "fixed_response": {"status": 503, "content_type": "text/html", "body": "<p>soon</p>"},
        },
    ),
    "l7-rule-types": (L7Rule, {"type": "METHOD", "compare_type": "EQUAL_TO", "value": "PUT"}),
}


# Of those that add resources, a body that creates one; what it is below comes first.
OBJECTS: dict[str, tuple[tuple[type[Resource], dict[str, Any]], ...]] = {
    "rate-limit": (
        (RateLimitPolicy, {"action": "QUEUE", "enabled": False}),
        (RateLimitRule, {"metric": "REQUESTS_PER_URL", "threshold": 5, "interval": 10, "urls": ["/a"]}),
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def test_each_extension_has_attributes_or_words_and_a_name_of_its_own() -> None:
    aliases = [each.alias for each in extensions.ALL]
    assert len(set(aliases)) == len(aliases)
    assert USES.keys() | WORDS.keys() | OBJECTS.keys() == set(aliases)
    for each in extensions.ALL:
        assert api_extensions.shown(each)["attributes"], each.alias


def test_clients_can_look_for_extensions(store: Store) -> None:
    api = api_reading.Api(store)
    listed = api.get("/v2/lbaas/extensions")["extensions"]
    assert [each["alias"] for each in listed] == [each.alias for each in extensions.ALL]
    assert api.get("/v2/extensions")["extensions"] == listed
    one = api.get("/v2/lbaas/extensions/drain-timeout")["extension"]
    assert one == listed[0]
    assert one["attributes"] == [{"resource": "pool", "name": "drain_timeout", "values": []}]
    assert api.get("/v2/lbaas/extensions/nothing", 404)["faultstring"] == "Extension nothing not found."


def test_drivers_written_for_octavia_never_see_them() -> None:
    for resource in RESOURCES:
        names = objects.names_of(resource)
        extended = {name for name, it in attributes(resource).items() if it.extension is not None}
        assert extended.isdisjoint(names)


def test_words_are_of_an_extension_only_in_their_own_attribute() -> None:
    assert list(extensions_used(HealthMonitor, {"type": MonitorType.PING})) == []
    assert not any(each.adds("METHOD") for each in extensions.ALL)
    assert [each.alias for each in extensions.ALL if each.adds(RuleType.METHOD)] == ["l7-rule-types"]


@pytest.mark.parametrize("provider", ["amphora", "noop_driver"])
@pytest.mark.parametrize("alias", USES)
def test_responses_have_them_only_while_they_are_set(store: Store, alias: str, provider: str) -> None:
    api = Api(store, provider=provider)
    ids = everything(api)
    resource, body = USES[alias]
    added = {key for key, it in attributes(resource).items() if it.extension is not None}
    identifier = ids[resource.table]
    assert added.isdisjoint(api.update(resource, identifier, name="before"))
    shown = api.update(resource, identifier, **body)
    assert body.items() <= shown.items()
    reading = api_reading.Api(store)
    url = f"/v2/lbaas/{resource.plural}"
    assert body.items() <= reading.get(f"{url}/{identifier}")[resource.root].items()
    assert body.items() <= reading.get(url)[resource.plural][0].items()
    cleared = api.update(resource, identifier, **dict.fromkeys(body.keys() & added))
    assert added.isdisjoint(cleared)
    assert added.isdisjoint(reading.get(url)[resource.plural][0])


@pytest.mark.parametrize("alias", USES)
def test_third_party_providers_refuse_them(store: Store, alias: str) -> None:
    api = Api(store, provider="third")
    ids = everything(api)
    resource, body = USES[alias]
    key = next(iter(body))
    message = (
        f"Provider 'third' does not support a requested option: {key}, as the extension '{alias}' has it."
    )
    with api.unchanged(Unsupported, message):
        api.update(resource, ids[resource.table], **body)


@pytest.mark.parametrize("provider", ["third", "amphora"])
@pytest.mark.parametrize("alias", WORDS)
def test_third_party_providers_refuse_words_of_them(store: Store, alias: str, provider: str) -> None:
    resource, changes = WORDS[alias]
    api = Api(store, provider=provider)
    policy = {"listener_id": everything(api)["listeners"], "action": "REJECT"}
    parent = None
    if resource is L7Rule:
        parent = api.create(L7Policy, **policy)["id"]
        api.apply()
        usual = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
    else:
        usual = policy
    present = api.create(resource, parent, **usual)["id"]
    api.apply()
    if provider == "amphora":
        assert changes.items() <= api.create(resource, parent, **{**usual, **changes}).items()
        assert changes.items() <= api.update(resource, present, parent, **changes).items()
        return
    message = (
        "Provider 'third' does not support a requested option:"
        f" {next(iter(changes))}, as the extension '{alias}' has it."
    )
    with api.unchanged(Unsupported, message):
        api.create(resource, parent, **{**usual, **changes})
    with api.unchanged(Unsupported, message):
        api.update(resource, present, parent, **changes)


@pytest.mark.parametrize("provider", ["third", "amphora", "noop_driver"])
def test_objects_of_extensions(store: Store, provider: str) -> None:
    (policy, limits), (rule, body) = OBJECTS["rate-limit"]
    api = Api(store, provider=provider)
    limits = {"listener_id": everything(api)["listeners"], **limits}
    if provider == "third":
        message = (
            "Provider 'third' does not support a requested option: ratelimitpolicy, as the extension"
            " 'rate-limit' has it."
        )
        with api.unchanged(Unsupported, message):
            api.create(policy, **limits)
        with api.unchanged(Unsupported, message):
            listener = {"protocol": "HTTP", "protocol_port": 80, "rate_limit_policies": [{"action": "DENY"}]}
            api.create(LoadBalancer, listeners=[listener])
        return
    reading = api_reading.Api(store)
    listener_url = f"/v2/lbaas/listeners/{limits['listener_id']}"
    assert "rate_limit_policies" not in reading.get(listener_url)["listener"]
    made = api.create(policy, **limits)
    assert limits.items() <= made.items()
    api.apply()
    below = api.create(rule, made["id"], **body)
    assert body.items() <= below.items()
    assert reading.get(listener_url)["listener"]["rate_limit_policies"] == [{"id": made["id"]}]
    url = f"/v2/lbaas/ratelimitpolicies/{made['id']}"
    assert reading.get(url)["ratelimitpolicy"]["rules"] == [{"id": below["id"]}]
    assert body.items() <= reading.get(f"{url}/rules")["rules"][0].items()


def test_only_listeners_that_speak_http_compress(store: Store) -> None:
    api = Api(store)
    balancer = everything(api)["load_balancers"]
    message = "Validation failure: compression is not for listeners of the protocol TCP."
    body = {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 81}
    with api.unchanged(Invalid, message):
        api.create(Listener, compression=True, **body)
    made = api.create(Listener, compression=False, **body)
    assert made["compression"] is False
    with api.unchanged(Invalid, message):
        api.update(Listener, made["id"], compression=True)


def test_only_pools_of_datagrams_keep_clients_addresses(store: Store) -> None:
    api = Api(store)
    ids = everything(api)
    message = "Validation failure: preserve_source is not for pools of the protocol HTTP."
    with api.unchanged(Invalid, message):
        api.update(Pool, ids["pools"], preserve_source=True)
    body = {"loadbalancer_id": ids["load_balancers"], "lb_algorithm": "ROUND_ROBIN", "preserve_source": True}
    with api.unchanged(Invalid, message):
        api.create(Pool, protocol="HTTP", **body)
    for protocol in ("UDP", "SCTP"):
        assert api.create(Pool, protocol=protocol, **body)["preserve_source"] is True


def test_third_party_providers_refuse_them_in_creates(store: Store) -> None:
    api = Api(store, provider="third")
    ids = everything(api)
    message = "Provider 'third' does not support a requested option: {}, as the extension '{}' has it."
    with api.unchanged(Unsupported, message.format("slow_start", "slow-start")):
        api.create(Pool, loadbalancer_id=ids["load_balancers"], slow_start=5, **POOL)
    with api.unchanged(Unsupported, message.format("flow_logs", "flow-logs")):
        api.create(LoadBalancer, flow_logs=False)
    with api.unchanged(Unsupported, message.format("drain_timeout", "drain-timeout")):
        api.create(LoadBalancer, pools=[{"name": "p", "drain_timeout": 5, **POOL}])
    assert "slow_start" not in api.create(
        Pool, loadbalancer_id=ids["load_balancers"], slow_start=None, **POOL
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"protocol": "UDP", "drain_timeout": 5}, "drain_timeout is not for pools of the protocol UDP."),
        ({"protocol": "SCTP", "slow_start": 5}, "slow_start is not for pools of the protocol SCTP."),
        (
            {"lb_algorithm": "SOURCE_IP", "slow_start": 5},
            (
                "slow_start is only for pools with one of the algorithms ROUND_ROBIN, LEAST_CONNECTIONS,"
                " not SOURCE_IP."
            ),
        ),
    ],
)
def test_pools_that_cannot_have_them(store: Store, body: dict[str, object], message: str) -> None:
    api = Api(store)
    ids = everything(api)
    with api.unchanged(Invalid, f"Validation failure: {message}"):
        api.create(Pool, loadbalancer_id=ids["load_balancers"], **{**POOL, **body})


def test_an_algorithm_that_does_not_start_slowly(store: Store) -> None:
    api = Api(store)
    pool = everything(api)["pools"]
    api.update(Pool, pool, slow_start=5)
    with pytest.raises(Invalid, match="slow_start is only for pools with one of the algorithms"):
        api.update(Pool, pool, lb_algorithm="SOURCE_IP")
    api.update(Pool, pool, name="n")
    assert "slow_start" not in api.update(Pool, pool, lb_algorithm="SOURCE_IP", slow_start=None)


def test_what_policies_carry_is_shown_and_taken_away(store: Store) -> None:
    api = Api(store)
    ids = everything(api)
    change = {"direction": "REQUEST", "operation": "SET", "name": "X-A", "value": "1"}
    rewrite = {"prefix": "/a", "replacement": "/b"}
    made = api.create(
        L7Policy,
        listener_id=ids["listeners"],
        action="MODIFY",
        header_changes=[change],
        url_rewrite=rewrite,
    )
    assert (made["header_changes"], made["url_rewrite"]) == ([change], rewrite)
    assert "fixed_response" not in made
    shown = api_reading.Api(store).get(f"/v2/lbaas/l7policies/{made['id']}")["l7policy"]
    assert (shown["header_changes"], shown["url_rewrite"]) == ([change], rewrite)
    changed = api.update(L7Policy, made["id"], fixed_response={"status": 404})
    assert changed["action"] == "FIXED_RESPONSE"
    assert changed["fixed_response"] == {"status": 404, "content_type": None, "body": None}
    assert {"header_changes", "url_rewrite"}.isdisjoint(changed)
    assert "fixed_response" not in api.update(L7Policy, made["id"], action="REJECT")
    whole = api.create(
        LoadBalancer,
        listeners=[
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "l7policies": [{"action": "MODIFY", "url_rewrite": rewrite}],
            }
        ],
    )
    assert whole["listeners"][0]["l7policies"][0]["url_rewrite"] == rewrite


def test_what_is_ordered_reaches_the_data_plane(store: Store) -> None:
    """Through the database, where much of it is JSON."""
    api = Api(store)
    change = {"direction": "RESPONSE", "operation": "REMOVE", "name": "Server"}
    query = {"type": "QUERY", "compare_type": "EQUAL_TO", "key": "q", "value": "1"}
    policies = [
        {
            "action": "MODIFY",
            "header_changes": [change],
            "url_rewrite": {"prefix": "/a", "replacement": "/b"},
            "rules": [query],
        },
        {"action": "FIXED_RESPONSE", "fixed_response": {"status": 410, "body": "gone"}, "rules": [query]},
    ]
    pool = {
        "name": "p",
        "drain_timeout": 7,
        "slow_start": 9,
        "members": [{"address": "192.0.2.1", "protocol_port": 80}],
        **POOL,
    }
    made = api.create(
        LoadBalancer,
        listeners=[
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "compression": True,
                "default_pool": pool,
                "l7policies": policies,
            }
        ],
    )
    with store.read() as tx:
        tree = trees.load_tree(tx, made["id"])
    assert tree is not None
    state = desired_state(tree, (), Tuning())
    assert [server.drain for server in state.servers] == [7]
    for part in (
        "slowstart 9s",
        "compression algo gzip",
        "url_param(q),url_dec(1) -m str -f tls/",
        "http-after-response del-header Server if",
        "replace-path '^/a(/.*)?$' '/b\\1' if",
        "return status 410 content-type text/plain string gone if",
    ):
        assert part in state.haproxy, part
