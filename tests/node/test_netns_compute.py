"""Namespace amphorae on this host: how they are enclosed, what survives, and that nothing is left."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.drivers.compute import launch, namespaces
from hydria.drivers.compute.interface import AmphoraSpec, ComputeStatus, Selection
from hydria.drivers.compute.netns import NetnsComputeDriver
from hydria.drivers.compute.order import LOG, Order, encode
from hydria.model.errors import DriverError, Invalid
from tests import driver_lab
from tests.driver_lab import Host, shell, wait_for

pytestmark = pytest.mark.node

IDLE = ("sh", "-c", "exec sleep 600")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with driver_lab.host(tmp_path, *IDLE) as host:
        yield host


def traces(host: Host, spec: AmphoraSpec | None = None) -> list[str]:
    """What there is on this machine of a deployment, or of one of its amphorae."""
    instance = (host.settings.state_dir / "instance").read_text()
    name = f"hy{instance}-{spec.amphora_id[:8] if spec else ''}"
    ports = [spec.lb_network.port, *(each.port for each in spec.attachments)] if spec else []
    found = [f"namespace {path.name}" for path in Path("/run/netns").glob(f"{name}*")]
    found += [f"group {path}" for path in Path("/sys/fs/cgroup").glob(f"*/hydria-{instance}/{name}*")]
    found += [f"files {path}" for path in host.settings.state_dir.glob("amphorae/*") if _is(path, spec)]
    links = {link["ifname"]: link for link in json.loads(shell("ip -j -d link"))}
    group = str(1 << 24 | int(instance, 16))
    found += [f"link {each}" for each, link in links.items() if not spec and link.get("group") == group]
    found += [f"link {port.id}" for port in ports if f"hy{port.id.replace('-', '')[:11]}" in links]
    # Where /run/amphora of a process comes from.
    where = f"{host.settings.state_dir.name}/amphorae/{spec.amphora_id if spec else ''}"
    found += [
        f"process {path.parent.name}"
        for path in Path("/proc").glob("[0-9]*/mountinfo")
        if where in _text(path)
    ]
    return found


def _text(path: Path) -> str:
    """A file's text; nothing of a process that has just ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _is(path: Path, spec: AmphoraSpec | None) -> bool:
    return spec is None or path.name == spec.amphora_id


def inside(compute_id: str, command: str) -> str:
    """Run a command in all namespaces of an amphora."""
    return shell(f"nsenter --target {init_of(compute_id)} --net --mount --pid {command}")


def init_of(compute_id: str) -> int:
    """The host's pid of an amphora's PID 1, once that is what it shall be."""

    def find() -> int:
        where = namespaces.inode(compute_id)
        for pid in namespaces.inhabitants().get(where or 0, []):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                (line,) = (each for each in status.splitlines() if each.startswith("NSpid:"))
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if line.split()[1:] == [str(pid), "1"] and command.startswith(b"sleep\0"):
                    return pid
        return 0

    wait_for(find, f"PID 1 of {compute_id}")
    return find()


def test_an_amphora_has_its_interfaces_and_one_address(host: Host) -> None:
    spec = host.order()
    built = host.compute.order(spec)
    links = {link["ifname"]: link for link in json.loads(shell(f"ip -j -n {built.compute_id} addr"))}
    assert set(links) == {"lo", "eth0", "eth1"}
    assert links["eth0"]["address"] == spec.lb_network.port.mac
    assert links["eth1"]["address"] == spec.attachments[0].port.mac
    assert all("UP" in link["flags"] for link in links.values())

    def given(name: str) -> list[str]:
        return [each["local"] for each in links[name]["addr_info"] if not each["local"].startswith("fe80")]

    assert given("eth0") == [built.lb_network_ip]
    assert given("eth1") == [], "the agent's business"
    assert shell(f"ip -n {built.compute_id} route show default") == ""


def test_an_amphora_sees_its_own_processes_and_files_alone(host: Host) -> None:
    spec, other = host.order(), host.order()
    built = host.compute.order(spec)
    host.compute.order(other)
    (host.settings.state_dir / "secret").write_text("of the controller")
    (Path("/run") / f"{built.compute_id}.sock").touch()
    try:
        assert inside(built.compute_id, "ls /run").split() == ["amphora"]
        assert inside(built.compute_id, f"find {host.settings.state_dir} -name secret || true") == ""
        files = inside(built.compute_id, "ls -A /run/amphora").split()
        assert sorted(files) == ["agent.log", "boot.json", "instance.json", "server.pem", "work"]
        assert inside(built.compute_id, "cat /run/amphora/server.pem") == "secret"
        processes = [each for each in inside(built.compute_id, "ls /proc").split() if each.isdecimal()]
        assert len(processes) <= 2, "PID 1 and perhaps the one that looks"
        mounts = inside(built.compute_id, "cat /proc/self/mountinfo")
        assert other.amphora_id not in mounts
        assert " - nsfs " not in mounts, "it would keep others' namespaces alive"
    finally:
        (Path("/run") / f"{built.compute_id}.sock").unlink()


