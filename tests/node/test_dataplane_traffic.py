"""Real traffic through a real HAProxy that runs what is rendered."""

import http.client
import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hydria.dataplane import nftables
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import Algorithm, HTTPMethod, ListenerProtocol, MonitorType, PersistenceType
from hydria.model.tree import Tree
from hydria.testing import trees
from hydria.testing.trees import LISTENER, POOL, listener, load_balancer, member, monitor, pool, tree
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import WebServer, eventually, get

pytestmark = pytest.mark.node

BACKEND = f"{POOL}:{LISTENER}"
SOURCES = [f"127.0.{third}.{fourth}" for third in (1, 2) for fourth in range(10, 40)]


@pytest.fixture
def webs() -> Iterator[list[WebServer]]:
    with lab.web_servers(3) as servers:
        yield servers


def served(
    port: int,
    webs: list[WebServer],
    *more: Any,
    of_listener: dict[str, Any] | None = None,
    of_pool: dict[str, Any] | None = None,
    of_members: tuple[dict[str, Any], ...] = ({}, {}, {}),
    vip: str = "127.0.0.1",
) -> Tree:
    """A load balancer on loopback in front of these web servers."""
    members = [
        member(number, address=web.host, protocol_port=web.port, **attributes)
        for number, (web, attributes) in enumerate(zip(webs, of_members, strict=False), start=1)
    ]
    return tree(
        load_balancer(vip_address=vip),
        listener(protocol_port=port, default_pool_id=POOL, **(of_listener or {})),
        pool(**(of_pool or {})),
        *members,
        *more,
    )


def persistence(kind: PersistenceType, cookie_name: str | None = None) -> dict[str, Any]:
    return {"session_persistence": SessionPersistence(type=kind, cookie_name=cookie_name)}


def answering(port: int, count: int, **how: Any) -> Counter[str]:
    return Counter(get(port, **how).member for _ in range(count))


# --- frontends -------------------------------------------------------------------------------------------


def test_headers_are_inserted_when_they_are_true(proxy, port, webs):
    wanted = {"X-Forwarded-For": "true", "X-Forwarded-Port": "True", "X-Forwarded-Proto": "TRUE"}
    proxy.serve(served(port, webs, of_listener={"insert_headers": wanted}))
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "1", "X-Forwarded-Proto": "https"}
    answer = get(port, source="127.0.0.9", headers=forged)
    assert answer.header("X-Forwarded-For") == ["192.0.2.1", "127.0.0.9"]
    assert answer.header("X-Forwarded-Port") == [str(port)]
    assert answer.header("X-Forwarded-Proto") == ["http"]


def test_headers_are_left_alone_otherwise(proxy, port, webs):
    proxy.serve(served(port, webs, of_listener={"insert_headers": {"X-Forwarded-For": "false"}}))
    assert not [name for name, _ in get(port).seen if name.lower().startswith("x-forwarded")]


@pytest.mark.parametrize("attributes", [{"default_pool_id": None}, {"default_pool_id": POOL}])
def test_without_a_usable_pool_http_says_503(proxy, port, attributes):
    of = tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, **attributes),
        pool(admin_state_up=False),
    )
    proxy.serve(of)
    assert get(port).status == 503


def test_without_a_pool_tcp_connections_are_closed(proxy, port):
    proxy.serve(
        tree(
            load_balancer(vip_address="127.0.0.1"),
            listener(protocol_port=port, protocol=ListenerProtocol.TCP),
        )
    )
    assert closed(port)


