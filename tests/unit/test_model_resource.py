"""Parsing of request bodies: nulls, defaults, unknown and mandatory attributes (contract 1.4 to 1.14)."""

import pytest

from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.errors import Invalid
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
from hydria.model.resource import by_wire_name, parse_create, parse_update

UUID = "11111111-2222-4333-8444-55555555aaaa"
TIMEOUTS = {
    "timeout_client_data": 50_000,
    "timeout_member_connect": 5_000,
    "timeout_member_data": 50_000,
    "timeout_tcp_inspect": 0,
}
DEFAULTS = {**TIMEOUTS, "default_provider_driver": "amphora"}
MINIMAL = {
    LoadBalancer: {},
    Listener: {"loadbalancer_id": UUID, "protocol": "HTTP", "protocol_port": 80},
    Pool: {"loadbalancer_id": UUID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
    Member: {"address": "192.0.2.1", "protocol_port": 80},
    HealthMonitor: {"pool_id": UUID, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
    FlavorProfile: {"name": "p", "provider_name": "amphora", "flavor_data": "{}"},
    Flavor: {"name": "gold", "flavor_profile_id": UUID},
    AvailabilityZoneProfile: {"name": "p", "provider_name": "amphora", "availability_zone_data": "{}"},
    AvailabilityZone: {"name": "west", "availability_zone_profile_id": UUID},
    L7Policy: {"listener_id": UUID, "action": "REJECT"},
    L7Rule: {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"},
    RateLimitPolicy: {"listener_id": UUID, "action": "DENY"},
    RateLimitRule: {"metric": "REQUESTS", "threshold": 5},
}

# What null means on PUT, by hand from the contract (None: cleared).
NULLS = {
    LoadBalancer: {
        "name": "",
        "description": "",
        "admin_state_up": False,
        "vip_qos_policy_id": None,
        "vip_sg_ids": [],
        "tags": [],
    },
    Listener: {
        "name": "",
        "description": "",
        "admin_state_up": False,
        "connection_limit": -1,
        "default_pool_id": None,
        "insert_headers": {},
        "default_tls_container_ref": None,
        "sni_container_refs": [],
        "client_ca_tls_container_ref": None,
        "client_authentication": "NONE",
        "client_crl_container_ref": None,
        **TIMEOUTS,
        "tags": [],
        "allowed_cidrs": None,
        "tls_ciphers": None,
        "tls_versions": None,
        "alpn_protocols": None,
        "hsts_max_age": None,
        "hsts_include_subdomains": False,
        "hsts_preload": False,
    },
    Pool: {
        "name": "",
        "description": "",
        "admin_state_up": False,
        "session_persistence": None,
        "tls_enabled": False,
        "tls_container_ref": None,
        "ca_tls_container_ref": None,
        "crl_container_ref": None,
        "tls_ciphers": None,
        "tls_versions": None,
        "alpn_protocols": None,
        "tags": [],
    },
    Member: {
        "name": "",
        "admin_state_up": False,
        "weight": 1,
        "backup": False,
        "monitor_address": None,
        "monitor_port": None,
        "tags": [],
    },
    HealthMonitor: {
        "name": "",
        "admin_state_up": False,
        "max_retries_down": 3,
        "http_method": None,
        "url_path": None,
        "expected_codes": None,
        "http_version": None,
        "domain_name": None,
        "tags": [],
    },
    FlavorProfile: {},
    Flavor: {"description": "", "enabled": True},
    AvailabilityZoneProfile: {},
    AvailabilityZone: {"description": "", "enabled": True},
    L7Policy: {
        "name": "",
        "description": "",
        "admin_state_up": False,
        "redirect_pool_id": None,
        "redirect_url": None,
        "redirect_prefix": None,
        "redirect_http_code": None,
        "position": 2**31 - 1,
        "tags": [],
    },
    L7Rule: {"admin_state_up": False, "key": None, "invert": False, "tags": []},
}
REFUSED_NULLS = {
    Pool: {"lb_algorithm"},
    HealthMonitor: {"delay", "timeout", "max_retries"},
    FlavorProfile: {"name", "provider_name", "flavor_data"},
    Flavor: {"name"},
    AvailabilityZoneProfile: {"name", "provider_name", "availability_zone_data"},
    L7Policy: {"action"},
    L7Rule: {"type", "compare_type", "value"},
}


@pytest.mark.parametrize("resource", NULLS)
def test_put_takes_exactly_the_attributes_of_the_contract(resource):
    known = by_wire_name(resource)
    changeable = {name for name, (_, it) in known.items() if it.update and it.extension is None}
    assert changeable == NULLS[resource].keys() | REFUSED_NULLS.get(resource, set())


@pytest.mark.parametrize("resource", NULLS)
def test_what_octavia_has_not_is_nothing_by_default_and_by_null(resource):
    added = {name for name, (_, it) in by_wire_name(resource).items() if it.extension is not None}
    assert parse_update(resource, dict.fromkeys(added), DEFAULTS) == dict.fromkeys(added)
    if resource in MINIMAL:
        values = parse_create(resource, MINIMAL[resource], DEFAULTS)
        assert {values[name] for name in added} <= {None}


@pytest.mark.parametrize("resource", NULLS)
def test_null_on_put(resource):
    fields = {by_wire_name(resource)[name][0]: value for name, value in NULLS[resource].items()}
    assert parse_update(resource, dict.fromkeys(NULLS[resource]), DEFAULTS) == fields
    for name in REFUSED_NULLS.get(resource, ()):
        with pytest.raises(Invalid, match=f"field/attribute {name}. "):
            parse_update(resource, {name: None}, DEFAULTS)


@pytest.mark.parametrize("resource", MINIMAL)
def test_each_mandatory_attribute_is_missed(resource):
    parse_create(resource, MINIMAL[resource], DEFAULTS)
    optional = {"loadbalancer_id"} if resource is Pool else set()  # listener_id may stand for it
    for name in MINIMAL[resource].keys() - optional:
        message = f"Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing."
        for body in (
            {**MINIMAL[resource], name: None},
            {k: v for k, v in MINIMAL[resource].items() if k != name},
        ):
            with pytest.raises(Invalid) as refusal:
                parse_create(resource, body, DEFAULTS)
            assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("resource", "body", "message"),
    [
        (LoadBalancer, {"colour": 1}, "Unknown attribute for argument load_balancer.loadbalancer: colour"),
        (LoadBalancer, {"b": 1, "a": 1}, "Unknown attributes for argument load_balancer.loadbalancer: a, b"),
        (LoadBalancer, {"id": UUID}, "Unknown attribute for argument load_balancer.loadbalancer: id"),
        (Member, {"description": ""}, "Unknown attribute for argument member_.member: description"),
        (
            LoadBalancer,
            {"additional_vips": [{"subnet_id": UUID, "x": 1}]},
            "Unknown attribute for argument load_balancer.loadbalancer.additional_vips: x",
        ),
        (
            LoadBalancer,
            {"additional_vips": [{"ip_address": "192.0.2.1"}]},
            (
                "Invalid input for field/attribute additional_vips.subnet_id. Value: "
                "'None'. Mandatory field missing."
            ),
        ),
        (
            LoadBalancer,
            {"name": 5},
            "Invalid input for field/attribute name. Value: '5'. Expected a string, not a number.",
        ),
        (
            LoadBalancer,
            {"name": "x" * 300},
            (
                f"Invalid input for field/attribute name. Value: '{'x' * 256}…'. "
                "Value should have a maximum character requirement of 255"
            ),
        ),
        (
            LoadBalancer,
            {"tenant_id": "a", "project_id": "b"},
            (
                "Invalid input for field/attribute tenant_id. Value: 'a'. "
                "project_id has another value; tenant_id is its old name."
            ),
        ),
        (
            LoadBalancer,
            [],
            "Invalid input for field/attribute loadbalancer. Value: '[]'. Expected an object.",
        ),
        (
            LoadBalancer,
            "x" * 10,
            "Invalid input for field/attribute loadbalancer. Value: 'xxxxxxxxxx'. Expected an object.",
        ),
    ],
)
def test_refusals(resource, body, message):
    with pytest.raises(Invalid) as refusal:
        parse_create(resource, body, DEFAULTS)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("body", "project"),
    [
        ({}, ""),
        ({"tenant_id": "a"}, "a"),
        ({"project_id": "a"}, "a"),
        ({"project_id": "a", "tenant_id": "a"}, "a"),
        ({"project_id": None, "tenant_id": "a"}, "a"),
        ({"project_id": "a", "tenant_id": None}, "a"),
        ({"tenant_id": None}, ""),
    ],
)
def test_tenant_id_is_the_old_name_of_project_id(body, project):
    assert parse_create(LoadBalancer, body, DEFAULTS)["project_id"] == project


def test_the_operator_sets_defaults():
    values = parse_create(Listener, MINIMAL[Listener], {**TIMEOUTS, "timeout_client_data": 7})
    assert values["timeout_client_data"] == 7


def test_defaults_are_nobody_elses():
    values = parse_create(Listener, MINIMAL[Listener], DEFAULTS)
    values["tags"].append("mine")
    assert parse_create(Listener, MINIMAL[Listener], DEFAULTS)["tags"] == []


def test_a_put_changes_only_the_keys_of_a_record_that_it_carries():
    assert parse_update(Pool, {"session_persistence": {"cookie_name": "a"}}, {}) == {
        "session_persistence": {"cookie_name": "a"}
    }
    assert parse_update(Pool, {"session_persistence": {}}, {}) == {"session_persistence": {}}


def test_ignored_keys_are_somebody_elses():
    body = {"address": "192.0.2.1", "protocol_port": 80, "tenant_id": 5, "x": 1}
    assert "x" not in parse_create(Member, body, {}, ignored=("tenant_id", "x"))


def test_a_field_can_be_made_mandatory():
    with pytest.raises(Invalid, match=r"attribute name\b.*Mandatory field missing"):
        parse_create(LoadBalancer, {}, {}, required=("name",))
