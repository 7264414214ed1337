"""Instances are found on a host by what is there, whatever is left of one, and ended by their id."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from hydria import controllers
from hydria.drivers import instances
from hydria.drivers.network.bridge import BridgeNetworkDriver
from hydria.model.errors import Conflict
from hydria.settings import Settings
from tests import driver_lab
from tests.driver_lab import shell

pytestmark = pytest.mark.node


def _own_host() -> None:
    shell("mount -t tmpfs tmpfs /run; mkdir /run/netns; ip link set lo up")


def _left() -> str:
    return shell("ip -o link | cut -d: -f2; ip netns list; nft list tables")


def test_each_remainder_is_found_and_ended() -> None:
    driver_lab.run_alone(_each_remainder)


def _each_remainder() -> None:
    _own_host()
    # What belongs to others, though the names are much alike.
    shell("ip netns add hyphen-00000000; ip link add hylb type bridge; nft add table inet hydria_datagram")
    before = _left()
    shell(
        "ip netns add hyaaaaaa-00000001; ip netns add hyaaaaaa-00000002; ip netns exec hyaaaaaa-00000002 true;"
        "ip link add hybbbbbblb type bridge; ip link add hyccccccvip type bridge;"
        "nft add table inet hydria_dddddd;"
        f"ip link add hy00112233445 group {1 << 24 | 0xEEEEEE} type veth peer name other"
    )
    found = instances.found()
    assert [each.id for each in found] == ["aaaaaa", "bbbbbb", "cccccc", "dddddd", "eeeeee"]
    assert found[0].namespaces == ["hyaaaaaa-00000001", "hyaaaaaa-00000002"]
    assert all(each.directory is None and each.programs == [] for each in found)
    for number, each in enumerate(found, start=1):
        instances.end(each, Settings())
        assert instances.found() == found[number:]
    assert _left() == before


def test_the_bridges_know_the_state_directory(tmp_path: Path) -> None:
    driver_lab.run_alone(_the_state_directory, str(tmp_path))


def _the_state_directory(parent: str) -> None:
    _own_host()
    shell("sysctl -qw net.ipv4.ip_forward=0")
    before = _left()
    directory = Path(parent) / "state"
    settings = driver_lab.settings(directory)
    BridgeNetworkDriver(settings).prepare()
    (found,) = instances.found()
    assert found.found_directory == directory
    # It is moved: the next program says where it is now.
    moved = directory.rename(Path(parent) / "moved")
    assert instances.found()[0].found_directory is None
    BridgeNetworkDriver(driver_lab.settings(moved, bridge=dataclasses.asdict(settings.bridge))).prepare()
    (found,) = instances.found()
    assert found.found_directory == moved
    # Another instance's directory in its place is not taken for its own.
    (moved / "instance").write_text("000000")
    assert found.found_directory is None
    assert f"{moved} (not there any more)" in list(instances.table([found]))[1]
    instances.end(found, Settings())
    assert (_left(), shell("sysctl -n net.ipv4.ip_forward").strip()) == (before, "0")
    assert (moved / "network").exists(), "nothing of another instance is touched"


def test_an_instance_whose_programs_run_is_left_alone(tmp_path: Path) -> None:
    driver_lab.run_alone(_programs_run, str(tmp_path))


def _programs_run(directory: str) -> None:
    _own_host()
    driver = BridgeNetworkDriver(driver_lab.settings(Path(directory)))
    driver.prepare()
    before = _left()
    with controllers.announced(driver_lab.settings(Path(directory))):
        (found,) = instances.found()
        assert found.programs == [os.getpid()]
        with pytest.raises(Conflict, match=f"running \\(process {os.getpid()}\\)"):
            controllers.end_instance(Settings(), found)
        assert _left() == before
    (found,) = instances.found()
    assert found.programs == []
    controllers.end_instance(Settings(), found)
    assert instances.found() == []
