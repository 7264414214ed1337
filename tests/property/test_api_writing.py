"""Whatever a client sends: it is served, or refused without a trace."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.errors import HydriaError, Invalid
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared, attributes, wire_name
from hydria.store.tables import OFFERED
from hydria.testing import bodies
from tests.databases import new_store
from tests.unit.api_writing import MONITOR, ORDER, Api, everything

EVERY = (*ORDER, *OFFERED)
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
some = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


class Bench:
    """A load balancer with one of each, and what a request needs to reach each kind."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids = everything(api)
        balancer = self.ids["load_balancers"]
        web = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
        bare = api.create(Pool, loadbalancer_id=balancer, **web)["id"]
        api.apply()
        profile = api.create(FlavorProfile, name="p", provider_name="noop_driver", flavor_data="{}")["id"]
        gold = api.create(Flavor, name="gold", flavor_profile_id=profile)["id"]
        place = api.create(
            AvailabilityZoneProfile, name="p", provider_name="noop_driver", availability_zone_data="{}"
        )["id"]
        west = api.create(AvailabilityZone, name="west", availability_zone_profile_id=place)["name"]
        self.ids |= {
            "flavor_profiles": profile, "flavors": gold, "availability_zone_profiles": place,
            "availability_zones": west,
        }  # fmt: skip
        self.valid: dict[type[Declared], dict[str, Any]] = {
            LoadBalancer: {},
            Listener: {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 9},
            Pool: {"loadbalancer_id": balancer, **web},
            Member: {"address": "192.0.2.9", "protocol_port": 9},
            HealthMonitor: {"pool_id": bare, **MONITOR},
            L7Policy: {"listener_id": self.ids["listeners"], "action": "REJECT"},
            L7Rule: {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"},
            RateLimitPolicy: {"listener_id": self.ids["listeners"], "action": "DENY"},
            RateLimitRule: {"metric": "REQUESTS", "threshold": 9},
            FlavorProfile: {"name": "q", "provider_name": "noop_driver", "flavor_data": "{}"},
            Flavor: {"name": "silver", "flavor_profile_id": profile},
            AvailabilityZoneProfile: {
                "name": "q",
                "provider_name": "noop_driver",
                "availability_zone_data": "{}",
            },
            AvailabilityZone: {"name": "east", "availability_zone_profile_id": place},
        }
        self.references = {
            "loadbalancer_id": balancer,
            "pool_id": bare,
            "listener_id": self.ids["listeners"],
            "default_pool_id": bare,
            "redirect_pool_id": bare,
            "flavor_id": gold,
            "availability_zone": west,
            "flavor_profile_id": profile,
            "availability_zone_profile_id": place,
            "provider_name": "noop_driver",
        }
        policy = api.create(L7Policy, **self.valid[L7Policy])["id"]
        rule = api.create(L7Rule, policy, **self.valid[L7Rule])["id"]
        self.ids |= {L7Policy.table: policy, L7Rule.table: rule}
        limit = api.create(RateLimitPolicy, **self.valid[RateLimitPolicy])["id"]
        limit_rule = api.create(RateLimitRule, limit, **self.valid[RateLimitRule])["id"]
        self.ids |= {RateLimitPolicy.table: limit, RateLimitRule.table: limit_rule}
        api.apply()

    def parent(self, resource: type[Declared]) -> str | None:
        return {
            Member: self.ids["pools"],
            L7Rule: self.ids[L7Policy.table],
            RateLimitRule: self.ids[RateLimitPolicy.table],
        }.get(resource)

    def create(self, resource: type[Declared], body: dict[str, Any]) -> None:
        self.api.create(resource, self.parent(resource), **body)

    def update(self, resource: type[Declared], body: dict[str, Any]) -> None:
        self.api.update(resource, self.ids[resource.table], self.parent(resource), **body)

    def create_nested(self, resource: type[Declared], body: dict[str, Any]) -> None:
        """The same object inside a fully populated create."""
        pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
        around: dict[type[Declared], dict[str, Any]] = {
            Listener: {
                "listeners": [{key: value for key, value in body.items() if key != "loadbalancer_id"}]
            },
            Pool: {"pools": [{"name": "p"} | {key: body[key] for key in body if key != "loadbalancer_id"}]},
            Member: {"pools": [pool | {"members": [body]}]},
            HealthMonitor: {
                "pools": [pool | {"healthmonitor": {key: body[key] for key in body if key != "pool_id"}}]
            },
        }
        listener = {"protocol": "HTTP", "protocol_port": 9}
        policy = {key: value for key, value in body.items() if key != "listener_id"}
        around[L7Policy] = {"listeners": [listener | {"l7policies": [policy]}]}
        around[L7Rule] = {"listeners": [listener | {"l7policies": [{"action": "REJECT", "rules": [body]}]}]}
        around[RateLimitPolicy] = {"listeners": [listener | {"rate_limit_policies": [policy]}]}
        limits = [{"action": "DENY", "rules": [body]}]
        around[RateLimitRule] = {"listeners": [listener | {"rate_limit_policies": limits}]}
        self.api.create(LoadBalancer, **around[resource])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(Api(new_store(tmp_path_factory.mktemp("store"))))


def cases(*, creating: bool) -> list[Any]:
    return [
        pytest.param(resource, wire_name(name, attribute), attribute.kind, id=f"{resource.root}-{name}")
        for resource in EVERY
        for name, attribute in attributes(resource).items()
        if bodies.accepted(attribute, creating=creating)
    ]


def refused(bench: Bench, request: Any, name: str, kind: Any) -> None:
    before = bench.api.dump()

    @few
    @given(value=bodies.invalid_values(kind))
    def attempt(value: object) -> None:
        with pytest.raises(Invalid) as raised:
            request(value)
        assert raised.value.message.isprintable()
        assert name in raised.value.message

    attempt()
    assert bench.api.dump() == before
    assert not [port for port in bench.api.network.ports() if not _owned(bench, port.owner)]


def _owned(bench: Bench, owner: str) -> bool:
    return bench.api.get(LoadBalancer, owner.removeprefix("lb-")) is not None


@pytest.mark.parametrize(("resource", "name", "kind"), cases(creating=True))
def test_a_bad_value_in_a_post_changes_nothing(
    bench: Bench, resource: type[Declared], name: str, kind: Any
) -> None:
    refused(bench, lambda value: bench.create(resource, {**bench.valid[resource], name: value}), name, kind)


@pytest.mark.parametrize(("resource", "name", "kind"), cases(creating=False))
def test_a_bad_value_in_a_put_changes_nothing(
    bench: Bench, resource: type[Declared], name: str, kind: Any
) -> None:
    refused(bench, lambda value: bench.update(resource, {name: value}), name, kind)


@pytest.mark.parametrize(
    ("resource", "name", "kind"),
    [
        case
        for case in cases(creating=True)
        if case.values[0] not in (LoadBalancer, *OFFERED)
        and case.values[1] not in ("loadbalancer_id", "pool_id", "listener_id", "project_id")
    ],
)
def test_a_bad_value_in_a_nested_object_changes_nothing(
    bench: Bench, resource: type[Declared], name: str, kind: Any
) -> None:
    refused(
        bench,
        lambda value: bench.create_nested(resource, {**bench.valid[resource], name: value}),
        name,
        kind,
    )


@pytest.mark.parametrize("creating", [True, False], ids=["POST", "PUT"])
@pytest.mark.parametrize("resource", EVERY)
def test_a_body_of_valid_values_is_served_or_refused_without_a_trace(
    bench: Bench, resource: type[Declared], creating: bool
) -> None:
    references = {
        wire_name(name, attribute)
        for name, attribute in attributes(resource).items()
        if bodies.accepted(attribute, creating=creating) and wire_name(name, attribute) in bench.references
    }

    @some
    @given(
        body=bodies.valid_bodies(resource, creating=creating, without=references),
        named=st.sets(st.sampled_from(sorted(references)) if references else st.nothing()),
    )
    def attempt(body: dict[str, Any], named: set[str]) -> None:
        before = bench.api.dump()
        request = bench.create if creating else bench.update
        try:
            request(resource, body | {name: bench.references[name] for name in named})
        except HydriaError:
            assert bench.api.dump() == before

    attempt()
