"""The amphora agent on a real HAProxy: states in, traffic through, faults survived."""

import contextlib
import dataclasses
import http.client
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from hydria.wire.encoding import encode
from hydria.wire.heartbeat import Report
from hydria.wire.state import Applied, DesiredState, decode_superseded
from tests.node import agent_lab
from tests.node.agent_lab import (
    BACKEND,
    ETH1,
    LISTENER,
    POOL,
    VIP,
    VIP6,
    Lab,
    Load,
    eventually,
    server,
    state,
)
from tests.node.dataplane_lab import CAPABILITIES, haproxy_version

pytestmark = pytest.mark.node


def test_first_state_serves(lab: Lab) -> None:
    lab.member(8001)
    applied = lab.apply(state(7, server(8001)))
    assert (applied.generation, applied.reloaded, applied.fault) == (7, True, "")
    assert lab.get() == "8001"
    assert lab.get(VIP6) == "8001"
    info = lab.info()
    assert info["generation"] == 7
    assert info["haproxy_version"] == haproxy_version()
    assert info["haproxy_capabilities"] == sorted(CAPABILITIES)


def test_applying_the_same_again_changes_nothing(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(7, server(8001)))
    pids = lab.haproxy_pids()
    applied = lab.apply(state(7, server(8001)))
    assert not applied.reloaded
    assert lab.haproxy_pids() == pids
    assert lab.get() == "8001"


def test_older_generation_is_refused(lab: Lab) -> None:
    lab.apply(state(7, server(8001)))
    status, applied = lab.put(state(6))
    assert (status, applied.generation) == (409, 7)
    assert "6" in applied.fault


def test_who_has_lost_its_lease_takes_neither_the_vip_nor_members_away(lab: Lab) -> None:
    """A worker that was frozen goes on, at the same generation, or at a later one, under an earlier term."""
    lab.member(8001)
    lab.apply(state(7, server(8001), term=3))
    without = dataclasses.replace(state(7, term=2), interfaces=(dataclasses.replace(ETH1, vips=()),))
    for stale in (without, dataclasses.replace(without, generation=8), dataclasses.replace(without, term=0)):
        status, body = lab.request("PUT", "/v1/state", encode(stale))
        assert (status, decode_superseded(body).term) == (412, 3)
    assert VIP in lab.in_amphora("ip", "-o", "address")
    assert lab.get() == "8001"
    assert lab.apply(state(7, server(8001), term=4)) == Applied(7)
    assert lab.info()["term"] == 4


def test_an_agent_knows_the_term_after_its_end(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001), term=6))
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: agent_lab.answers(lab))
    status, body = lab.request("PUT", "/v1/state", encode(state(2, term=5)))
    assert (status, decode_superseded(body).term) == (412, 6)
    assert lab.get() == "8001"


def test_members_change_without_reload_or_failed_request(lab: Lab) -> None:
    for port in (8001, 8002, 8003):
        lab.member(port)
    check = ("check", "inter", "1s")
    lab.apply(state(1, server(8001, options=check)))
    pids = lab.haproxy_pids()
    sets = [
        ([server(8001, options=check), server(8002)], {"8001", "8002"}),
        ([server(8001, options=check), server(8002), server(8003, weight=3)], {"8001", "8002", "8003"}),
        ([server(8002), server(8003)], {"8002", "8003"}),
        ([server(8002, weight=0), server(8003)], {"8003"}),
        ([server(8002), server(8003, enabled=False)], {"8002"}),
        ([server(8001, options=check), server(8002), server(8003)], {"8001", "8002", "8003"}),
        ([server(8001, options=check)], {"8001"}),
        ([server(8001, options=check), server(8002), server(8003, enabled=False)], {"8001", "8002"}),
    ]
    with Load(lab) as load:
        for generation, (servers, expected) in enumerate(sets, start=2):
            applied = lab.apply(state(generation, *servers))
            assert not applied.reloaded, lab.log
            # Others take their turns, too: who answers these few is not settled.
            eventually(lambda expected=expected: lab.answerers() == expected)
    assert load.failures == []
    assert load.good > 100
    assert lab.haproxy_pids() == pids
    assert "1 server added, no reload" in lab.log


def test_removed_servers_are_deleted(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001), server(8002)))
    lab.apply(state(2, server(8001)))
    eventually(lambda: "member-8002" not in lab.haproxy(f"show stat {BACKEND} 4 -1"))
    lab.apply(state(3, server(8001), server(8002)))
    assert "member-8002" in lab.haproxy(f"show stat {BACKEND} 4 -1")


