"""Rate limits that change while an amphora serves: no other HAProxy process, and at once."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.resource import Resource
from hydria.model.statuses import RateLimitAction, RateLimitMetric
from hydria.model.tree import Tree
from hydria.testing.trees import (
    LISTENER,
    POOL,
    limit_policy,
    limit_rule,
    listener,
    load_balancer,
    member,
    pool,
    tree,
)
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP6, VIP_NETWORK, Lab, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node
TUNING = Tuning(default_connection_limit=200)
LONG = 600  # seconds: what is refused once stays so while a test runs


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        running.member(8001)
        yield running


def limited(*limits: Resource, **of_listener: object) -> Tree:
    additional = [{"subnet_id": POOL, "ip_address": VIP6, "port_id": POOL}]
    return tree(
        load_balancer(vip_address=VIP, additional_vips=additional),
        listener(default_pool_id=POOL, **of_listener),
        pool(),
        member(1, address=VIP_NETWORK[0], protocol_port=8001),
        *limits,
    )


def state(generation: int, of: Tree) -> DesiredState:
    return replace(desired_state(of, (ETH1,), TUNING, capabilities=CAPABILITIES), generation=generation)


def ask(lab: Lab, path: str = "/", address: str = VIP) -> str:
    """The status of an answer, or what happens instead of one."""

    def request() -> str:
        connection = http.client.HTTPConnection(address, 80, timeout=2)
        try:
            connection.request("GET", path)
            return str(connection.getresponse().status)
        except TimeoutError:
            return "nothing"
        except (http.client.HTTPException, ConnectionError):
            return "closed"
        finally:
            connection.close()

    return lab.outside.run(request)


def told(lab: Lab, command: str) -> str:
    """What HAProxy says on its stats socket."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.settimeout(5)
        stats.connect(str(lab.work / "stats.sock"))
        stats.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: stats.recv(65536), b"")).decode()


def test_limits_change_without_a_reload(lab: Lab) -> None:
    rule = {"interval": LONG}
    urls = {
        "rate_limit_policy_id": limit_policy(2).id,
        "metric": RateLimitMetric.REQUESTS_PER_URL,
        "interval": LONG,
    }
    generation = 0

    def apply(threshold: int, *of_urls: str, **policy: object) -> bool:
        nonlocal generation
        generation += 1
        rules = (
            limit_rule(1, threshold=threshold, **rule),
            limit_rule(2, threshold=1, urls=of_urls or ("/",), **urls),
        )
        policies = limit_policy(**policy), limit_policy(2, admin_state_up=bool(of_urls))
        return lab.apply(state(generation, limited(*policies, *rules))).reloaded

    assert apply(3)
    assert [ask(lab) for _ in range(4)] == ["200"] * 3 + ["429"]
    (serving,) = lab.haproxy_pids()
    assert not apply(5)  # the threshold
    assert [ask(lab) for _ in range(3)] == ["200"] * 2 + ["429"]
    assert not apply(5, action=RateLimitAction.REJECT)
    assert ask(lab) == "closed"
    assert not apply(5, action=RateLimitAction.SILENT_DROP)
    assert ask(lab) == "nothing"  # also for a client that no router is before
    assert [ask(lab, address=VIP6) for _ in range(6)] == ["200"] * 5 + ["nothing"]
    assert not apply(5, admin_state_up=False)
    assert [ask(lab) for _ in range(3)] == ["200"] * 3
    assert not apply(100, "/login")  # a policy comes to life
    assert [ask(lab, "/login"), ask(lab, "/login"), ask(lab, "/b")] == ["200", "429", "200"]
    assert not apply(100, "/b")  # which has been asked for before, but was not counted then
    assert [ask(lab, "/login"), ask(lab, "/b"), ask(lab, "/b")] == ["200", "200", "429"]
    assert lab.haproxy_pids() == {serving}


def test_what_waits_goes_on_through_a_change(lab: Lab) -> None:
    """A policy with another action, and then another process."""
    queue = limit_policy(action=RateLimitAction.QUEUE)
    rule = limit_rule(threshold=1, interval=3)
    assert lab.apply(state(1, limited(queue, rule))).reloaded
    assert ask(lab) == "200"

    def begin() -> socket.socket:
        connection = socket.create_connection((VIP, 80), 5)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.settimeout(30)
        return connection

    waiting = lab.outside.run(begin)
    assert not lab.apply(state(2, limited(limit_policy(), rule))).reloaded
    assert lab.apply(state(3, limited(limit_policy(), rule, timeout_client_data=40_000))).reloaded
    with waiting:
        assert waiting.recv(100).startswith(b"HTTP/1.1 200")


def test_limits_are_known_to_the_next_process_and_the_next_agent(lab: Lab) -> None:
    limits = limit_policy(), limit_rule(threshold=3, interval=LONG)
    lab.apply(state(1, limited(*limits)))
    assert [ask(lab) for _ in range(4)] == ["200"] * 3 + ["429"]
    for number in range(3):  # the very first process is young, and so are those that come at once after it
        assert lab.apply(state(2, limited(*limits, timeout_client_data=40_000 - number))).reloaded
    eventually(lambda: "http_req_rate" in told(lab, f"show table persistence/{LISTENER}.client.{LONG}"))
    assert ask(lab) == "429"
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: agent_lab.answers(lab))
    raised = limits[0], limit_rule(threshold=1000, interval=LONG)
    assert not lab.apply(state(3, limited(*raised, timeout_client_data=39_998))).reloaded
    assert ask(lab) == "200"


def test_the_last_limit_goes(lab: Lab) -> None:
    lab.apply(state(1, limited(limit_policy(), limit_rule(threshold=1, interval=LONG))))
    assert [ask(lab), ask(lab)] == ["200", "429"]
    assert lab.apply(state(2, limited())).reloaded
    assert ask(lab) == "200"
    assert not list((lab.work / "tls").glob("*.lua"))
