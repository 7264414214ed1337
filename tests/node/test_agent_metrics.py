"""PROMETHEUS listeners: an amphora's metrics, asked for as Prometheus does, through HAProxy and the agent."""

import concurrent.futures
import http.client
import os
import signal
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hydria.dataplane import Tuning, desired_state
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.statuses import ListenerProtocol
from hydria.model.tree import Tree
from hydria.testing.trees import POOL, identifier, listener, load_balancer, member, pool, tree
from hydria.wire.state import DesiredState, Service, Target
from tests import certificates
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP6, VIP_NETWORK, Lab, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

PORT = 8088
CA = certificates.make("Test CA", ca=True)
SECRETS = {"server": certificates.make("metrics.example.org", CA).bundle}
WEB, OTHER, METRICS, DATAGRAMS = (identifier(Listener, number) for number in (1, 2, 3, 4))
ONE, TWO = (identifier(Member, number) for number in (1, 2))
TUNING = Tuning(default_connection_limit=200)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        running.member(8001)
        yield running


def served(**metrics: object) -> Tree:
    """A pool of two listeners, one of its members dead, and metrics."""
    additional = [{"subnet_id": POOL, "ip_address": VIP6, "port_id": POOL}]
    return tree(
        load_balancer(vip_address=VIP, additional_vips=additional),
        listener(1, default_pool_id=POOL),
        listener(2, default_pool_id=POOL),
        listener(3, protocol=ListenerProtocol.PROMETHEUS, protocol_port=PORT, **metrics),
        pool(),
        member(1, address=VIP_NETWORK[0], protocol_port=8001),
        member(2, address=VIP_NETWORK[0], protocol_port=8002, admin_state_up=False),
    )


def state(generation: int, of: Tree) -> DesiredState:
    return replace(
        desired_state(of, (ETH1,), TUNING, SECRETS, capabilities=CAPABILITIES), generation=generation
    )


def ask(
    lab: Lab,
    path: str = "/metrics",
    *,
    method: str = "GET",
    address: str = VIP,
    port: int = PORT,
    tls: bool = False,
) -> tuple[int, str]:
    def request() -> tuple[int, str]:
        connection = http.client.HTTPConnection(address, port, timeout=10)
        if tls:
            context = ssl.create_default_context(cadata=CA.pem)
            connection.sock = context.wrap_socket(
                socket.create_connection((address, port), 10), server_hostname="metrics.example.org"
            )
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    return lab.outside.run(request)


def families(lab: Lab, **where: object) -> dict[str, Metric]:
    status, text = ask(lab, **where)
    assert status == 200, (text, lab.log)
    parsed = list(text_string_to_metric_families(text))
    assert len(parsed) == text.count("# TYPE ") == text.count("# HELP ")
    return {family.name: family for family in parsed}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    (sample,) = [each for each in found[name].samples if each.labels == labels]
    return sample.value


def test_metrics_have_octavias_names_and_the_ids_of_the_objects(lab: Lab) -> None:
    lab.apply(state(1, served()))
    for port in (80, 80, 80, 81):
        assert lab.get(port=port) == "8001"
    found = families(lab)
    assert value(found, "octavia_listener_http_requests", listener=WEB) == 3
    assert value(found, "octavia_listener_http_responses", listener=OTHER, code="2xx") == 1
    assert value(found, "octavia_pool_http_requests", pool=POOL, listener=WEB) == 3
    assert value(found, "octavia_pool_active_members", pool=POOL, listener=OTHER) == 1
    assert value(found, "octavia_member_sessions", pool=POOL, listener=WEB, member=ONE) == 3
    assert value(found, "octavia_member_status", pool=POOL, listener=WEB, member=TWO, state="MAINT") == 1
    assert value(found, "octavia_listener_status", listener=METRICS, state="UP") == 1
    assert value(found, "octavia_loadbalancer_requests") >= 5
    assert found["octavia_memory_pool_used_bytes"].samples[0].value > 0
    assert 0 < found["octavia_loadbalancer_memory"].samples[0].value < 100
    assert 0 <= found["octavia_loadbalancer_cpu"].samples[0].value <= 100
    kinds = ("loadbalancer", "listener", "pool", "member", "memory_pool")
    assert all(name.startswith(tuple(f"octavia_{kind}_" for kind in kinds)) for name in found)
    assert len(found) > 140
    ids = {
        label for family in found.values() for sample in family.samples for label in sample.labels.values()
    }
    assert not [each for each in ids if each.startswith("_")]
    assert value(families(lab, address=VIP6), "octavia_listener_http_requests", listener=WEB) == 3


def test_other_paths_and_methods(lab: Lab) -> None:
    lab.apply(state(1, served()))
    for path in ("/", "/metrics/", "/metrics2", "//metrics", "/stats"):
        assert ask(lab, path)[0] == 404
    assert ask(lab, method="POST")[0] == 405
    assert ask(lab, method="HEAD")[0] == 405
    assert ask(lab, "/metrics?scope=sticktable&no-maint")[0] == 200