def test_server_with_a_connection_is_deleted_after_the_bound(lab: Lab) -> None:
    lab.member(8001)
    tcp = lambda text: text.replace("mode http", "mode tcp")  # noqa: E731
    with_one, without = state(1, server(8001)), state(2)
    lab.apply(DesiredState(**{**_fields(with_one), "haproxy": tcp(with_one.haproxy)}))
    import socket

    held = lab.outside.run(lambda: socket.create_connection((VIP, 80), timeout=10))
    with held:
        lab.heartbeat(lambda report: _active(report) == 1)
        applied = lab.apply(DesiredState(**{**_fields(without), "haproxy": tcp(without.haproxy)}))
        assert not applied.reloaded
        assert "member-8001" in lab.haproxy(f"show stat {BACKEND} 4 -1")
        assert lab.heartbeat(lambda report: report.generation == 2).members == {}
        began = time.monotonic()
        assert held.recv(1) == b""
        assert time.monotonic() - began > 1
        eventually(lambda: "member-8001" not in lab.haproxy(f"show stat {BACKEND} 4 -1"))


def test_structure_changes_by_reload_and_the_old_process_ends(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    before = lab.haproxy_pids()
    applied = lab.apply(state(2, server(8001), timeout="20s"))
    assert applied.reloaded
    assert lab.get() == "8001"
    after = eventually(lambda: (pids := lab.haproxy_pids()) and not pids & before and pids)
    assert len(after) == 1
    assert "timeout client 20s" in (lab.work / "haproxy.cfg").read_text()


def test_what_health_checks_know_survives_a_reload_and_what_is_disabled_does_not(lab: Lab) -> None:
    lab.member(8001)
    lab.member(8003)
    down = server(8002, options=("check", "inter", "60s", "fastinter", "60s", "fall", "1"))
    lab.apply(state(1, server(8001), down, server(8003, enabled=False)))
    lab.heartbeat(lambda report: report.members.get("member-8002") == "DOWN")
    # A check each minute: the new process would believe it up for a long time.
    lab.apply(state(2, server(8001), down, server(8003), timeout="20s"))
    report = lab.heartbeat(lambda report: report.generation == 2)
    assert report.members == {"member-8001": "NO_CHECK", "member-8002": "DOWN", "member-8003": "NO_CHECK"}


def test_change_that_haproxy_cannot_make_live_is_reloaded(lab: Lab) -> None:
    for port in (8001, 8002):
        lab.member(port)
    lab.apply(state(1, server(8001)))
    applied = lab.apply(state(2, server(8001), server(8002, options=("init-addr", "none"))))
    assert applied.reloaded
    assert lab.answerers() == {"8001", "8002"}
    assert "cannot do it live" in lab.log


def test_refused_configuration_leaves_the_old_one_serving(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    pids = lab.haproxy_pids()
    other = agent_lab.Interface(**{**_fields(agent_lab.ETH1), "vips": ()})
    nonsense = state(2, server(8001), extra="    no-such-keyword yes", interfaces=(other,))
    status, applied = lab.put(nonsense)
    assert (status, applied.generation) == (422, 1)
    assert "unknown keyword 'no-such-keyword'" in applied.fault
    assert lab.haproxy_pids() == pids
    assert lab.get() == "8001"
    assert "no-such-keyword" not in (lab.work / "haproxy.cfg").read_text()
    assert not (lab.work / "haproxy.cfg.new").exists()
    assert lab.apply(state(3, server(8001), timeout="20s")).generation == 3


def test_refused_start_and_refused_server_leave_everything_as_it_was(lab: Lab) -> None:
    status, applied = lab.put(state(1, server(8001), extra="    no-such-keyword yes"))
    assert (status, applied.generation) == (422, 0)
    assert VIP not in lab.in_amphora("ip", "addr")
    lab.member(8001)
    lab.apply(state(2, server(8001)))
    status, applied = lab.put(state(3, server(8001), server(8002), server(8003, options=("no-such-option",))))
    assert (status, applied.generation) == (422, 2)
    assert "no-such-option" in applied.fault
    assert lab.answerers() == {"8001"}
    assert eventually(lambda: len(lab.haproxy_pids()) == 1)


def test_nothing_to_do_stops_haproxy(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    lab.get()
    lab.heartbeat(lambda report: report.generation == 1 and report.listeners[LISTENER].total_connections == 1)
    applied = lab.apply(DesiredState(2, interfaces=(agent_lab.ETH1,)))
    assert not applied.reloaded
    eventually(lambda: not lab.haproxy_pids())
    report = lab.heartbeat(lambda report: report.generation == 2)
    assert report.haproxy
    assert report.listeners == report.pools == report.members == {}
    lab.apply(state(3, server(8001)))
    lab.get()
    report = lab.heartbeat(lambda report: report.generation == 3)
    lab.heartbeat(lambda report: report.generation == 3 and report.listeners[LISTENER].total_connections == 2)


def test_client_without_certificate_is_refused(lab: Lab) -> None:
    def ask() -> None:
        connection = lab.connection(certificate=False)
        connection.request("GET", "/v1/state")
        connection.getresponse()

    with pytest.raises((ssl.SSLError, OSError)):
        lab.outside.run(ask)
    assert lab.request("GET", "/v1/state")[0] == 200


def test_certificate_of_another_authority_is_refused(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    def ask() -> None:
        context = ssl.create_default_context(cafile=lab.authority.certificate)
        context.load_cert_chain(agent_lab.Authority(other).issue("client"))
        connection = http.client.HTTPSConnection(agent_lab.LB_NETWORK[1], 9443, context=context, timeout=5)
        connection.request("GET", "/v1/state")
        connection.getresponse()

    with pytest.raises((ssl.SSLError, OSError)):
        lab.outside.run(ask)


def test_hanging_clients_do_not_block_others(lab: Lab) -> None:
    import socket

    def hang() -> list[object]:
        address = (agent_lab.LB_NETWORK[1], 9443)
        half = [lab.connection() for _ in range(3)]
        for connection in half:
            connection.putrequest("PUT", "/v1/state")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"{")
        return [*half, *(socket.create_connection(address) for _ in range(5))]

    held = lab.outside.run(hang)
    began = time.monotonic()
    lab.apply(state(1, server(8001)))
    assert time.monotonic() - began < 2
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a desired state"),
        (b"[]", "not a desired state"),
        (b'{"generation": 1}', "not a desired state"),
        (encode(state(1)).replace(b'"generation":1', b'"generation":"1"'), "generation"),
        (encode(state(1, server(8001, name="a;shutdown"))), "token"),
        (encode(state(1, server(0))), "port"),
    ],
)
def test_malformed_body_is_refused(lab: Lab, body: bytes, reason: str) -> None:
    status, answer = lab.request("PUT", "/v1/state", body)
    assert status == 400
    assert answer.startswith(b'{"error": ')
    assert reason.encode() in answer


def test_unknown_path_and_method(lab: Lab) -> None:
    assert lab.request("GET", "/")[0] == 404
    assert lab.request("PUT", "/v1/info", b"{}")[0] == 404
    assert lab.request("DELETE", "/v1/state")[0] == 501


def test_killed_agent_comes_back_and_takes_haproxy_over(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(5, server(8001), server(8002)))
    for _ in range(5):
        lab.get()
    before = lab.heartbeat(
        lambda report: LISTENER in report.listeners and report.listeners[LISTENER].bytes_out
    )
    pids, agent = lab.haproxy_pids(), lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: agent_lab.answers(lab))
    assert lab.info()["generation"] == 5
    assert lab.haproxy_pids() == pids
    assert lab.get() == "8001"
    after = lab.heartbeat(lambda report: report.sequence > before.sequence and report.generation == 5)
    assert after.epoch == before.epoch
    assert after.listeners[LISTENER].bytes_out >= before.listeners[LISTENER].bytes_out
    applied = lab.apply(state(6, server(8001)))
    assert not applied.reloaded
    assert lab.haproxy_pids() == pids


