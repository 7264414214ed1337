"""UDP and SCTP listeners as services, and services as rules of the packet filter."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydria.amphora import datagrams as rules
from hydria.amphora.probes import Health
from hydria.amphora.shares import shares
from hydria.dataplane import Tuning, datagrams
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import Algorithm, ListenerProtocol, MonitorType, PersistenceType, PoolProtocol
from hydria.testing.trees import LISTENER, POOL, listener, load_balancer, member, monitor, pool, tree
from hydria.wire.encoding import encode
from hydria.wire.state import DesiredState, Probe, Service, Target, decode_state


def dns(*more, of_listener=(), of_pool=()):
    return tree(
        listener(protocol=ListenerProtocol.UDP, protocol_port=53, default_pool_id=POOL, **dict(of_listener)),
        pool(protocol=PoolProtocol.UDP, **dict(of_pool)),
        *more,
    )


def only(of) -> Service:
    (service,) = datagrams.render(of.desired(), Tuning())
    return service


def test_a_service_is_what_its_listener_and_pool_say():
    of = dns(member(1, weight=3, monitor_port=54), member(2, backup=True, admin_state_up=False))
    first, second = (target.name for target in only(of).targets)
    assert only(of) == Service(
        LISTENER, POOL, "udp", ("192.0.2.10",), 53,
        (
            Target(first, "198.51.100.1", 8080, weight=3, probe_port=54),
            Target(second, "198.51.100.2", 8080, backup=True, enabled=False),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "balance"),
    [
        (Algorithm.ROUND_ROBIN, "turn"),
        (Algorithm.LEAST_CONNECTIONS, "least"),
        (Algorithm.SOURCE_IP, "source"),
        (Algorithm.SOURCE_IP_PORT, "flow"),
    ],
)
def test_algorithms(algorithm, balance):
    assert only(dns(of_pool={"lb_algorithm": algorithm})).balance == balance


@pytest.mark.parametrize("preserve", [None, False, True])
def test_members_see_clients_or_the_amphora(preserve):
    service = only(dns(member(1), of_pool={"preserve_source": preserve}))
    assert service.preserve is bool(preserve)
    lines = rules.script([service], {}, "eth0").lines
    rest = [line for line in lines if "rule" in line and " postrouting " in line]
    (mark,) = rules.marks([service]).values()
    seen = [f"add rule {rules.TABLE} postrouting ct mark {{ {mark:#x} }} accept"] if preserve else []
    assert rest == [*seen, f"add rule {rules.TABLE} postrouting ct status dnat masquerade"]


@pytest.mark.parametrize(
    ("timeout", "granularity", "found"),
    [
        (None, None, (360, 32, 64)),
        (5, "255.255.255.0", (5, 24, 64)),
        (5, "255.0.255.0", (5, 8, 64)),
        (5, "0.0.0.0", (5, 0, 64)),
        (7, "ffff:ffff:ffff::", (7, 32, 48)),
    ],
)
def test_persistence(timeout, granularity, found):
    persistence = SessionPersistence(
        type=PersistenceType.SOURCE_IP, persistence_timeout=timeout, persistence_granularity=granularity
    )
    service = only(dns(of_pool={"session_persistence": persistence}))
    assert (service.sticky, service.mask4, service.mask6) == found


@pytest.mark.parametrize(
    ("codes", "found"), [("200", (200,)), ("200, 202", (200, 202)), ("200-202", (200, 201, 202))]
)
def test_probes(codes, found):
    probe = only(dns(monitor(type=MonitorType.HTTP, expected_codes=codes, http_version=1.1, delay=0))).probe
    assert probe == Probe("HTTP", 1, 3, 2, 3, codes=found, version="1.1", host="192.0.2.10")
    assert only(dns(monitor(type=MonitorType.UDP_CONNECT))).probe == Probe("UDP-CONNECT", 5, 3, 2, 3)
    assert only(dns(monitor(type=MonitorType.TCP, admin_state_up=False))).probe is None


def test_what_is_disabled_is_not_served():
    assert datagrams.render(tree(load_balancer(admin_state_up=False), *dns().children()), Tuning()) == ()
    assert datagrams.render(dns(of_listener={"admin_state_up": False}).desired(), Tuning()) == ()
    assert only(dns(member(), of_pool={"admin_state_up": False})).targets == ()
    assert datagrams.render(tree(listener()), Tuning()) == ()


def test_services_travel_as_they_are():
    of = dns(member(), monitor(type=MonitorType.TCP), of_listener={"allowed_cidrs": ["192.0.2.0/24"]})
    state = DesiredState(7, services=datagrams.render(of.desired(), Tuning()))
    assert decode_state(encode(state)) == state


# --- rules


def test_marks_are_the_same_whoever_else_is_there():
    one = only(dns(member(1)))
    two = only(dns(member(1), member(2)))
    key = one.listener, one.targets[0].name
    assert rules.marks([one])[key] == rules.marks([two])[key]
    assert 0 not in rules.marks([two]).values()


def test_marks_differ_whatever_their_sums(monkeypatch):
    monkeypatch.setattr("zlib.crc32", lambda _text: 0)
    found = rules.marks([only(dns(member(1), member(2), member(3)))])
    assert len(set(found.values()) | {0}) == 4


def test_backups_are_for_when_nobody_else_is_there():
    first, second = only(dns(member(1), member(2, backup=True))).targets
    assert rules.usable([first, second], ()) == [first]
    assert rules.usable([first, second], {first.name}) == [second]
    assert rules.usable([dataclasses.replace(first, weight=0)], ()) == []


@pytest.mark.parametrize(
    ("weights", "flows", "found"),
    [
        ("", "", {}),
        ("1", "", {"a": 100}),
        ("1 1", "", {"a": 100, "b": 100}),
        ("1 3", "", {"a": 50, "b": 150}),
        ("1 3", "10 30", {"a": 50, "b": 150}),
        ("1 1", "12", {"b": 200}),
        ("1 1", "10 8", {"b": 200}),
        ("1 1", "9 8", {"a": 50, "b": 150}),
        ("1 1 2", "5 1 4", {"b": 167, "c": 133}),
        # More than a hundred may come until it is looked again.
        ("1 1", "1600 1500", {"a": 3, "b": 197}),
        ("256 1", "256 3", {"a": 200}),
    ],
)
def test_what_comes_goes_where_there_are_fewest(weights, flows, found):
    def named(numbers: str) -> dict[str, int]:
        return dict(zip("abc", map(int, numbers.split()), strict=False))

    assert shares(named(weights), named(flows)) == found


@given(
    st.dictionaries(
        st.integers(), st.tuples(st.integers(1, 256), st.integers(0, 10**6)), min_size=1, max_size=300
    )
)
def test_no_more_is_poured_in_than_what_comes(found):
    weights = {each: weight for each, (weight, _) in found.items()}
    flows = {each: has for each, (_, has) in found.items()}
    parts = shares(weights, flows)
    assert parts
    assert min(parts.values()) > 0
    lowest = min(found, key=lambda each: flows[each] / weights[each])
    coming = max(len(found), sum(flows.values()) // 30)
    level = (flows[lowest] + coming) / weights[lowest]  # if it all went there
    assert all(flows[each] / weights[each] <= level for each in parts)


def test_what_is_not_needed_any_more_is_removed_chains_first():
    made = rules.script([only(dns(member(1), of_listener={"connection_limit": 5}))], {}, "eth0").made
    lines = rules.script([], {}, "eth0").text(made).splitlines()
    deleted = [line for line in lines if line.startswith("delete ")]
    assert len(deleted) == len(made)
    kinds = [line.split()[1] for line in deleted]
    assert kinds == sorted(kinds, key=lambda kind: kind != "chain")


@pytest.mark.parametrize(
    ("answers", "states"),
    [
        ("--", "UD"),
        ("-+-", "UUU"),
        ("--+", "UDD"),
        ("--++-", "UDDUU"),
        ("--+-++", "UDDDDU"),
    ],
)
def test_it_takes_several_answers_in_a_row_to_change_its_mind(answers, states):
    health = Health(rise=2, fall=2)
    found = []
    for answer in answers:
        health.hear(serves=answer == "+")
        found.append("U" if health.up else "D")
    assert "".join(found) == states