def closed(port: int) -> bool:
    """Whether a connection is made and then ended without a word."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_only_allowed_sources_are_let_in(proxy, port, webs):
    proxy.serve(served(port, webs, of_listener={"allowed_cidrs": ["127.0.0.8/30", "192.0.2.0/24"]}))
    assert get(port, source="127.0.0.9").status == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        get(port, source="127.0.0.2")


def test_no_more_connections_than_the_limit(proxy, port, webs):
    proxy.serve(served(port, webs, of_listener={"connection_limit": 1}))
    with (
        socket.create_connection(("127.0.0.1", port), 5) as first,
        socket.create_connection(("127.0.0.1", port), 5) as second,
    ):
        first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.recv(12) == b"HTTP/1.1 200"
        second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        second.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.recv(1)
        first.close()
        second.settimeout(5)
        assert second.recv(12) == b"HTTP/1.1 200"


def test_the_client_timeout_closes_idle_connections(proxy, port, webs):
    quick = {"timeout_client_data": 100, "protocol": ListenerProtocol.TCP}
    proxy.serve(served(port, webs, of_listener=quick))
    assert closed(port)


def test_ipv6_from_client_to_member(proxy):
    port = lab.free_port("::1")
    with lab.web_servers(2, "::1") as webs:
        headers = {"insert_headers": {"X-Forwarded-For": "true"}, "allowed_cidrs": ["::1/128"]}
        of = served(port, webs, monitor(delay=1), vip="0:0::1", of_listener=headers)
        proxy.serve(of)
        answers = [get(port, host="::1") for _ in range(4)]
        assert {answer.member for answer in answers} == {web.name for web in webs}
        assert answers[0].header("X-Forwarded-For") == ["::1"]
        eventually(lambda: webs[1].requests[4:])  # the probes


def test_several_listeners_share_a_pool(proxy, port, webs):
    other = lab.free_port()
    of = served(
        port, webs, listener(2, protocol=ListenerProtocol.TCP, protocol_port=other, default_pool_id=POOL)
    )
    proxy.serve(of)
    assert set(answering(port, 3)) == set(answering(other, 3)) == {web.name for web in webs}


# --- algorithms ------------------------------------------------------------------------------------------


def test_round_robin_follows_weights(proxy, port, webs):
    proxy.serve(served(port, webs, of_members=({"weight": 3}, {"weight": 1}, {"weight": 0})))
    assert answering(port, 40) == {webs[0].name: 30, webs[1].name: 10}


def test_least_connections_avoids_the_busy(proxy, port, webs):
    proxy.serve(served(port, webs[:2], of_pool={"lb_algorithm": Algorithm.LEAST_CONNECTIONS}))
    with socket.create_connection(("127.0.0.1", port), 5) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        busy = eventually(lambda: next((web for web in webs[:2] if web.requests), None))
        idle = next(web for web in webs[:2] if web is not busy)
        assert answering(port, 10) == {idle.name: 10}
        busy.released.set()


def test_source_ip_is_even_and_stays_when_members_come_and_processes_go(proxy, port, webs):
    balanced = {"lb_algorithm": Algorithm.SOURCE_IP}
    everything = served(port, webs, of_pool=balanced)
    two = replace(everything, members=everything.members[:2])
    proxy.serve(two)
    before = {source: get(port, source=source).member for source in SOURCES}
    assert before == {source: get(port, source=source).member for source in SOURCES}
    assert min(Counter(before.values()).values()) >= len(SOURCES) / 6

    proxy.add(lab.haproxy.render(everything, lab.TUNING, {}, lab.CAPABILITIES).servers[-1])
    after = {source: get(port, source=source).member for source in SOURCES}
    moved = {source for source in SOURCES if after[source] != before[source]}
    assert moved
    assert {after[source] for source in moved} == {webs[2].name}

    proxy.serve(everything)
    assert {source: get(port, source=source).member for source in SOURCES} == after


def test_backups_serve_when_nobody_else_does(proxy, port, webs):
    proxy.serve(served(port, webs, of_members=({}, {"backup": True}, {"backup": True})))
    assert answering(port, 4) == {webs[0].name: 4}
    proxy.ask(f"set server {BACKEND}/{webs[0].name} state maint")
    assert answering(port, 4) == {webs[1].name: 2, webs[2].name: 2}


def test_disabled_members_get_nothing_until_they_are_enabled(proxy, port, webs):
    proxy.serve(served(port, webs, of_members=({}, {"admin_state_up": False}, {})))
    assert set(answering(port, 4)) == {webs[0].name, webs[2].name}
    proxy.ask(f"set server {BACKEND}/{webs[1].name} state ready")
    assert len(answering(port, 6)) == 3


def test_a_refused_connection_is_tried_at_another_member_at_once(proxy, port, webs):
    gone = replace(webs[0], port=lab.free_port())
    proxy.serve(served(port, [gone, webs[1]], of_listener={"timeout_member_connect": 200}))
    assert answering(port, 6) == {webs[1].name: 6}


# --- session persistence ---------------------------------------------------------------------------------


def test_http_cookie_names_the_member_and_stays_with_it(proxy, port, webs):
    proxy.serve(served(port, webs, of_pool=persistence(PersistenceType.HTTP_COOKIE)))
    first = get(port)
    assert first.cookies == [f"SRV={first.member}; path=/"]
    # The member's answer has a validator: without one, no cache may keep it, and HAProxy's own word says nothing.
    assert ("cache-control", "private") in [(name.lower(), value) for name, value in first.headers]
    for web in webs:
        answers = [get(port, headers={"Cookie": f"SRV={web.name}"}) for _ in range(4)]
        assert {answer.member for answer in answers} == {web.name}
        assert not [answer for answer in answers if answer.cookies or answer.header("Cookie")]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("a=1; SRV={}; b=2", ["a=1; b=2"]),
        ("SRV={}; b=2", ["b=2"]),
        ("a=1; SRV={}", ["a=1"]),
        ("SRV={}", []),
        ("XSRV=1; SRV={}", ["XSRV=1"]),
        ("a=1;SRV={};b=2", ["a=1;b=2"]),
    ],
)
def test_http_cookie_is_nothing_that_members_see(proxy, port, webs, sent, seen):
    proxy.serve(served(port, webs, of_pool=persistence(PersistenceType.HTTP_COOKIE)))
    answers = [get(port, headers={"Cookie": sent.format(webs[1].name)}) for _ in range(3)]
    assert [answer.member for answer in answers] == [webs[1].name] * 3
    assert [[pairs(value) for value in answer.header("Cookie")] for answer in answers] == [
        [pairs(value) for value in seen]
    ] * 3


def pairs(cookies):
    """Each cookie of a header; blanks between them are HAProxy's choice."""
    return [pair.strip() for pair in cookies.split(";")]