def test_killed_haproxy_comes_back(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    lab.apply(state(2, server(8001), server(8002)))
    (pid,) = lab.haproxy_pids()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - {pid}, 3)
    assert "8001" in {eventually(lambda: agent_lab.serves(lab)), lab.get()}
    assert "member-8002" in lab.haproxy(f"show stat {BACKEND} 4 -1")


def test_everything_killed_comes_back_with_its_state(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(4, server(8001), nftables="table inet hydria {\n}\n"))
    agent_lab.end(lab.process)
    lab.in_amphora("ip", "addr", "flush", "dev", "eth1")
    lab.in_amphora("nft", "flush", "ruleset")
    lab.process = agent_lab.start_amphora(lab.namespace, lab.directory)
    try:
        eventually(lambda: agent_lab.answers(lab))
        assert lab.info()["generation"] == 4
        assert eventually(lambda: agent_lab.serves(lab)) == "8001"
        assert "table inet hydria" in lab.in_amphora("nft", "list", "ruleset")
    finally:
        agent_lab.end(lab.process)


def test_heartbeats_tell_statuses_and_absolute_counters(lab: Lab) -> None:
    for port in (8001, 8003, 8004):
        lab.member(port)
    fast = ("check", "inter", "100ms", "fall", "1")
    servers = [
        server(8001, options=fast),
        server(8002, options=fast),
        server(8003),
        server(8004, weight=0, options=fast),
        server(8005, enabled=False),
    ]
    lab.apply(state(3, *servers))
    report = lab.heartbeat(lambda report: report.members.get("member-8002") == "DOWN")
    assert report.amphora_id == agent_lab.AMPHORA_ID
    assert report.haproxy
    assert report.generation == 3
    assert report.pools == {POOL: "UP"}
    assert report.members["member-8001"] == "UP"
    assert report.members["member-8003"] == "NO_CHECK"
    assert report.members["member-8004"] == "DRAIN"
    assert report.members["member-8005"] == "MAINT"
    assert report.listeners[LISTENER].status == "OPEN"
    for _ in range(10):
        lab.get()
    before = lab.heartbeat(lambda report: report.listeners[LISTENER].total_connections == 10)
    lab.apply(state(4, *servers, timeout="20s"))
    last = before
    for _ in range(3):
        after = lab.heartbeat()
        assert after.sequence > last.sequence
        assert after.listeners[LISTENER].total_connections == 10
        assert after.listeners[LISTENER].bytes_out >= before.listeners[LISTENER].bytes_out > 0
        last = after
    lab.get()
    lab.heartbeat(lambda report: report.listeners[LISTENER].total_connections == 11)
    assert last.epoch == before.epoch


