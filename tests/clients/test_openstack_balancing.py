"""``openstack loadbalancer``: load balancers, listeners, pools, members and health monitors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from octaviaclient.osc.v2 import constants

from tests.clients.neutron import NAMES
from tests.clients.openstack_client import Openstack
from tests.clients.served import NOBODY, QUIET, SUBNET

pytestmark = [pytest.mark.system, QUIET]
STATISTICS = dict.fromkeys(constants.LOAD_BALANCER_STATS_ROWS, 0)


@pytest.fixture(scope="module")
def balancer(cli: Openstack) -> Iterator[str]:
    """The name of a load balancer for the tests of what is in it."""
    cli("loadbalancer create", "--name", "cli", "--vip-subnet-id", "subnet")
    cli.settled("cli")
    yield "cli"
    cli("loadbalancer delete", "--cascade", "cli")
    cli.gone("/loadbalancers?name=cli")


@pytest.fixture(scope="module")
def pool(cli: Openstack, balancer: str) -> str:
    """The name of a pool on it."""
    cli(
        "loadbalancer pool create", "--name", "cli-pool", "--protocol", "HTTP", "--lb-algorithm", "ROUND_ROBIN",
        "--loadbalancer", balancer,
    )  # fmt: skip
    cli.settled(balancer)
    return "cli-pool"


def same(cli: Openstack, shown: dict[str, Any], path: str, root: str, columns: tuple[str, ...]) -> None:
    """What the client prints is what the API has."""
    answer = cli.api(f"{path}/{shown['id']}")[root]
    assert shown == {key: answer.get(key, "") for key in columns}


def test_load_balancers(cli: Openstack) -> None:
    made = cli(
        "loadbalancer create", "--name", "lb-cli", "--description", "by the client", "--vip-subnet-id", "subnet",
        "--vip-address", "198.18.0.77", "--provider", "amphora", "--disable",
        "--tag", "red", "--tag", "blue",
    )  # fmt: skip
    assert set(made) == set(constants.LOAD_BALANCER_ROWS)
    assert (made["name"], made["description"], made["provider"]) == ("lb-cli", "by the client", "amphora")
    assert (made["vip_subnet_id"], made["vip_address"]) == (SUBNET, "198.18.0.77")
    assert (made["admin_state_up"], made["vip_qos_policy_id"]) == (False, None)
    assert (made["provisioning_status"], sorted(made["tags"])) == ("PENDING_CREATE", ["blue", "red"])
    cli.settled("lb-cli")
    shown = cli("loadbalancer show", "lb-cli")
    same(cli, shown, "/loadbalancers", "loadbalancer", constants.LOAD_BALANCER_ROWS)
    assert cli("loadbalancer show", made["id"]) == shown

    (listed,) = cli("loadbalancer list", "--name", "lb-cli")
    assert listed == {key: shown[key] for key in constants.LOAD_BALANCER_COLUMNS}
    for filters in (
        ("--tags", "red,blue"), ("--any-tags", "red,green"), ("--vip-subnet-id", "subnet", "--disable"),
        ("--provisioning-status", "ACTIVE", "--disable"),
        ("--operating-status", shown["operating_status"], "--disable", "--provider", "amphora"),
    ):  # fmt: skip
        assert [each["id"] for each in cli("loadbalancer list", *filters)] == [made["id"]], filters
    assert made["id"] not in [each["id"] for each in cli("loadbalancer list", "--not-tags", "red")]
    assert cli("loadbalancer list", "--vip-network-id", "net") == []
    assert cli("loadbalancer list", "--vip-port-id", "port") == []

    assert cli("loadbalancer stats show", "lb-cli") == STATISTICS
    tree = cli("loadbalancer status show", "lb-cli")["loadbalancer"]
    assert (tree["id"], tree["name"], tree["listeners"]) == (made["id"], "lb-cli", [])

    cli(
        "loadbalancer set",
        "--name",
        "lb-cli2",
        "--description",
        "other",
        "--enable",
        "--tag",
        "green",
        "lb-cli",
    )
    shown = cli.settled("lb-cli2")
    assert (shown["description"], shown["admin_state_up"]) == ("other", True)
    assert sorted(shown["tags"]) == ["blue", "green", "red"]
    cli("loadbalancer unset", "--description", "--tag", "red", "lb-cli2")
    shown = cli.settled("lb-cli2")
    assert shown["description"] == ""
    assert sorted(shown["tags"]) == ["blue", "green"]
    cli("loadbalancer unset", "--all-tag", "lb-cli2")
    assert cli.settled("lb-cli2")["tags"] == []
    cli("loadbalancer delete", "lb-cli2")
    cli.gone("/loadbalancers?name=lb-cli2")
    assert "Unable to locate lb-cli2 in loadbalancers" in cli.refused("loadbalancer show", "lb-cli2")


@pytest.mark.parametrize(
    ("source", "attribute", "kind", "name"),
    [
        ("--vip-network-id", "vip_network_id", "networks", "net"),
        ("--vip-port-id", "vip_port_id", "ports", "port"),
    ],
)
def test_sources_of_a_vip(cli: Openstack, source: str, attribute: str, kind: str, name: str) -> None:
    made = cli("loadbalancer create", "--name", "lb-source", source, name)
    assert made[attribute] == NAMES[kind][name]
    cli.settled("lb-source")
    assert [each["id"] for each in cli("loadbalancer list", source, name)] == [made["id"]]
    cli("loadbalancer delete", "lb-source")
    cli.gone("/loadbalancers?name=lb-source")


def test_what_the_network_has_for_a_vip(cli: Openstack) -> None:
    """Not with the amphora provider on the noop network, which knows neither."""
    made = cli(
        "loadbalancer create", "--name", "lb-net", "--vip-subnet-id", "subnet", "--vip-qos-policy-id", "gold",
        "--provider", "noop_driver",
    )  # fmt: skip
    assert made["vip_qos_policy_id"] == NAMES["policies"]["gold"]
    cli.settled("lb-net")
    assert [each["id"] for each in cli("loadbalancer list", "--vip-qos-policy-id", "gold")] == [made["id"]]
    cli("loadbalancer set", "--vip-sg-id", "web", "lb-net")
    assert cli.settled("lb-net")["vip_sg_ids"] == [NAMES["security-groups"]["web"]]
    cli("loadbalancer unset", "--vip-qos-policy-id", "--vip-sg-id", "lb-net")
    shown = cli.settled("lb-net")
    assert (shown["vip_qos_policy_id"], shown["vip_sg_ids"]) == (None, [])
    cli("loadbalancer set", "--vip-qos-policy-id", "gold", "lb-net")
    assert cli.settled("lb-net")["vip_qos_policy_id"] == NAMES["policies"]["gold"]
    cli("loadbalancer delete", "lb-net")
    cli.gone("/loadbalancers?name=lb-net")


def test_a_client_that_waits(noauth: Openstack) -> None:
    """It polls every three seconds, so there is one of each such command."""
    made = noauth("loadbalancer create", "--name", "lb-wait", "--vip-network-id", "net", "--wait")
    assert made["provisioning_status"] == "ACTIVE"
    noauth("loadbalancer delete", "--wait", "lb-wait")
    assert noauth("loadbalancer list", "--name", "lb-wait") == []


def test_more_vips(cli: Openstack) -> None:
    of_both = ("--vip-subnet-id", "subnet", "--additional-vip", "subnet-id=subnet2")
    cli("loadbalancer create", "--name", "lb-vips", *of_both)
    (more,) = cli.settled("lb-vips")["additional_vips"]
    assert more["subnet_id"] == NAMES["subnets"]["subnet2"]
    cli("loadbalancer delete", "lb-vips")
    assert "must include a subnet-id" in cli.refused(
        "loadbalancer create", "--vip-subnet-id", "subnet", "--additional-vip", "ip-address=192.0.2.1"
    )


def test_listeners(cli: Openstack, balancer: str, pool: str) -> None:
    made = cli(
        "loadbalancer listener create", "--name", "l-cli", "--description", "d", "--protocol", "HTTP",
        "--protocol-port", 8080, "--connection-limit", 100, "--default-pool", pool, "--insert-headers",
        "X-Forwarded-For=true,X-Forwarded-Port=true", "--timeout-client-data", 1000, "--timeout-member-connect",
        1001, "--timeout-member-data", 1002, "--timeout-tcp-inspect", 5, "--allowed-cidr", "192.0.2.0/24",
        "--allowed-cidr", "198.51.100.0/24", "--disable", "--tag", "red", balancer,
    )  # fmt: skip
    assert set(made) == set(constants.LISTENER_ROWS)
    assert (made["protocol"], made["protocol_port"], made["connection_limit"]) == ("HTTP", 8080, 100)
    assert made["insert_headers"] == {"X-Forwarded-For": "true", "X-Forwarded-Port": "true"}
    assert [made[f"timeout_{what}"] for what in ("client_data", "member_connect", "member_data", "tcp_inspect")] == [
        1000, 1001, 1002, 5,
    ]  # fmt: skip
    assert sorted(made["allowed_cidrs"]) == ["192.0.2.0/24", "198.51.100.0/24"]
    cli.settled(balancer)
    shown = cli("loadbalancer listener show", "l-cli")
    same(cli, shown, "/listeners", "listener", constants.LISTENER_ROWS)
    (listed,) = cli("loadbalancer listener list", "--name", "l-cli")
    assert listed == {key: shown[key] for key in constants.LISTENER_COLUMNS}
    assert cli("loadbalancer listener list", "--loadbalancer", balancer, "--disable", "--tags", "red") == [
        listed
    ]
    assert cli("loadbalancer listener stats show", "l-cli") == STATISTICS
    cli(
        "loadbalancer listener set", "--name", "l-cli2", "--connection-limit", 5, "--enable", "--insert-headers",
        "X-Forwarded-Proto=true", "--allowed-cidr", "203.0.113.0/24", "--timeout-client-data", 7, "l-cli",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer listener show", "l-cli2")
    assert (shown["connection_limit"], shown["admin_state_up"], shown["timeout_client_data"]) == (5, True, 7)
    assert (shown["insert_headers"], shown["allowed_cidrs"]) == (
        {"X-Forwarded-Proto": "true"},
        ["203.0.113.0/24"],
    )
    cli(
        "loadbalancer listener unset", "--description", "--connection-limit", "--default-pool", "--insert-headers",
        "--timeout-client-data", "--timeout-member-connect", "--timeout-member-data", "--timeout-tcp-inspect",
        "--allowed-cidrs", "--sni-container-refs", "--default-tls-container-ref", "--client-authentication",
        "--client-ca-tls-container-ref", "--client-crl-container-ref", "--hsts-max-age", "--tag", "red", "l-cli2",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer listener show", "l-cli2")
    assert (shown["connection_limit"], shown["default_pool_id"], shown["insert_headers"]) == (-1, None, {})
    assert (shown["allowed_cidrs"], shown["timeout_client_data"], shown["tags"]) == (None, 50000, [])
    assert (shown["description"], shown["client_authentication"]) == ("", "NONE")
    cli("loadbalancer listener delete", "l-cli2")
    cli.gone("/listeners?name=l-cli2")
    assert cli("loadbalancer listener list", "--name", "l-cli2") == []


def test_pools(cli: Openstack, balancer: str) -> None:
    cli(
        "loadbalancer listener create",
        "--name",
        "l-pool",
        "--protocol",
        "HTTP",
        "--protocol-port",
        81,
        balancer,
    )
    made = cli(
        "loadbalancer pool create", "--name", "p-cli", "--description", "d", "--protocol", "HTTP",
        "--lb-algorithm", "LEAST_CONNECTIONS", "--listener", "l-pool", "--session-persistence",
        "type=APP_COOKIE,cookie_name=sid", "--tag", "red", "--disable",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer pool show", "p-cli")
    same(cli, shown, "/pools", "pool", constants.POOL_ROWS)
    assert (shown["lb_algorithm"], shown["admin_state_up"]) == ("LEAST_CONNECTIONS", False)
    assert shown["session_persistence"] == {
        "type": "APP_COOKIE", "cookie_name": "sid", "persistence_timeout": None, "persistence_granularity": None,
    }  # fmt: skip
    (listed,) = cli("loadbalancer pool list", "--loadbalancer", balancer, "--tags", "red")
    assert listed == {key: shown[key] for key in constants.POOL_COLUMNS}
    cli(
        "loadbalancer pool set", "--name", "p-cli2", "--lb-algorithm", "SOURCE_IP", "--session-persistence",
        "type=SOURCE_IP", "--enable", "p-cli",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer pool show", "p-cli2")
    assert (shown["lb_algorithm"], shown["session_persistence"]["type"]) == ("SOURCE_IP", "SOURCE_IP")
    cli(
        "loadbalancer pool unset", "--description", "--session-persistence", "--tls-container-ref",
        "--ca-tls-container-ref", "--crl-container-ref", "--tls-versions", "--tls-ciphers", "--alpn-protocols",
        "--all-tag", "p-cli2",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer pool show", made["id"])
    assert (shown["session_persistence"], shown["tags"], shown["description"]) == (None, [], "")
    cli("loadbalancer pool delete", "p-cli2")
    cli.gone("/pools?name=p-cli2")
    assert "p-cli2" not in names(cli("loadbalancer pool list"))
    cli("loadbalancer listener delete", "l-pool")
    cli.settled(balancer)


def names(listed: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in listed]


def test_members(cli: Openstack, balancer: str, pool: str) -> None:
    cli(
        "loadbalancer member create", "--name", "m-cli", "--address", "192.0.2.9", "--protocol-port", 80,
        "--weight", 7, "--subnet-id", "subnet", "--monitor-port", 81, "--monitor-address", "192.0.2.10",
        "--enable-backup", "--disable", "--tag", "red", pool,
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer member show", pool, "m-cli")
    pool_id = cli("loadbalancer pool show", pool)["id"]
    same(cli, shown, f"/pools/{pool_id}/members", "member", constants.MEMBER_ROWS)
    assert (shown["weight"], shown["subnet_id"], shown["monitor_port"]) == (7, SUBNET, 81)
    assert (shown["backup"], shown["admin_state_up"], shown["vnic_type"]) == (True, False, "normal")
    (listed,) = cli("loadbalancer member list", pool)
    assert listed == {key: shown[key] for key in constants.MEMBER_COLUMNS}
    assert cli("loadbalancer member list", "--tags", "green", pool) == []
    cli(
        "loadbalancer member set",
        "--name",
        "m-cli2",
        "--weight",
        0,
        "--enable",
        "--disable-backup",
        pool,
        "m-cli",
    )
    cli.settled(balancer)
    shown = cli("loadbalancer member show", pool, "m-cli2")
    assert (shown["weight"], shown["admin_state_up"], shown["backup"]) == (0, True, False)
    cli(
        "loadbalancer member unset", "--weight", "--monitor-port", "--monitor-address", "--backup", "--tag", "red",
        pool, "m-cli2",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer member show", pool, "m-cli2")
    assert (shown["weight"], shown["monitor_port"], shown["monitor_address"], shown["tags"]) == (
        1,
        None,
        None,
        [],
    )
    cli("loadbalancer member delete", pool, "m-cli2")
    cli.gone(f"/pools/{pool_id}/members")
    assert cli("loadbalancer member list", pool) == []
    assert "already using" not in cli.refused("loadbalancer member show", pool, NOBODY)


def test_health_monitors(cli: Openstack, balancer: str, pool: str) -> None:
    cli(
        "loadbalancer healthmonitor create", "--name", "h-cli", "--type", "HTTP", "--delay", 5, "--timeout", 3,
        "--max-retries", 2, "--max-retries-down", 4, "--url-path", "/up", "--expected-codes", "200-204",
        "--http-method", "HEAD", "--http-version", "1.1", "--domain-name", "example.org", "--disable", pool,
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer healthmonitor show", "h-cli")
    same(cli, shown, "/healthmonitors", "healthmonitor", constants.MONITOR_ROWS)
    assert (shown["delay"], shown["timeout"], shown["max_retries"], shown["max_retries_down"]) == (5, 3, 2, 4)
    assert (shown["http_version"], shown["domain_name"], shown["http_method"]) == (1.1, "example.org", "HEAD")
    (listed,) = [each for each in cli("loadbalancer healthmonitor list") if each["name"] == "h-cli"]
    assert listed == {key: shown[key] for key in constants.MONITOR_COLUMNS}
    cli(
        "loadbalancer healthmonitor set",
        "--name",
        "h-cli2",
        "--delay",
        9,
        "--enable",
        "--url-path",
        "/",
        "h-cli",
    )
    cli.settled(balancer)
    shown = cli("loadbalancer healthmonitor show", "h-cli2")
    assert (shown["delay"], shown["admin_state_up"], shown["url_path"]) == (9, True, "/")
    cli(
        "loadbalancer healthmonitor unset", "--domain-name", "--http-version", "--expected-codes", "--http-method",
        "--max-retries-down", "--url-path", "h-cli2",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer healthmonitor show", "h-cli2")
    assert [shown[key] for key in ("domain_name", "http_version", "expected_codes", "http_method")] == [
        None, None, "200", "GET",
    ]  # fmt: skip
    assert (shown["max_retries_down"], shown["url_path"]) == (3, "/")
    cli("loadbalancer healthmonitor delete", "h-cli2")
    cli.gone("/healthmonitors?name=h-cli2")
    assert "h-cli2" not in names(cli("loadbalancer healthmonitor list"))


def test_as_users_run_it(noauth: Openstack) -> None:
    """Whole processes: exit status, output and errors are what a shell script sees."""
    done = noauth.process("loadbalancer create", "--name", "lb-process", "--vip-subnet-id", "subnet")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert noauth.settled("lb-process")["id"] == made["id"]
    done = noauth.process("loadbalancer show", "lb-process")
    assert json.loads(done.stdout)["vip_address"] == made["vip_address"]
    done = noauth.process("loadbalancer listener create", "--protocol", "HTTP", "--protocol-port", 80, NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Unable to locate {NOBODY} in loadbalancers" in done.stderr
    done = noauth.process("loadbalancer delete", "lb-process")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    noauth.gone("/loadbalancers?name=lb-process")


def test_as_users_log_in_and_run_it(by_password: Openstack) -> None:
    done = by_password.process("loadbalancer provider list")
    assert done.returncode == 0, done.stderr
    assert {each["name"] for each in json.loads(done.stdout)} == {"amphora", "noop_driver"}
    stranger = Openstack(by_password.hydria, by_password.environment | {"OS_PASSWORD": "guessed"})
    assert "requires authentication" in stranger.refused("loadbalancer list")
