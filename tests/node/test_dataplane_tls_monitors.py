"""Monitors of pools that speak TLS: they speak what the member chose, as the traffic does."""

from collections.abc import Iterator
from typing import Any

import pytest

from hydria.dataplane import haproxy
from hydria.model.statuses import ALPNProtocol, ListenerProtocol, MonitorType
from hydria.model.tree import Tree
from hydria.testing.trees import LISTENER, POOL, listener, load_balancer, member, monitor, pool, tree
from tests import certificates
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import eventually, get

pytestmark = pytest.mark.node

SERVER = certificates.make("www.example.org")
# By default, and in this order.
DEFAULT = [ALPNProtocol.H2, ALPNProtocol.HTTP_1_1, ALPNProtocol.HTTP_1_0]
# What members answer with: by it the probe's protocol is known.
HTTP_1, HTTP_2 = "200", "202"
ONLY_H2, ONLY_HTTP_1, BOTH, NO_ALPN = 1, 2, 3, 4
BINDS = {
    ONLY_H2: "alpn h2 proto h2",
    ONLY_HTTP_1: "alpn http/1.1",
    BOTH: "alpn h2,http/1.1",
    NO_ALPN: "alpn nothing-that-is-offered",
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """The ports of members in another HAProxy, by what they speak. All insist on a host in HTTP/2."""
    directory = tmp_path_factory.mktemp("members")
    (directory / "server.pem").write_text(SERVER.bundle)
    behind = lab.Proxy(directory)
    found = dict(zip(BINDS, lab.free_ports(len(BINDS)), strict=True))
    fronts = "".join(
        f"frontend member-{kind}\n    bind 127.0.0.1:{found[kind]} ssl crt server.pem {words}\n"
        "    http-request return status 400 if { req.ver 2.0 } !{ req.hdr(host) -m found }\n"
        f"    http-request return status {HTTP_2} if {{ req.ver 2.0 }}\n"
        f"    http-request return status {HTTP_1}\n"
        for kind, words in BINDS.items()
    )
    behind.start(
        "global\n    stats socket unix@stats.sock\ndefaults\n    mode http\n    timeout client 5s\n" + fronts
    )
    try:
        yield found
    finally:
        behind.stop()


def monitored(
    port: int,
    members: dict[int, int],
    probe: dict[str, Any],
    *more: Any,
    protocol: Any = None,
    **of_pool: Any,
) -> Tree:
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, default_pool_id=POOL, protocol=protocol or ListenerProtocol.HTTP),
        pool(**{"tls_enabled": True, "alpn_protocols": DEFAULT, **of_pool}),
        *(member(kind, address="127.0.0.1", protocol_port=each) for kind, each in members.items()),
        monitor(**{"delay": 1, "timeout": 1, "max_retries_down": 1, "expected_codes": "200,202", **probe}),
        *more,
    )


def found(proxy: lab.Proxy, number: int) -> tuple[str, str, str]:
    row = proxy.statistics()[f"{POOL}:{LISTENER}/{member(number).id}"]
    return row["status"], row["check_status"], row["check_code"]


def judged(proxy: lab.Proxy, number: int) -> tuple[str, str, str]:
    """Status, result and code of a member's first check that has ended."""

    def ended() -> tuple[str, str, str] | None:
        seen = found(proxy, number)
        return None if not seen[1] or "INI" in seen[1] or seen[1].startswith("*") else seen

    return eventually(ended)


@pytest.mark.parametrize("front", [ListenerProtocol.HTTP, ListenerProtocol.TCP])
@pytest.mark.parametrize("kind", [MonitorType.HTTP, MonitorType.HTTPS])
@pytest.mark.parametrize(
    "version", [{}, {"http_version": 1.0}, {"http_version": 1.1, "domain_name": "www.example.org"}]
)
def test_probes_speak_what_each_member_chose(proxy, port, ports, front, kind, version):
    proxy.serve(monitored(port, ports, {"type": kind, **version}, protocol=front))
    speaks = {ONLY_H2: HTTP_2, ONLY_HTTP_1: HTTP_1, BOTH: HTTP_2, NO_ALPN: HTTP_1}
    assert {each: judged(proxy, each) for each in ports} == {
        each: ("UP", "L7OK", code) for each, code in speaks.items()
    }