def test_http_cookie_of_nobody_is_replaced(proxy, port, webs):
    proxy.serve(served(port, webs, of_pool=persistence(PersistenceType.HTTP_COOKIE)))
    for value in ("", "nonsense", "%[src]", trees.identifier(trees.Member, 99)):
        answer = get(port, headers={"Cookie": f"SRV={value}"})
        assert answer.cookies == [f"SRV={answer.member}; path=/"]


def test_http_cookie_fails_over(proxy, port, webs):
    probed = monitor(delay=1, timeout=1, max_retries_down=1, max_retries=1)
    proxy.serve(served(port, webs, probed, of_pool=persistence(PersistenceType.HTTP_COOKIE)))
    cookie = {"Cookie": f"SRV={webs[0].name}"}

    webs[0].status = 500  # found by its probes
    eventually(lambda: proxy.statistics()[f"{BACKEND}/{webs[0].name}"]["status"] == "DOWN")
    answer = get(port, headers=cookie)
    assert answer.member != webs[0].name
    assert answer.cookies == [f"SRV={answer.member}; path=/"]

    proxy.ask(f"set server {BACKEND}/{webs[1].name} state maint")
    assert get(port, headers={"Cookie": f"SRV={webs[1].name}"}).member == webs[2].name

    webs[0].status = 200
    eventually(lambda: proxy.statistics()[f"{BACKEND}/{webs[0].name}"]["status"] == "UP")
    assert get(port, headers=cookie).member == webs[0].name


