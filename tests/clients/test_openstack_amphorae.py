"""``openstack loadbalancer``: amphorae and failover."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from octaviaclient.osc.v2 import constants

from tests.clients.openstack_client import Openstack
from tests.clients.served import NOBODY, QUIET
from tests.system.deployment import wait_for

pytestmark = [pytest.mark.system, QUIET]


@pytest.fixture
def balancer(cli: Openstack) -> Iterator[str]:
    cli("loadbalancer create", "--name", "cli-amphorae", "--vip-subnet-id", "subnet")
    cli.settled("cli-amphorae")
    yield "cli-amphorae"
    cli("loadbalancer delete", "--cascade", "cli-amphorae")
    cli.gone("/loadbalancers?name=cli-amphorae")


def serving(cli: Openstack, name: str) -> str:
    """The id of the amphora that serves a load balancer, once it is one alone."""

    def one() -> str:
        found = cli("loadbalancer amphora list", "--loadbalancer", name)
        return found[0]["id"] if len(found) == 1 and found[0]["status"] == "ALLOCATED" else ""

    return str(wait_for(one, 20, "one amphora"))


def test_amphorae(cli: Openstack, balancer: str) -> None:
    first = serving(cli, balancer)
    shown = cli("loadbalancer amphora show", first)
    assert set(shown) == set(constants.AMPHORA_ROWS)
    assert (shown["status"], shown["role"]) == ("ALLOCATED", "STANDALONE")
    (listed,) = cli("loadbalancer amphora list", "--loadbalancer", balancer)
    assert listed == {key: shown[key] for key in constants.AMPHORA_COLUMNS}
    (listed,) = cli(
        "loadbalancer amphora list", "--long", "--status", "ALLOCATED", "--role", "STANDALONE", "--loadbalancer",
        balancer, "--compute-id", shown["compute_id"],
    )  # fmt: skip
    assert listed == {key: shown[key] for key in constants.AMPHORA_COLUMNS_LONG}
    assert f"Amphora stats for {first} not found" in cli.refused("loadbalancer amphora stats show", first)
    cli("loadbalancer amphora configure", first)
    cli.settled(balancer)
    cli("loadbalancer amphora failover", first)
    cli.settled(balancer)
    second = serving(cli, balancer)
    assert second != first
    cli("loadbalancer failover", balancer)
    cli.settled(balancer)
    assert serving(cli, balancer) not in (first, second)
    assert cli.refused("loadbalancer amphora delete", serving(cli, balancer))  # it serves
    assert f"Amphora {NOBODY} not found" in cli.refused("loadbalancer amphora delete", NOBODY)


def change_rows(cli: Openstack, statement: str, *values: object) -> None:
    """What nothing does to amphorae of the noop drivers: they neither count nor break."""
    file = cli.hydria.deployment.state_dir / "hydria.db"
    with closing(sqlite3.connect(file, timeout=20)) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_what_an_amphora_has_carried(cli: Openstack, balancer: str) -> None:
    made = cli("loadbalancer listener create", "--protocol", "HTTP", "--protocol-port", 80, balancer)
    cli.settled(balancer)
    amphora = serving(cli, balancer)
    counted = {
        "active_connections": 1,
        "bytes_in": 2,
        "bytes_out": 3,
        "request_errors": 4,
        "total_connections": 5,
    }
    columns = {"listener_id": made["id"], "amphora_id": amphora, "epoch": 1, **counted}
    columns |= {f"base_{name}": 0 for name in counted if name != "active_connections"}
    statement = (
        f"INSERT INTO listener_statistics ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    )
    change_rows(cli, statement, *columns.values())
    assert cli("loadbalancer amphora stats show", amphora) == counted
    assert cli("loadbalancer amphora stats show", "--listener", made["id"], amphora) == counted
    assert cli("loadbalancer listener stats show", made["id"]) == counted
    assert cli("loadbalancer stats show", balancer) == counted


def test_an_amphora_that_is_broken_can_be_deleted(cli: Openstack, balancer: str) -> None:
    broken = serving(cli, balancer)
    change_rows(cli, "UPDATE amphorae SET status = 'ERROR' WHERE id = ?", broken)
    assert broken in {each["id"] for each in cli("loadbalancer amphora list", "--status", "ERROR")}
    cli("loadbalancer amphora delete", broken)
    wait_for(lambda: serving(cli, balancer) != broken, 20, "another amphora")