@pytest.mark.parametrize("kind", [MonitorType.TCP, MonitorType.TLS_HELLO])
def test_probes_that_ask_nothing(proxy, port, ports, kind):
    asks_nothing = {"type": kind, "expected_codes": None}
    proxy.serve(monitored(port, ports, asks_nothing))
    assert {judged(proxy, each)[:2] for each in ports} == {("UP", "L6OK")}


@pytest.mark.parametrize(
    ("offered", "code"),
    [([ALPNProtocol.H2], HTTP_2), ([ALPNProtocol.HTTP_1_1], HTTP_1), (DEFAULT[1:], HTTP_1), (None, HTTP_1)],
)
def test_probes_offer_what_the_pool_offers(proxy, port, ports, offered, code):
    probe = {"type": MonitorType.HTTPS}
    proxy.serve(monitored(port, {BOTH: ports[BOTH]}, probe, alpn_protocols=offered))
    assert judged(proxy, BOTH) == ("UP", "L7OK", code)
    assert get(port).status == int(code)


@pytest.mark.parametrize("kind", [MonitorType.HTTP, MonitorType.HTTPS])
def test_members_that_come_while_it_runs_are_asked_alike(proxy, port, ports, kind):
    proxy.serve(monitored(port, {ONLY_HTTP_1: ports[ONLY_HTTP_1]}, {"type": kind}))
    both = monitored(port, {ONLY_HTTP_1: ports[ONLY_HTTP_1], BOTH: ports[BOTH]}, {"type": kind})
    rendered = haproxy.render(both.desired(), lab.TUNING)
    proxy.add(rendered.servers[1])
    eventually(lambda: found(proxy, BOTH) == ("UP", "L7OK", HTTP_2))


def test_other_protocols_of_a_pool_are_no_other_structure(port, ports):
    """So the agent changes them, and the probes with them, while HAProxy runs."""
    of = [
        haproxy.render(monitored(port, ports, {}, alpn_protocols=offered).desired(), lab.TUNING)
        for offered in (DEFAULT, [ALPNProtocol.HTTP_1_1], None)
    ]
    assert len({each.structure for each in of}) == 1
    assert len({each.servers for each in of}) == 3


def test_probes_over_tls_at_another_port(proxy, port, ports):
    moved = member(address="127.0.0.1", protocol_port=ports[BOTH], monitor_port=ports[ONLY_H2])
    proxy.serve(monitored(port, {}, {"type": MonitorType.HTTPS}, moved))
    assert judged(proxy, 1) == ("UP", "L7OK", HTTP_2)


def test_probes_in_clear_text_at_another_port(proxy, port, ports):
    with lab.web_servers(1) as (web,):
        moved = member(address="127.0.0.1", protocol_port=ports[BOTH], monitor_port=web.port)
        proxy.serve(monitored(port, {}, {"type": MonitorType.HTTP}, moved))
        assert judged(proxy, 1) == ("UP", "L7OK", HTTP_1)
        assert get(port).status == int(HTTP_2)


@pytest.mark.parametrize(
    ("offered", "status"),
    [(DEFAULT, 200), ([ALPNProtocol.HTTP_1_1], 200), (None, 200)],
)
def test_a_tcp_listener_asks_for_no_protocol_that_its_clients_may_not_speak(
    proxy, port, ports, offered, status
):
    """They hear nothing of what the member has chosen."""
    of = monitored(port, {BOTH: ports[BOTH]}, {}, protocol=ListenerProtocol.TCP, alpn_protocols=offered)
    proxy.serve(of)
    assert get(port).status == status