def test_http_cookie_of_a_draining_member_still_counts(proxy, port, webs):
    drained = served(
        port, webs, of_pool=persistence(PersistenceType.HTTP_COOKIE), of_members=({"weight": 0}, {}, {})
    )
    proxy.serve(drained)
    assert webs[0].name not in answering(port, 6)
    assert answering(port, 3, headers={"Cookie": f"SRV={webs[0].name}"}) == {webs[0].name: 3}


def test_members_added_live_get_cookies(proxy, port, webs):
    everything = served(port, webs, of_pool=persistence(PersistenceType.HTTP_COOKIE))
    proxy.serve(replace(everything, members=everything.members[:2]))
    proxy.add(lab.haproxy.render(everything, lab.TUNING, {}, lab.CAPABILITIES).servers[-1])
    cookies = {answer.member: answer.cookies for answer in (get(port) for _ in range(3))}
    assert cookies[webs[2].name] == [f"SRV={webs[2].name}; path=/"]
    assert answering(port, 4, headers={"Cookie": f"SRV={webs[2].name}"}) == {webs[2].name: 4}


@pytest.mark.parametrize("name", ["JSESSIONID", "!#$%&'*+-.^_`|~"])
def test_app_cookie_binds_the_session_that_a_member_opened(proxy, port, webs, name):
    everything = served(port, webs, of_pool=persistence(PersistenceType.APP_COOKIE, name))
    proxy.serve(replace(everything, members=everything.members[:2]))
    proxy.add(lab.haproxy.render(everything, lab.TUNING, {}, lab.CAPABILITIES).servers[-1])
    for number, web in enumerate(webs):
        web.cookies = [f"{name}=session-{number}; path=/"]
    assert len(answering(port, 3)) == 3  # each opens a session
    for number, web in enumerate(webs):
        # It passes the cookie on, and lets other cookies alone.
        cookie = f"other=1; {name}=session-{number}"
        answers = [get(port, headers={"Cookie": cookie}) for _ in range(4)]
        assert {answer.member for answer in answers} == {web.name}
        assert answers[0].header("Cookie") == [cookie]
    proxy.ask(f"set server {BACKEND}/{webs[0].name} state maint")
    assert get(port, headers={"Cookie": f"{name}=session-0"}).member != webs[0].name


@pytest.mark.parametrize("protocol", [ListenerProtocol.HTTP, ListenerProtocol.TCP])
def test_source_ip_persistence_stays_and_survives_a_reload(proxy, port, webs, protocol):
    of = served(
        port, webs, of_pool=persistence(PersistenceType.SOURCE_IP), of_listener={"protocol": protocol}
    )
    proxy.serve(of)
    chosen = {source: get(port, source=source).member for source in SOURCES[:6]}
    assert set(chosen.values()) == {web.name for web in webs}
    for source in (*SOURCES[3:6], *SOURCES[:3]):
        assert answering(port, 2, source=source) == {chosen[source]: 2}
    # A process learns from its predecessor at once. The very first one looks for its own for five seconds, and
    # before it has given up it teaches nobody.
    eventually(lambda: lab.teaches(proxy.ask("show peers")))
    for timeout in (1, 2):
        # Another timeout is another structure.
        proxy.serve(replace(of, listeners=(replace_timeout(of.listeners[0], timeout),)))
        eventually(lambda: proxy.ask(f"show table {BACKEND}").count(": key=") == 6)
        for source in reversed(SOURCES[:6]):
            assert get(port, source=source).member == chosen[source]


def replace_timeout(of: trees.Listener, seconds: int) -> trees.Listener:
    values = {name: getattr(of, name) for name in of.__struct_fields__}
    return trees.Listener(**{**values, "timeout_client_data": 10_000 + seconds})


# --- health monitors and servers -------------------------------------------------------------------------


