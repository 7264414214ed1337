"""``openstack loadbalancer``: L7 policies and rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from octaviaclient.osc.v2 import constants

from tests.clients.openstack_client import Openstack
from tests.clients.served import QUIET

pytestmark = [pytest.mark.system, QUIET]


@pytest.fixture(scope="module")
def balancer(cli: Openstack) -> Iterator[str]:
    """The name of a load balancer with a listener ``l7-listener`` and a pool ``l7-pool``."""
    cli("loadbalancer create", "--name", "cli-l7", "--vip-subnet-id", "subnet")
    cli(
        "loadbalancer listener create",
        "--name",
        "l7-listener",
        "--protocol",
        "HTTP",
        "--protocol-port",
        80,
        "cli-l7",
    )
    cli(
        "loadbalancer pool create", "--name", "l7-pool", "--protocol", "HTTP", "--lb-algorithm", "ROUND_ROBIN",
        "--loadbalancer", "cli-l7",
    )  # fmt: skip
    cli.settled("cli-l7")
    yield "cli-l7"
    cli("loadbalancer delete", "--cascade", "cli-l7")
    cli.gone("/loadbalancers?name=cli-l7")


def test_policies(cli: Openstack, balancer: str) -> None:
    made = cli(
        "loadbalancer l7policy create", "--name", "cli-policy", "--description", "d", "--action", "REDIRECT_TO_URL",
        "--redirect-url", "https://example.org/", "--redirect-http-code", 301, "--position", 1, "--disable",
        "--tag", "red", "l7-listener",
    )  # fmt: skip
    assert set(made) == set(constants.L7POLICY_ROWS)
    assert (made["redirect_url"], made["redirect_http_code"], made["position"]) == (
        "https://example.org/",
        301,
        1,
    )
    cli.settled(balancer)
    shown = cli("loadbalancer l7policy show", "cli-policy")
    answer = cli.api(f"/l7policies/{shown['id']}")["l7policy"]
    assert shown == {key: answer[key] for key in constants.L7POLICY_ROWS}
    (listed,) = cli("loadbalancer l7policy list", "--listener", "l7-listener", "--tags", "red")
    assert listed == {key: shown[key] for key in constants.L7POLICY_COLUMNS}
    cli(
        "loadbalancer l7policy create",
        "--name",
        "front",
        "--action",
        "REJECT",
        "--position",
        1,
        "l7-listener",
    )
    positions = cli("loadbalancer l7policy list", "--listener", "l7-listener")
    assert {each["name"]: each["position"] for each in positions} == {"front": 1, "cli-policy": 2}
    cli(
        "loadbalancer l7policy set", "--name", "cli-policy2", "--action", "REDIRECT_TO_POOL", "--redirect-pool",
        "l7-pool", "--enable", "cli-policy",
    )  # fmt: skip
    cli.settled(balancer)
    shown = cli("loadbalancer l7policy show", "cli-policy2")
    assert (shown["action"], shown["redirect_url"], shown["admin_state_up"]) == (
        "REDIRECT_TO_POOL",
        None,
        True,
    )
    assert shown["redirect_pool_id"] == cli("loadbalancer pool show", "l7-pool")["id"]
    cli("loadbalancer l7policy unset", "--description", "--tag", "red", "cli-policy2")
    cli.settled(balancer)
    shown = cli("loadbalancer l7policy show", "cli-policy2")
    assert (shown["description"], shown["tags"]) == ("", [])
    for name in ("front", "cli-policy2"):
        cli("loadbalancer l7policy delete", name)
    cli.gone("/l7policies")


def test_rules(cli: Openstack, balancer: str) -> None:
    cli("loadbalancer l7policy create", "--name", "rules", "--action", "REJECT", "l7-listener")
    made = cli(
        "loadbalancer l7rule create", "--type", "HEADER", "--compare-type", "CONTAINS", "--key", "X-Kind",
        "--value", "robot", "--invert", "--disable", "--tag", "red", "rules",
    )  # fmt: skip
    assert set(made) == set(constants.L7RULE_ROWS)
    cli.settled(balancer)
    shown = cli("loadbalancer l7rule show", "rules", made["id"])
    policy_id = cli("loadbalancer l7policy show", "rules")["id"]
    answer = cli.api(f"/l7policies/{policy_id}/rules/{made['id']}")["rule"]
    assert shown == {key: answer[key] for key in constants.L7RULE_ROWS}
    assert (shown["key"], shown["value"], shown["invert"], shown["admin_state_up"]) == (
        "X-Kind",
        "robot",
        True,
        False,
    )
    (listed,) = cli("loadbalancer l7rule list", "--tags", "red", "rules")
    assert listed == {key: shown[key] for key in constants.L7RULE_COLUMNS}
    cli(
        "loadbalancer l7rule set",
        "--value",
        "human",
        "--compare-type",
        "EQUAL_TO",
        "--enable",
        "rules",
        made["id"],
    )
    cli("loadbalancer l7rule unset", "--invert", "--all-tag", "rules", made["id"])
    cli.settled(balancer)
    shown = cli("loadbalancer l7rule show", "rules", made["id"])
    assert (shown["value"], shown["compare_type"], shown["admin_state_up"]) == ("human", "EQUAL_TO", True)
    assert (shown["invert"], shown["tags"]) == (False, [])
    refusal = cli.refused(
        "loadbalancer l7rule create", "--type", "PATH", "--compare-type", "REGEX", "--value", "(", "rules"
    )
    assert "Error parsing L7Rule" in refusal
    cli("loadbalancer l7rule delete", "rules", made["id"])
    cli.gone(f"/l7policies/{policy_id}/rules")
    assert cli("loadbalancer l7rule list", "rules") == []
    cli("loadbalancer l7policy delete", "rules")
    cli.gone("/l7policies?name=rules")