def test_pool_without_a_working_member_is_down(lab: Lab) -> None:
    lab.apply(state(1, server(8002, options=("check", "inter", "100ms", "fall", "1"))))
    lab.heartbeat(lambda report: report.pools == {POOL: "DOWN"})


def test_dead_haproxy_is_told(lab: Lab) -> None:
    lab.apply(state(1, server(8001)))
    lab.heartbeat(lambda report: report.generation == 1 and report.haproxy)
    # What served is made unusable, so that the agent cannot bring it back.
    (lab.work / "haproxy.cfg").write_text("nonsense\n")
    os.kill(lab.haproxy_pids().pop(), signal.SIGKILL)
    lab.heartbeat(lambda report: not report.haproxy)
    assert lab.apply(state(2, server(8001))).reloaded
    lab.heartbeat(lambda report: report.generation == 2 and report.haproxy)


def test_only_the_root_part_is_root(lab: Lab) -> None:
    lab.apply(state(1, server(8001)))
    processes = lab.processes()
    root = lab.root_pid()
    assert processes.pop(root)[1] == 0
    assert min(name for name, _ in processes.values()) == "haproxy"
    assert {uid for _, uid in processes.values()} == {agent_lab.USER}
    judged = set()
    for pid in processes:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # one that only said its version
            status = Path(f"/proc/{pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
            assert "NoNewPrivs:\t1" in status
            judged.add(pid)
    assert {lab.agent_pid(), *lab.haproxy_pids()} <= judged
    assert all(path.stat().st_mode & 0o077 == 0 for path in lab.work.iterdir())


def test_sigterm_ends_everything(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    root = lab.root_pid()
    began = time.monotonic()
    os.kill(root, signal.SIGTERM)
    assert lab.process.wait(5) == 0
    assert time.monotonic() - began < 3
    assert not Path(f"/proc/{root}").exists()


def test_maxconn_is_fitted_to_the_host(lab: Lab) -> None:
    import resource

    applied = lab.apply(state(1, server(8001)))
    assert applied.reloaded
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    fitted = lab.info()["maxconn"]
    assert isinstance(fitted, int)
    if hard < 100_000:
        assert hard * 0.45 < fitted < hard / 2
        assert f"maxconn 50000 lowered to {fitted}" in lab.log
    else:
        assert fitted == 50_000


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__slots__}


def _active(report: Report) -> int:
    return report.listeners[LISTENER].active_connections if LISTENER in report.listeners else 0


def test_reload_keeps_accepting_connections(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    with Load(lab, keep_alive=0, new=3) as load:
        for generation in range(2, 8):
            assert lab.apply(state(generation, server(8001), timeout=f"{generation}0s")).reloaded
    assert load.failures == []
    assert load.good > 20
    eventually(lambda: len(lab.haproxy_pids()) == 1)


def test_unusable_state_file_waits_for_a_controller(lab: Lab) -> None:
    lab.apply(state(4, server(8001)))
    (lab.work / "state").write_text("{")
    os.kill(lab.agent_pid(), signal.SIGKILL)
    eventually(lambda: agent_lab.answers(lab) and lab.info()["generation"] == 0)
    lab.member(8001)
    assert lab.apply(state(5, server(8001))).generation == 5
    assert lab.get() == "8001"


def test_agent_that_keeps_dying_is_started_ever_more_slowly(lab: Lab) -> None:
    killed = []
    for _ in range(4):
        killed.append(eventually(lambda: lab.agent_pid() if lab.agent_pid() not in (0, *killed) else 0))
        os.kill(killed[-1], signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: lab.agent_pid() not in (0, *killed))
    assert time.monotonic() - began > 0.5
    eventually(lambda: agent_lab.answers(lab))


def test_secrets_stay_out_of_sight(lab: Lab) -> None:
    lab.apply(state(1, server(8001)))
    for pid in (lab.root_pid(), lab.agent_pid(), *lab.haproxy_pids()):
        assert agent_lab.KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert agent_lab.KEY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert agent_lab.KEY not in lab.log


def test_root_part_need_not_be_pid_1(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    agent_lab.end(lab.process)
    lab.process = agent_lab.start_amphora(lab.namespace, lab.directory, enclosed=False)
    try:
        eventually(lambda: agent_lab.answers(lab))
        assert eventually(lambda: agent_lab.serves(lab)) == "8001"
        haproxy = int((lab.work / "haproxy.pid").read_text())
        parent = eventually(lambda: int(Path(f"/proc/{haproxy}/stat").read_text().split()[3]))
        assert parent == lab.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        (agent,) = (int(pid) for pid in children if "python" in Path(f"/proc/{pid}/comm").read_text())
        os.kill(agent, signal.SIGKILL)
        eventually(lambda: "took over HAProxy" in lab.log)
        assert not lab.apply(state(2, server(8001), server(8002))).reloaded
    finally:
        lab.process.terminate()
        lab.process.wait(10)
    assert not Path(f"/proc/{haproxy}").exists()


def test_the_root_part_keeps_few_capabilities(lab: Lab) -> None:
    status = Path(f"/proc/{lab.root_pid()}/status").read_text()
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    wanted = sum(1 << number for number in (5, 6, 7, 12, 13))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(sets[name], 16) == wanted, name
    agent = Path(f"/proc/{lab.agent_pid()}/status").read_text()
    assert "CapEff:\t0000000000000000" in agent


def test_a_state_that_somebody_else_wrote_is_not_believed(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(7, server(8001)))
    kept = lab.work / "state"
    seal, _, body = kept.read_bytes().partition(b"\n")
    forged = body.replace(b"10.78.0.10/24", b"10.78.0.66/24")
    assert forged != body
    kept.write_bytes(seal + b"\n" + forged)
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent) and agent_lab.answers(lab))
    assert lab.info()["generation"] == 0
    assert "10.78.0.66" not in lab.in_amphora("ip", "addr")
    assert "waiting for a controller" in lab.log
    assert not lab.apply(state(7, server(8001))).fault
    assert lab.get() == "8001"


def test_haproxys_user_cannot_look_into_the_agent(lab: Lab) -> None:
    lab.apply(state(1, server(8001)))
    (haproxy,) = lab.haproxy_pids()
    user = str(agent_lab.USER)
    for pid, readable in ((lab.agent_pid(), False), (haproxy, True)):
        look = ["head", "-c1", f"/proc/{pid}/environ"]
        command = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *look]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is readable, (pid, done.stderr)


def test_heartbeats_begin_before_any_state_is_told(lab: Lab) -> None:
    """The first one wakes whoever builds the amphora; so it does after a restart with an emptied disk."""
    first = lab.heartbeat()
    assert (first.generation, first.listeners) == (0, {})
    lab.apply(state(3))
    applied = lab.heartbeat(lambda report: report.generation == 3)
    former = lab.agent_pid()
    (lab.work / "state").unlink()
    os.kill(former, signal.SIGKILL)
    again = lab.heartbeat(lambda report: report.generation == 0 and report.epoch > applied.epoch)
    assert again.epoch > first.epoch