def test_allowed_cidrs_and_tls(lab: Lab) -> None:
    lab.apply(
        state(1, served(allowed_cidrs=["192.0.2.0/24", "fd78::/64"], default_tls_container_ref="server"))
    )
    with pytest.raises(OSError, match=r"timed out|reset|refused"):
        lab.outside.run(lambda: socket.create_connection((VIP, PORT), 1))
    assert "octavia_pool_status" in families(lab, address=VIP6, tls=True)


def test_the_listener_is_online_and_nothing_internal_is_reported(lab: Lab) -> None:
    of = served()
    lab.apply(state(1, of))
    families(lab)
    report = lab.heartbeat(
        lambda report: METRICS in report.listeners and report.listeners[METRICS].bytes_out > 1000
    )
    assert set(report.listeners) == {WEB, OTHER, METRICS}
    assert (set(report.pools), set(report.members)) == ({POOL}, {ONE, TWO})
    assert report.listeners[METRICS].status == "OPEN"


def test_metrics_go_on_over_reloads_and_the_agents_death(lab: Lab) -> None:
    lab.apply(state(1, served()))
    assert families(lab)
    assert lab.apply(state(2, served(timeout_client_data=20_000))).reloaded
    assert families(lab)
    haproxy, agent = lab.haproxy_pids(), lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent) and agent_lab.answers(lab))
    assert families(lab)
    assert lab.haproxy_pids() & haproxy, lab.log  # it was taken over, not replaced
    lab.apply(
        state(3, tree(*(each for each in served().children() if each.id != METRICS), served().load_balancer))
    )
    with pytest.raises(OSError, match=r"refused"):
        ask(lab)


def test_many_who_ask_disturb_neither_heartbeats_nor_traffic(lab: Lab) -> None:
    members = [
        member(number, address=VIP_NETWORK[0], protocol_port=9000 + number) for number in range(3, 300)
    ]
    lab.apply(state(1, tree(served().load_balancer, *served().children(), *members)))
    lab.heartbeat(lambda report: report.generation == 1)

    def scrape(_: int) -> int:
        connection = http.client.HTTPConnection(VIP, PORT, timeout=30)
        connection.request("GET", "/metrics")
        return len(connection.getresponse().read())

    def hammer() -> list[int]:
        with concurrent.futures.ThreadPoolExecutor(8, initializer=lab.outside._enter) as threads:
            return list(threads.map(scrape, range(24)))

    began, beats = time.monotonic(), []
    with concurrent.futures.ThreadPoolExecutor(1) as one:
        sizes = one.submit(hammer)
        while not sizes.done():
            lab.heartbeat()
            beats.append(time.monotonic())
    assert min(sizes.result()) > 1_000_000
    gaps = [later - earlier for earlier, later in zip([began, *beats], beats, strict=False)]
    assert max(gaps) < 2, gaps  # at an interval of 0.2 s, on a busy machine
    assert lab.get() == "8001"


def test_an_agent_that_cannot_reach_the_exporter_says_so(lab: Lab) -> None:
    lab.apply(state(1, served()))
    (lab.work / "exporter.sock").unlink()
    assert ask(lab)[0] == 502
    eventually(lambda: "was not answered" in lab.log)


def test_datagram_services_are_told_with_the_others(lab: Lab) -> None:
    def bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((VIP_NETWORK[0], 0))
        return made

    with lab.outside.run(bound) as server:
        up = Target("m1", VIP_NETWORK[0], server.getsockname()[1], weight=3)
        off = Target("m2", VIP_NETWORK[0], 9, enabled=False)
        service = Service(DATAGRAMS, POOL, "udp", (VIP,), 53, (up, off))
        lab.apply(replace(state(1, served()), services=(service,)))
        with lab.outside.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
            client.connect((VIP, 53))
            client.send(b"12345678")
            server.settimeout(5)
            assert server.recv(100) == b"12345678"
    found = families(lab)
    assert value(found, "octavia_listener_sessions", listener=DATAGRAMS) == 1
    assert value(found, "octavia_listener_bytes_in", listener=DATAGRAMS) == 36  # with its headers
    assert value(found, "octavia_listener_sessions", listener=WEB) == 0
    of_member = {"pool": POOL, "listener": DATAGRAMS}
    assert value(found, "octavia_member_status", **of_member, member="m1", state="UP") == 1
    assert value(found, "octavia_member_status", **of_member, member="m2", state="MAINT") == 1
    assert value(found, "octavia_member_weight", **of_member, member="m1") == 3


def test_aborted_scrapes_do_not_decide_how_much_is_logged(lab: Lab) -> None:
    lab.apply(state(1, served()))
    reset = struct.pack("ii", 1, 0)  # closing it sends a reset

    def abort() -> None:
        for _ in range(200):
            with socket.create_connection((VIP, PORT), timeout=5) as connection:
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    before = len(lab.log.splitlines())
    lab.outside.run(abort)
    assert families(lab)
    eventually(lambda: "a scrape of the metrics was not answered" in lab.log)
    assert len(lab.log.splitlines()) - before <= 3, lab.log


def test_what_haproxy_writes_on_its_own_goes_nowhere(lab: Lab) -> None:
    lab.apply(state(1, served()))
    (pid,) = lab.haproxy_pids()
    for descriptor in (0, 1, 2):
        assert str(Path(f"/proc/{pid}/fd/{descriptor}").readlink()) == "/dev/null"
