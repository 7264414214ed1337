"""Whatever changes have led to a state, HAProxy is what it would be had it been started for that state alone.

``HYDRIA_SEQUENCE_EXAMPLES`` makes more sequences than the usual few.
"""

import contextlib
import csv
import os
import pprint
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from hydria.dataplane import Tuning, desired_state
from hydria.model.listener import Listener
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.statuses import (
    Algorithm,
    CompareType,
    ListenerProtocol,
    MonitorType,
    PersistenceType,
    PolicyAction,
    PoolProtocol,
    RuleType,
)
from hydria.model.tree import Tree
from hydria.testing.trees import (
    POOL,
    identifier,
    listener,
    load_balancer,
    member,
    monitor,
    policy,
    pool,
    rule,
    tree,
)
from hydria.wire.state import DesiredState
from tests import certificates
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP_NETWORK, Lab, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

WEB, TLS = (identifier(Listener, number) for number in (1, 2))
SECOND = identifier(Pool, 2)
CERTIFICATES = tuple("abcd")
SECRETS = [
    {name: certificates.make(f"{name}.example.org").bundle for name in CERTIFICATES} for _ in range(2)
]  # each certificate, and what it is renewed to
TEXTS = st.sampled_from(("/a", "#b", "c;d", r"\.e", "<<", "x.example"))
NETWORKS = st.lists(st.sampled_from(("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")), unique=True, min_size=1)
MANY = settings(
    settings.get_profile("ci"),
    max_examples=int(os.environ.get("HYDRIA_SEQUENCE_EXAMPLES", "12")),
    deadline=None,
    # A shorter sequence says no more than what differs does.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

Values = dict[str, Any]
Strategies = Mapping[str, st.SearchStrategy[Any]]

MEMBER: Strategies = {
    "weight": st.integers(0, 256),
    "backup": st.booleans(),
    "admin_state_up": st.sampled_from((True, True, False)),
    "monitor_port": st.sampled_from((None, 9, 8003)),
    "monitor_address": st.sampled_from((None, "10.78.0.77", "fd78::77")),
}
LISTENER: Strategies = {
    "connection_limit": st.sampled_from((-1, 10, 20, 30)),
    "allowed_cidrs": st.none() | NETWORKS,
}
MONITOR: Strategies = {
    "delay": st.sampled_from((600, 700)),
    "max_retries": st.integers(1, 3),
    "max_retries_down": st.integers(1, 3),
}
STICKY = SessionPersistence(type=PersistenceType.SOURCE_IP)
STRUCTURE: Strategies = {
    "timeout": st.sampled_from((40_000, 50_000)),
    "persistence": st.sampled_from((None, STICKY)),
    "algorithm": st.sampled_from((Algorithm.ROUND_ROBIN, Algorithm.SOURCE_IP)),
    "speaks": st.sampled_from((PoolProtocol.HTTP, PoolProtocol.PROXY)),
    "encrypts": st.booleans(),
    "monitor": st.sampled_from((None, MonitorType.TCP, MonitorType.HTTP, MonitorType.PING)),
    "rule": st.sampled_from((RuleType.HEADER, RuleType.PATH)),
    "compare": st.sampled_from((CompareType.EQUAL_TO, CompareType.CONTAINS, CompareType.REGEX)),
    "tcp": st.booleans(),
}


@st.composite
def trees(draw: st.DrawFn, structure: Values) -> Tree:
    """Listeners, pools and policies of a structure; everything about them that changes live is any."""

    def values(strategies: Strategies) -> Values:
        return {name: draw(strategy) for name, strategy in strategies.items()}

    names = ["a", *draw(st.lists(st.sampled_from(CERTIFICATES[1:]), unique=True).map(sorted))]
    certified = {"protocol": ListenerProtocol.TERMINATED_HTTPS, "sni_container_refs": names}
    children = [
        listener(1, default_pool_id=POOL, timeout_client_data=structure["timeout"], **values(LISTENER)),
        listener(2, default_pool_id=POOL, **certified, **values(LISTENER)),
        pool(
            1,
            session_persistence=structure["persistence"],
            lb_algorithm=structure["algorithm"],
            tls_enabled=structure["encrypts"],
            drain_timeout=draw(st.sampled_from((None, 1))),
        ),
        pool(2, protocol=structure["speaks"]),
    ]
    if structure["tcp"]:
        tcp = {"protocol": ListenerProtocol.TCP, "protocol_port": 9000, "default_pool_id": SECOND}
        children.append(listener(3, **tcp, **values(LISTENER)))
    for number in draw(st.lists(st.integers(1, 6), unique=True).map(sorted)):
        its = {"address": VIP_NETWORK[0], "protocol_port": 8000 + number}
        children.append(member(number, pool_id=POOL if number < 4 else SECOND, **its, **values(MEMBER)))
    if structure["monitor"]:
        for number, pool_id in enumerate((POOL, SECOND), start=1):
            children.append(monitor(number, pool_id=pool_id, type=structure["monitor"], **values(MONITOR)))
    compared = {"type": structure["rule"], "key_name": "X-Test", "compare_type": structure["compare"]}
    for number, listener_id in enumerate((WEB, TLS), start=1):
        children.append(policy(number, listener_id=listener_id, action=PolicyAction.REJECT))
        children.append(rule(number, l7policy_id=children[-1].id, value=draw(TEXTS), **compared))
    return tree(load_balancer(vip_address=VIP), *children)


@st.composite
def sequences(draw: st.DrawFn) -> list[DesiredState]:
    """A few states, most of which have the structure of the one before."""
    made: list[DesiredState] = []
    structure: Values = {}
    for generation in range(draw(st.integers(2, 8))):
        if not structure or draw(st.integers(0, 5)) == 5:
            structure = {name: draw(strategy) for name, strategy in STRUCTURE.items()}
        renewed = draw(st.sets(st.sampled_from(CERTIFICATES)))
        secrets = {name: SECRETS[name in renewed][name] for name in CERTIFICATES}
        rendered = desired_state(
            draw(trees(structure)), (ETH1,), Tuning(default_connection_limit=100), secrets, CAPABILITIES
        )
        made.append(replace(rendered, generation=generation))
    return made


# --- what HAProxy says it is ---------------------------------------------------------------------------------


def table(text: str, delimiter: str) -> list[dict[str, str]]:
    """The rows of an answer below its header."""
    return list(csv.DictReader(text.strip().removeprefix("# ").splitlines(), delimiter=delimiter))


def seen(lab: Lab) -> Mapping[str, object]:
    """All of it that does not depend on how long it runs or on whom it has served."""
    stat = table(lab.haproxy("show stat"), ",")
    servers = table(lab.haproxy("show servers state").partition("\n")[2], " ")
    told = {f"{row['pxname']}/{row['svname']}": row for row in stat}
    return {
        "frontends": sorted(
            (row["pxname"], row["slim"], row["mode"]) for row in stat if row["svname"] == "FRONTEND"
        ),
        "servers": sorted(
            (
                *(row[name] for name in ("be_name", "srv_name", "srv_addr", "srv_port")),
                *(row[name] for name in ("srv_uweight", "srv_use_ssl", "srv_check_port")),
                # In maintenance, or draining; by the file or by command is the same.
                *(bool(int(row["srv_admin_state"]) & bits) for bits in (0x07, 0x18)),
                row["srv_check_addr"].replace("0.0.0.0", "-"),
                row["srv_id"] if row["srv_f_forced_id"] == "1" else "",
                *(
                    told[f"{row['be_name']}/{row['srv_name']}"][name]
                    for name in ("bck", "check_rise", "check_fall")
                ),
            )
            for row in servers
        ),
        "patterns": {name: patterns(lab, "acl", name) for name in listed(lab, "acl")},
        "maps": {name: patterns(lab, "map", name) for name in listed(lab, "map")},
        "certificates": {name: fingerprint(lab, name) for name in found(lab, "show ssl cert")},
        "lists": {
            name: [line.partition(":")[0] for line in found(lab, f"show ssl crt-list -n {name}")]
            for name in found(lab, "show ssl crt-list")
        },
        "files": {path.name: path.read_text() for path in (lab.work / "tls").iterdir()},
        "configuration": (lab.work / "haproxy.cfg").read_text(),
        "packet filter": lab.in_amphora("nft", "-s", "list", "ruleset"),
    }


def listed(lab: Lab, kind: str) -> list[str]:
    return sorted(re.findall(r"\((tls/[^)]+)\)", lab.haproxy(f"show {kind}")))


def patterns(lab: Lab, kind: str, name: str) -> list[str]:
    lines = lab.haproxy(f"show {kind} {name}").strip("\n").splitlines()
    return sorted(line.partition(" ")[2] for line in lines)


def found(lab: Lab, command: str) -> list[str]:
    return [line for line in lab.haproxy(command).split("\n") if line and not line.startswith("#")]


def fingerprint(lab: Lab, name: str) -> list[str]:
    return re.findall(r"FingerPrint: (\w+)", lab.haproxy(f"show ssl cert {name}"))


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> Mapping[str, object]:
    """What is only in one of them; of lists, which of their items."""

    def only(items: object, others: object) -> object:
        if isinstance(items, list) and isinstance(others, list):
            return [item for item in items if item not in others]
        return items

    return {
        name: (only(one[name], other[name]), only(other[name], one[name]))
        for name in one
        if one[name] != other[name]
    }


# --- the property --------------------------------------------------------------------------------------------


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    """One for all the changes, and one that only ever starts."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in ("changing", "fresh"):
            (tmp_path / name).mkdir()
            made.append(stack.enter_context(agent_lab.running(tmp_path / name)))
        for number in range(1, 7):
            made[0].member(8000 + number)
        yield made[0], made[1]


def connected(lab: Lab, port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return lab.outside.run(lambda: socket.create_connection((VIP, port), timeout=0.5))
    return None


def test_any_sequence_of_changes_ends_like_a_fresh_start(labs: tuple[Lab, Lab]) -> None:
    changing, fresh = labs
    generations = iter(range(1, 1_000_000))

    @MANY
    @given(sequences(), st.booleans())
    def check(sequence: list[DesiredState], connections: bool) -> None:
        with contextlib.ExitStack() as stack:
            for each in sequence:
                applied = changing.apply(replace(each, generation=next(generations)))
                event(f"reloaded: {applied.reloaded}")
                # Connections that last keep former servers in the way of the next change.
                if connections and (held := connected(changing, 9000)):
                    stack.enter_context(held)
        last = sequence[-1]
        fresh.apply(DesiredState(next(generations)))
        fresh.apply(replace(last, generation=next(generations)))
        expected = seen(fresh)
        with contextlib.suppress(AssertionError):  # the comparison below says what differs
            eventually(lambda: seen(changing) == expected)
        left = differences(seen(changing), expected)
        assert not left, f"{pprint.pformat(left, width=200)}\n{changing.log}"

    check()
