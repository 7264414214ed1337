"""A state directory that is lost is no dead end: what it made is found on the host, and goes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import driver_lab
from tests.driver_lab import shell
from tests.system.deployment import HYDRIA, Deployment, get, wait_for, web_server

pytestmark = pytest.mark.system


def test_instances_without_their_state_directories_are_listed_and_ended(tmp_path: Path) -> None:
    """On a host of its own: it ends every instance there."""
    tmp_path.chmod(0o755)
    driver_lab.run_alone(_lost, str(tmp_path), seconds=180)


def _hydria(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HYDRIA, *arguments], capture_output=True, text=True, timeout=120, check=False)


def _host_state() -> str:
    forwarding = "sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding"
    return shell(f"ip -o link | cut -d: -f2; ip netns list; nft list tables; {forwarding}")


def _lost(parent: str) -> None:
    shell("mount -t tmpfs tmpfs /run; mkdir /run/netns; ip link set lo up")
    shell("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
    before = _host_state()
    lost, running = (
        Deployment(Path(parent) / name, cidr, embedded=True)
        for name, cidr in (("lost", "10.222"), ("running", "10.223"))
    )
    try:
        for each in (lost, running):
            each.state_dir.mkdir(mode=0o755)
            each.write_config()
            each.start()
        with web_server(lost.gateway) as port:
            made = lost.order([port])
            lost.await_status(made["id"])
            wait_for(lambda: get(made["vip_address"]), 10, "it serves")
            lost.kill("all")
            identifier, kept = lost.instance, running.instance
            shutil.rmtree(lost.state_dir)
            lost.state_dir.mkdir()

            done = _hydria("cleanup", "--state-dir", str(lost.state_dir))
            assert (done.returncode, done.stdout) == (1, ""), done
            assert f"{lost.state_dir} is no state directory" in done.stderr
            assert list(lost.state_dir.iterdir()) == []
            assert get(made["vip_address"]), "nothing has happened"

        listed = {line.split()[0]: line.split() for line in _hydria("instances").stdout.splitlines()}
        assert listed[identifier][1:4] == ["1", "none", str(lost.state_dir)], listed
        assert listed[kept][1:] == ["0", str(running.processes["all"].pid), str(running.state_dir)], listed

        done = _hydria("cleanup", "--all")
        assert done.returncode == 1
        assert done.stdout == f"All that instance {identifier} had on this host is gone.\n"
        assert f"instance {kept} are running" in done.stderr
        assert identifier not in _host_state()
        assert running.running("all")
        assert kept in _host_state()

        running.stop()
        done = _hydria("cleanup", "--instance", kept)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert _host_state() == before
        assert _hydria("cleanup", "--all").stdout == "There is no instance of Hydria on this host.\n"
    finally:
        for each in (lost, running):
            each.stop()