def test_an_amphora_is_born_with_a_user_of_its_own(host: Host) -> None:
    specs = [host.order(), host.order()]
    users = set()
    for spec in specs:
        host.compute.order(spec)
        path = host.settings.state_dir / "amphorae" / spec.amphora_id
        record = json.loads((path / "instance.json").read_text())
        user, root = record["user"], record["root"]
        users |= {user, root}
        assert json.loads((path / "boot.json").read_text())["user"] == user
        assert host.settings.netns.first_user < user < root
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (0, root, 0o710)
        owners = {file.name: (file.stat().st_uid, file.stat().st_mode & 0o777) for file in path.iterdir()}
        born_with = {"server.pem": (root, 0o600), "boot.json": (root, 0o600)}
        assert owners == born_with | {
            "instance.json": (0, 0o600),
            "agent.log": (0, 0o600),
            "work": (user, 0o700),
        }
    assert len(users) == 4


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists(),
    reason="control groups version 1 are what this machine's CI has; version 2 is in tests/unit",
)
def test_an_amphora_is_limited(tmp_path: Path) -> None:
    eat = ("sh", "-c", "sleep 0.1; exec python3 -c 'bytearray(200 << 20)'")
    with driver_lab.host(tmp_path, *eat, netns={"memory_limit_mb": 64}) as host:
        built = host.compute.order(host.order())
        groups = list(Path("/sys/fs/cgroup").glob(f"*/hydria-*/{built.compute_id}"))
        assert {group.parent.parent.name for group in groups} >= {"memory", "cpu", "pids"}
        wait_for(lambda: not _running(host, built.compute_id), "the kernel ends what eats too much")
        (memory,) = (group for group in groups if group.parent.parent.name == "memory")
        assert "oom_kill 1" in (memory / "memory.oom_control").read_text()


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists(),
    reason="this host has no memory cgroup of version 1",
)
def test_an_amphora_has_the_size_that_its_flavor_names(tmp_path: Path) -> None:
    with driver_lab.host(tmp_path, *IDLE, netns={"compute_flavors": {"small": "96/0.5"}}) as host:
        orders = [
            dataclasses.replace(host.order(), selection=Selection(flavor=name)) for name in ("small", "")
        ]
        limits = []
        for spec in orders:
            built = host.compute.order(spec)
            (group,) = Path("/sys/fs/cgroup/memory").glob(f"hydria-*/{built.compute_id}")
            limits.append(int((group / "memory.limit_in_bytes").read_text()) // 1024**2)
        assert limits == [96, 256]
        unknown = dataclasses.replace(host.order(), selection=Selection(flavor="large"))
        with pytest.raises(DriverError, match="compute_flavor 'large' is not one of"):
            host.compute.order(unknown)
        assert traces(host, unknown) == []


def test_an_amphora_outlives_its_controller(host: Host) -> None:
    spec = host.order()
    child = os.fork()
    if child == 0:
        os.setsid()
        NetnsComputeDriver(host.settings, IDLE).order(spec)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (found,) = host.compute.instances()
    assert (found.name, found.status) == (spec.name, ComputeStatus.RUNNING)
    pid = init_of(found.compute_id)
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert os.getsid(pid) != os.getsid(0)
    assert status["PPid"] != str(os.getpid())
    assert host.compute.order(spec) == found, "the next start adopts it"
    descriptors = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    log = str(host.settings.state_dir / "amphorae" / spec.amphora_id / "agent.log")
    assert sorted(set(descriptors)) == sorted({"/dev/null", log})
    environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
    assert {each.partition("=")[0] for each in environment if each} <= {"PATH", "LC_ALL", "PYTHONPATH", "PWD"}


def test_an_amphora_whose_processes_ended_is_stopped_and_says_why(tmp_path: Path) -> None:
    with driver_lab.host(tmp_path, "sh", "-c", "echo out of luck >&2; exit 3") as host:
        spec = host.order()
        built = host.compute.order(spec)
        wait_for(lambda: not _running(host, built.compute_id), "its end")
        found = host.compute.get(built.compute_id)
        assert found is not None
        assert (found.status, found.name) == (ComputeStatus.STOPPED, spec.name)
        assert "out of luck" in found.fault


def _running(host: Host, compute_id: str) -> bool:
    found = host.compute.get(compute_id)
    return found is not None and found.status is ComputeStatus.RUNNING


def test_a_stopped_amphora_is_built_anew(host: Host) -> None:
    spec = host.order()
    built = host.compute.order(spec)
    namespaces.empty(built.compute_id)
    assert not _running(host, built.compute_id)
    assert host.compute.order(spec).status is ComputeStatus.RUNNING
    assert init_of(built.compute_id)


def test_an_address_that_another_amphora_had_is_found_at_once(host: Host) -> None:
    """The host remembers where it last met an address, for many seconds; here for ever, whoever announces it."""
    port = host.port("port")
    (fixed,) = port.addresses
    shell(f"ip neigh replace {fixed.address} lladdr 02:00:00:00:00:01 nud permanent dev {port.binding}")
    spec = host.order()
    lb_network = dataclasses.replace(spec.lb_network, port=port, addresses=(f"{fixed.address}/25",))
    host.compute.order(dataclasses.replace(spec, lb_network=lb_network))
    with pytest.raises(ConnectionRefusedError):  # by the amphora, where nothing listens
        socket.create_connection((fixed.address, 9), timeout=5).close()


def test_delete_leaves_nothing(host: Host) -> None:
    spec, other = host.order(), host.order()
    built = host.compute.order(spec)
    host.compute.order(other)
    init_of(built.compute_id)
    visitor = subprocess.Popen(["nsenter", f"--net=/run/netns/{built.compute_id}", "sleep", "600"])
    wait_for(lambda: len(_inhabitants(built.compute_id)) >= 2, "the visitor")
    host.compute.delete(built.compute_id)
    assert [each for each in traces(host, spec) if not each.startswith("link")] == []
    wait_for(lambda: not traces(host, spec), "the kernel takes the links down")
    assert traces(host, other)
    assert visitor.wait() == -signal.SIGKILL


def _inhabitants(compute_id: str) -> list[int]:
    return namespaces.inhabitants().get(namespaces.inode(compute_id) or 0, [])


def test_two_amphorae_whose_ids_begin_alike_are_kept_apart(host: Host) -> None:
    spec = host.order()
    host.compute.order(spec)
    twin = dataclasses.replace(spec, amphora_id=spec.amphora_id[:-4] + "0000", name="amphora-twin")
    with pytest.raises(DriverError, match=spec.amphora_id):
        host.compute.order(twin)
    assert [found.name for found in host.compute.instances()] == [spec.name]


def test_a_build_that_fails_leaves_nothing_and_says_why(host: Host) -> None:
    spec = host.order()
    unplugged = dataclasses.replace(spec.attachments[0].port, binding="hynowhere")
    broken = dataclasses.replace(
        spec, attachments=(dataclasses.replace(spec.attachments[0], port=unplugged),)
    )
    with pytest.raises(DriverError, match="the bridge hynowhere of port"):
        host.compute.order(broken)
    wait_for(lambda: not traces(host, spec), "everything is taken down again")


def test_builders_killed_at_any_moment_leave_what_the_next_can_build_on(host: Host) -> None:
    """Ten kills, each at another moment of a build of about 15 ms; then it is built, then removed."""
    chance = random.Random(5)
    spec = host.order()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            NetnsComputeDriver(host.settings, IDLE).order(spec)
            os._exit(0)
        time.sleep(chance.uniform(0, 0.025))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if chance.random() < 0.5:
            built = host.compute.order(spec)
            assert built.status is ComputeStatus.RUNNING
            assert init_of(built.compute_id)
            assert built.lb_network_ip in shell(f"ip -n {built.compute_id} addr show eth0 up")
        wait_for(lambda: _delete_all(host) and not traces(host), "everything is taken down", seconds=10)


def _delete_all(host: Host) -> bool:
    """As housekeeping does, again and again: a child of a killed builder may still have been at work."""
    for instance in host.compute.instances():
        host.compute.delete(instance.compute_id)
    return True


def test_an_interrupted_build_can_be_found_and_removed(host: Host) -> None:
    """What is left where a build may be killed: a directory, an empty file, a namespace, a group."""
    instance = host.compute._instance_id
    for number, make in enumerate(
        (
            "mkdir {state}/amphorae/{id}",
            "touch /run/netns/hy{instance}-{first}",
            "ip netns add hy{instance}-{first}",
            "mkdir -p /sys/fs/cgroup/pids/hydria-{instance}/hy{instance}-{first}",
        )
    ):
        amphora_id = f"0000000{number}-aaaa-4bbb-8ccc-ddddeeeeffff"
        host.compute.order(host.order())  # makes the directories
        shell(
            make.format(state=host.settings.state_dir, instance=instance, id=amphora_id, first=amphora_id[:8])
        )
        compute_id = f"hy{instance}-{amphora_id[:8]}"
        assert compute_id in {found.compute_id for found in host.compute.instances()}
        host.compute.delete(compute_id)
        assert compute_id not in {found.compute_id for found in host.compute.instances()}
        assert not [each for each in traces(host) if compute_id in each or amphora_id in each]


def test_cleanup_takes_everything_and_nothing_of_others(host: Host, tmp_path: Path) -> None:
    with driver_lab.host(tmp_path / "other", *IDLE) as other:
        kept = other.compute.order(other.order())
        for _ in range(3):
            host.compute.order(host.order())
        host.compute.cleanup()
        assert traces(host) == []
        assert list(host.compute.instances()) == []
        assert _running(other, kept.compute_id)
        assert host.compute.get(kept.compute_id) is None
        host.compute.delete(kept.compute_id)
        assert _running(other, kept.compute_id)


def test_what_an_amphora_runs_on_must_not_be_hidden_from_it() -> None:
    with pytest.raises(Invalid, match="state_dir to a directory of its own"):
        launch.check(Path(sys.prefix))
    with pytest.raises(Invalid, match="state_dir to a directory of its own"):
        launch.check(driver_lab.ROOT)
    launch.check(driver_lab.ROOT / ".state")
    for path in ("/", "etc", "/etc/../root", "/proc/sys", "/run/secrets"):
        with pytest.raises(Invalid, match=r"visible_paths|do not see /run"):
            launch.check(driver_lab.ROOT / ".state", [path])


def test_an_amphora_writes_to_its_boot_directory_alone(host: Host) -> None:
    """What is world-writable on the host, or belongs to root there, is not so in an amphora."""
    built = host.compute.order(host.order())
    target = f"nsenter --target {init_of(built.compute_id)} --mount"
    with tempfile.TemporaryDirectory(prefix="hydria-open-", dir="/var/lib") as name:
        Path(name).chmod(0o1777)
        for directory in ("/", "/etc", "/usr", "/dev", "/run/amphora"):
            done = subprocess.run(
                f"{target} touch {directory}/evil", shell=True, capture_output=True, check=False
            )
            assert b"Read-only file system" in done.stderr, directory
            assert not (Path(directory) / "evil").exists()
    shell(f"{target} touch /run/amphora/work/own")
    for directory in ("/tmp", "/var/tmp"):
        assert shell(f"{target} ls -A {directory}") == ""
        user = f"setpriv --reuid 640001 --regid 640001 --clear-groups touch {directory}/evil"
        assert subprocess.run(f"{target} {user}", shell=True, capture_output=True, check=False).returncode
    flags = [line.split()[3] for line in shell(f"{target} cat /proc/1/mounts").splitlines()]
    assert all("nosuid" in each.split(",") for each in flags)


def test_an_amphora_sees_what_is_to_be_visible_and_where_its_haproxy_is(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hydria-own-", dir="/var/lib") as name:
        for part in ("sbin/haproxy", "lib/libssl.so", "etc/secret"):
            (Path(name) / part).parent.mkdir()
            (Path(name) / part).write_text(part)
        shown = {"visible_paths": f"{name}/lib,{name}/nowhere"}
        with driver_lab.host(tmp_path, *IDLE, netns=shown) as host:
            spec = host.order()
            boot = dataclasses.replace(spec.boot, haproxy=f"{name}/sbin/haproxy")
            built = host.compute.order(dataclasses.replace(spec, boot=boot))
            target = f"nsenter --target {init_of(built.compute_id)} --mount"
            found = shell(f"{target} find {name} -type f").split()
            assert sorted(found) == [f"{name}/lib/libssl.so", f"{name}/sbin/haproxy"]


def test_amphorae_of_the_lb_network_do_not_hear_each_other(host: Host) -> None:
    one, other = host.compute.order(host.order()), host.compute.order(host.order())
    connect = (
        f"import socket; socket.create_connection(({other.lb_network_ip!r}, 9), timeout=1)"  # nobody listens
    )
    command = ["ip", "netns", "exec", one.compute_id, sys.executable, "-c", connect]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ConnectionRefusedError" not in done.stderr
    assert done.returncode != 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((other.lb_network_ip, 9), timeout=1).close()


def test_an_amphora_in_a_namespace_without_its_name_does_not_live(host: Host, tmp_path: Path) -> None:
    """It was on its way in when somebody deleted it, and nobody would find it any more."""
    built, other = host.compute.order(host.order()), host.compute.order(host.order())
    boot_dir = next(host.settings.state_dir.glob(f"amphorae/{built.compute_id.rpartition('-')[2]}*"))
    for name in (other.compute_id, "hynowhere"):
        enter = ["nsenter", f"--net=/run/netns/{built.compute_id}", "unshare", "--pid", "--fork"]
        arrival = order(tmp_path, namespace=f"/run/netns/{name}")
        script = (
            "import os; from hydria.drivers.compute import enclosure, order;"
            f"enclosure.main(order.decode({encode(arrival)!r}), os.open({str(boot_dir)!r}, os.O_RDONLY), {{}})"
        )
        done = subprocess.run(
            [*enter, sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(driver_lab.ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert f"/run/netns/{name} is gone" in done.stderr


def fork_servers() -> set[int]:
    """The processes of this machine that amphorae are forked from."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"hydria.drivers.compute.fork_server" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def test_amphorae_are_forked_from_one_process_and_bear_their_own_names(tmp_path: Path) -> None:
    before = fork_servers()
    with driver_lab.host(tmp_path) as host:
        built = [host.compute.order(host.order()) for _ in range(3)]
        # What carries out an order is a copy of it, for a moment.
        wait_for(lambda: len(fork_servers() - before) == 1, "one process that amphorae are forked from")
        for one in built:
            # Whoever is about to end, or to become another program for a moment, has another name.
            wait_for(lambda one=one: _titles(one.compute_id) == {f"hydria amphora {one.compute_id}"}, "names")


def _titles(compute_id: str) -> set[str]:
    inhabitants = namespaces.inhabitants()[namespaces.inode(compute_id) or 0]
    return {_text(Path(f"/proc/{pid}/cmdline")).rstrip("\0") for pid in inhabitants}


def test_the_next_amphora_is_built_when_the_process_that_forks_them_was_killed(host: Host) -> None:
    before = fork_servers()
    first = host.compute.order(host.order())
    wait_for(lambda: len(fork_servers() - before) == 1, "the process without copies of it")
    (server,) = fork_servers() - before
    os.kill(server, signal.SIGKILL)
    second = host.compute.order(host.order())
    assert _running(host, first.compute_id), "whoever was forked lives on"
    assert _running(host, second.compute_id)
    assert fork_servers() - before != {server}


def test_the_process_that_forks_amphorae_ends_when_idle_and_with_its_controller(tmp_path: Path) -> None:
    before = fork_servers()
    launcher = launch.Launcher(idle=0.2)
    launcher.server()
    wait_for(lambda: not fork_servers() - before, "the end of an idle fork server")
    fault = order(tmp_path, namespace="/run/netns/hynowhere")
    with pytest.raises(DriverError, match="hynowhere"):
        start(launcher, fault, tmp_path)  # by another one

    code = "from hydria.drivers.compute import launch; launch.Launcher(600).server(); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as controller:
        wait_for(lambda: len(fork_servers() - before) == 1, "a fork server")
        controller.kill()
    wait_for(lambda: not fork_servers() - before, "the end of a fork server whose controller was killed")


def test_a_fork_server_that_does_not_start_is_a_fault_of_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch.sys, "executable", "/bin/false")
    with pytest.raises(DriverError, match=r"does not start: .*/bin/false.* returned non-zero"):
        start(launch.Launcher(), order(tmp_path, namespace="/run/netns/hynowhere"), tmp_path)


def test_an_amphora_whose_links_cannot_be_set_up_is_refused_with_the_reason(tmp_path: Path) -> None:
    launcher = launch.Launcher(idle=0.2)
    name = f"hytest-{os.getpid()}"
    namespaces.create(name)
    try:
        fault = order(tmp_path, namespace=f"/run/netns/{name}", links="link set nothing up")
        with pytest.raises(DriverError, match="Cannot find device"):
            start(launcher, fault, tmp_path)
        where = namespaces.inode(name)
        wait_for(lambda: not namespaces.inhabitants().get(where or 0), "nobody left inside")
    finally:
        namespaces.dismantle(name)


def order(directory: Path, namespace: str, links: str = "") -> Order:
    """An amphora that is not to be."""
    return Order(
        namespace, str(directory), joins=[], links=links, command=["echo", "alive"], visible=[], boxed=False
    )


def start(launcher: launch.Launcher, order: Order, boot_dir: Path) -> None:
    (boot_dir / LOG).touch()
    descriptor = os.open(boot_dir, os.O_RDONLY)
    try:
        launcher.start(order, descriptor)
    finally:
        os.close(descriptor)