def test_http_monitor_asks_what_it_is_told_to(proxy, port, webs):
    told = monitor(
        delay=1,
        http_method=HTTPMethod.HEAD,
        url_path="/it's?a=$HOME&b={1}%20",
        http_version=1.1,
        domain_name="www.example.com",
        expected_codes="200, 204",
    )
    proxy.serve(served(port, webs[:1], told))
    request, headers = eventually(lambda: webs[0].requests[0] if webs[0].requests else None)
    assert request == "HEAD /it's?a=$HOME&b={1}%20 HTTP/1.1"
    assert ("www.example.com") in [value for name, value in headers if name.lower() == "host"]


@pytest.mark.parametrize("method", [each for each in HTTPMethod if each is not HTTPMethod.HEAD])
def test_http_monitor_knows_all_methods(proxy, port, webs, method):
    proxy.serve(served(port, webs[:1], monitor(delay=1, http_method=method)))
    request, _ = eventually(lambda: webs[0].requests[0] if webs[0].requests else None)
    assert request == f"{method} / HTTP/1.0"
    eventually(lambda: proxy.statistics()[f"{BACKEND}/{webs[0].name}"]["check_status"] == "L7OK")


@pytest.mark.parametrize(
    ("codes", "status"),
    [("200", "UP"), ("201", "DOWN"), ("404, 200", "UP"), ("199-204", "UP"), ("201-204", "DOWN")],
)
def test_http_monitor_expects_codes(proxy, port, webs, codes, status):
    probed = monitor(delay=1, max_retries_down=1, max_retries=1, expected_codes=codes)
    proxy.serve(served(port, webs[:1], probed))
    row = eventually(
        lambda: next(
            (
                row
                for name, row in proxy.statistics().items()
                if name == f"{BACKEND}/{webs[0].name}" and row["check_status"].startswith("L7")
            ),
            None,
        )
    )
    assert row["status"].split()[0] == status


def test_http_1_1_without_domain_name_gives_the_vip_as_host(proxy, port, webs):
    proxy.serve(served(port, webs[:1], monitor(delay=1, http_version=1.1)))
    _, headers = eventually(lambda: webs[0].requests[0] if webs[0].requests else None)
    assert "127.0.0.1" in [value for name, value in headers if name.lower() == "host"]


def test_tcp_monitor_connects(proxy, port, webs):
    gone = replace(webs[1], port=lab.free_port())
    probed = monitor(type=MonitorType.TCP, delay=0, timeout=1, max_retries_down=1)
    proxy.serve(served(port, [webs[0], gone], probed))
    eventually(lambda: proxy.statistics()[f"{BACKEND}/{gone.name}"]["status"] == "DOWN")
    assert proxy.statistics()[f"{BACKEND}/{webs[0].name}"]["status"] == "UP"


def test_monitor_address_and_port(proxy, port, webs):
    elsewhere = ({"monitor_port": webs[1].port, "monitor_address": "127.0.0.1"},)
    proxy.serve(served(port, webs[:1], monitor(delay=1), of_members=elsewhere))
    eventually(lambda: webs[1].requests)
    assert get(port).member == webs[0].name


@pytest.mark.parametrize("algorithm", Algorithm)
def test_servers_are_the_same_from_the_file_and_added_live(proxy, port, webs, algorithm):
    of_members = (
        {"weight": 0},
        {"backup": True, "monitor_port": 9, "monitor_address": "::1", "weight": 256},
        {"admin_state_up": False, "monitor_port": 65535},
    )
    of = served(
        port,
        webs,
        monitor(delay=3600, type=MonitorType.TCP),
        of_members=of_members,
        of_pool={"lb_algorithm": algorithm},
    )
    rendered = proxy.serve(of)
    from_file = states(proxy)
    assert len(from_file) == 3
    for server in rendered.servers:
        name = f"{server.backend}/{server.name}"
        proxy.ask(f"set server {name} state maint")
        eventually(lambda name=name: "Server deleted." in proxy.ask(f"del server {name}"))
    assert states(proxy) == {}
    for server in rendered.servers:
        proxy.add(server)
    assert states(proxy) == from_file


