"""A client with a whole network of IPv6 addresses, which most have, is one client."""

import contextlib
import http.client
import subprocess
from functools import partial
from typing import Any

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import (
    ListenerProtocol,
    PersistenceType,
    PoolProtocol,
    RateLimitAction,
    RateLimitMetric,
)
from hydria.testing.trees import POOL, limit_policy, limit_rule, listener, load_balancer, member, pool, tree
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import VIP6, Lab
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

# The network of the VIP is a /64: one client's, by default.
SOURCES = [f"fd78::c:{number:x}" for number in range(1, 7)]


def serving(*limits: Any, tuning: Tuning | None = None, **of_listener: Any) -> DesiredState:
    chosen = tuning or Tuning(default_connection_limit=200)
    tcp = of_listener.get("protocol") is ListenerProtocol.TCP
    wanted = tree(
        load_balancer(vip_address=VIP6),
        listener(default_pool_id=POOL, protocol_port=80, **of_listener),
        pool(
            protocol=PoolProtocol.TCP if tcp else PoolProtocol.HTTP,
            session_persistence=SessionPersistence(type=PersistenceType.SOURCE_IP),
        ),
        member(1, address="10.78.0.1", protocol_port=8001),
        member(2, address="10.78.0.1", protocol_port=8002),
        *limits,
    )
    return desired_state(wanted, (agent_lab.ETH1,), chosen, capabilities=CAPABILITIES)


def prepare(lab: Lab) -> None:
    for number in (8001, 8002):
        lab.member(number)
    for source in SOURCES:
        command = ["ip", "addr", "add", f"{source}/64", "dev", "out1", "nodad"]
        lab.outside.run(partial(subprocess.run, command, check=True))


def ask(lab: Lab, source: str, path: str = "/") -> str:
    """The status and what the member says; "" for a closed connection."""

    def request() -> str:
        with contextlib.closing(http.client.HTTPConnection(VIP6, 80, 10, (source, 0))) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return f"{answer.status} {answer.read().decode()}"

    try:
        return lab.outside.run(request)
    except (ConnectionError, http.client.HTTPException):
        return ""


def per_client(metric: RateLimitMetric) -> list[Any]:
    of_url = {"urls": ["/login"]} if metric is RateLimitMetric.REQUESTS_PER_URL else {}
    action = RateLimitAction.REJECT
    return [limit_policy(action=action), limit_rule(metric=metric, threshold=3, interval=600, **of_url)]


@pytest.mark.parametrize("metric", [RateLimitMetric.REQUESTS, RateLimitMetric.REQUESTS_PER_URL])
def test_requests_of_one_network_share_its_limits(lab: Lab, metric: RateLimitMetric) -> None:
    prepare(lab)
    lab.apply(serving(*per_client(metric)))
    assert [bool(ask(lab, source, "/login")) for source in SOURCES] == [True] * 3 + [False] * 3


def test_connections_of_one_network_share_its_limits(lab: Lab) -> None:
    prepare(lab)
    lab.apply(serving(*per_client(RateLimitMetric.REQUESTS), protocol=ListenerProtocol.TCP))
    assert [bool(ask(lab, source)) for source in SOURCES] == [True] * 3 + [False] * 3


def test_a_network_has_one_member_and_one_entry(lab: Lab) -> None:
    """So nobody drives other clients out of the table, and privacy addresses keep their member."""
    prepare(lab)
    lab.apply(serving())
    assert len({ask(lab, source) for source in SOURCES}) == 1
    backend = f"{POOL}:{listener().id}"
    assert lab.haproxy(f"show table {backend}").count(" key=") == 1


def test_the_operator_may_tell_single_addresses_apart(lab: Lab) -> None:
    prepare(lab)
    tuning = Tuning(default_connection_limit=200, ipv6_client_prefix=128)
    lab.apply(serving(*per_client(RateLimitMetric.REQUESTS), tuning=tuning))
    assert all(ask(lab, source) for source in SOURCES)
    backend = f"{POOL}:{listener().id}"
    assert lab.haproxy(f"show table {backend}").count(" key=") == len(SOURCES)