def states(proxy: lab.Proxy) -> dict[str, tuple[str, ...]]:
    """What HAProxy knows of each server, but for what checks found out and how it came to be."""
    kept = {
        "be_name", "srv_addr", "srv_uweight", "srv_iweight", "srv_port", "srv_check_port", "srv_check_addr",
    }  # fmt: skip
    header, *rows = proxy.ask("show servers state").strip().splitlines()[1:]
    names = header.removeprefix("# ").split()
    found = [dict(zip(names, row.split(), strict=True)) for row in rows]
    stats = proxy.statistics()
    return {
        row["srv_name"]: (
            *(row[name] for name in sorted(kept)),
            row["srv_id"] if row["srv_f_forced_id"] == "1" else "",
            stats[f"{row['be_name']}/{row['srv_name']}"]["bck"],
            "MAINT" if int(row["srv_admin_state"]) else "",
        )
        for row in found
    }


# --- nftables --------------------------------------------------------------------------------------------

_ASK = """
import json, socket, sys
said = {}
for host, source in json.load(sys.stdin):
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    probe.settimeout(0.3)
    probe.bind((source, 0))
    try:
        probe.connect((host, 80))
        said[f"{host} {source}"] = True
    except ConnectionRefusedError:
        said[f"{host} {source}"] = True  # nobody listens, and nothing kept it from asking
    except TimeoutError:
        said[f"{host} {source}"] = False
json.dump(said, sys.stdout)
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hydria-{lab.free_port()}"
    run("ip", "netns", "add", name)
    try:
        for command in (
            "link set lo up",
            "addr add 192.0.2.10/32 dev lo",
            "addr add 2001:db8::10/128 dev lo nodad",
            "addr add 2001:db8::2/128 dev lo nodad",
        ):
            run("ip", "-n", name, *command.split())
        yield name
    finally:
        run("ip", "netns", "del", name)


def run(*command: str, said: str = "") -> str:
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_nftables_drops_other_sources(namespace):
    vips = load_balancer(
        additional_vips=[{"subnet_id": POOL, "ip_address": "2001:db8::10", "port_id": POOL}],
    )
    v4_only = listener(allowed_cidrs=["127.0.0.8/30", "127.0.0.9/32"])
    both = listener(allowed_cidrs=["127.0.0.0/8", "2001:db8::/126"])

    def reachable(of: trees.Listener) -> dict[str, bool]:
        # Applied twice: it replaces its own table, and no other.
        for _ in range(2):
            run("ip", "netns", "exec", namespace, "nft", "-f", "-", said=nftables.render(tree(vips, of)))
        asked = [
            ("192.0.2.10", "127.0.0.9"),
            ("192.0.2.10", "127.0.0.2"),
            ("127.0.0.1", "127.0.0.2"),
            ("2001:db8::10", "2001:db8::2"),
            ("2001:db8::10", "2001:db8::10"),
        ]
        said = run("ip", "netns", "exec", namespace, "python3", "-c", _ASK, said=json.dumps(asked))
        return json.loads(said)

    assert reachable(v4_only) == {
        "192.0.2.10 127.0.0.9": True,
        "192.0.2.10 127.0.0.2": False,
        "127.0.0.1 127.0.0.2": True,  # not the VIP
        "2001:db8::10 2001:db8::2": False,
        "2001:db8::10 2001:db8::10": False,
    }
    assert reachable(both) == {
        "192.0.2.10 127.0.0.9": True,
        "192.0.2.10 127.0.0.2": True,
        "127.0.0.1 127.0.0.2": True,
        "2001:db8::10 2001:db8::2": True,
        "2001:db8::10 2001:db8::10": False,
    }
