"""The registry of ports: shared by programs that may be killed at any moment."""

import contextlib
import os
import random
import signal
import time
import uuid
from pathlib import Path

import pytest

from hydria.drivers.network import addressing
from hydria.drivers.network.addressing import Segment
from hydria.drivers.network.interface import FixedAddress, Port
from hydria.drivers.network.ports import PortRegistry
from hydria.model.errors import Conflict, Invalid, Unavailable


def segment(cidr: str = "10.0.0.0/24") -> Segment:
    return addressing.segment("a1b2c3", "vip", [("cidr", cidr)], mtu=1500, gateway=True)


def make(registry: PortRegistry, name: str, found: Segment, *addresses: str) -> Port:
    wanted = [FixedAddress(found.network.subnet_ids[0], address) for address in addresses or ("",)]
    port_id = addressing.port_id("a1b2c3", name)
    return registry.create(port_id, found, name=name, owner="test", addresses=wanted)


def claims(root: Path) -> set[str]:
    return {path.name for path in (root / "network" / "claims").iterdir()}


@pytest.fixture
def registry(tmp_path: Path) -> PortRegistry:
    return PortRegistry(tmp_path)


def test_ipv6_addresses_are_compared_as_addresses(registry: PortRegistry) -> None:
    found = segment("fd00::/64")
    port = make(registry, "one", found, "FD00:0:0::00AB")
    assert port.addresses[0].address == "fd00::ab"
    with pytest.raises(Conflict, match=r"^The address fd00::ab is taken\.$"):
        make(registry, "two", found, "fd00::AB")


def test_every_address_is_given_before_none_is_left(registry: PortRegistry) -> None:
    found = segment("10.0.0.0/28")
    given = {make(registry, f"port-{number}", found).addresses[0].address for number in range(13)}
    assert given == {f"10.0.0.{number}" for number in range(2, 15)}
    with pytest.raises(Unavailable, match=r"10.0.0.0/28.*\[bridge\] cidr"):
        make(registry, "one-too-many", found)
    assert len(registry.all()) == 13


def test_few_places_are_looked_at_when_most_are_taken(
    tmp_path: Path, registry: PortRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = segment("10.0.0.0/18")
    make(registry, "first", found)
    for address in random.Random(1).sample([str(each) for each in found.ranges[0].network][2:-1], 10_000):
        with contextlib.suppress(FileExistsError):
            (tmp_path / "network" / "claims" / address).symlink_to(str(uuid.uuid4()))
    tries: list[str] = []
    take = registry._take

    def counted(address: str, port_id: str) -> str:
        tries.append(address)
        return take(address, port_id)

    monkeypatch.setattr(registry, "_take", counted)
    for number in range(50):
        make(registry, f"port-{number}", found)
    assert 50 <= len(tries) < 500, "three for each, mostly: ten thousand of sixteen are taken"


def test_a_half_made_port_gives_its_addresses_back(tmp_path: Path, registry: PortRegistry) -> None:
    found = segment()
    make(registry, "one", found, "10.0.0.9")
    with pytest.raises(Conflict):
        make(registry, "two", found, "10.0.0.8", "10.0.0.9")
    with pytest.raises(Invalid):
        make(registry, "two", found, "10.0.0.8", "10.0.0.0")
    assert claims(tmp_path) == {"10.0.0.9"}


def test_an_orphaned_claim_is_freed_when_listed_and_when_asked_for(
    tmp_path: Path, registry: PortRegistry
) -> None:
    found = segment()
    registry.prepare()
    for address in ("10.0.0.8", "10.0.0.9"):
        (tmp_path / "network" / "claims" / address).symlink_to(str(uuid.uuid4()))
    assert make(registry, "one", found, "10.0.0.9").addresses[0].address == "10.0.0.9"
    registry.all()
    assert claims(tmp_path) == {"10.0.0.9"}


def test_a_lost_claim_is_made_again(tmp_path: Path, registry: PortRegistry) -> None:
    make(registry, "one", segment(), "10.0.0.9")
    (tmp_path / "network" / "claims" / "10.0.0.9").unlink()
    registry.prepare()
    with pytest.raises(Conflict):
        make(registry, "two", segment(), "10.0.0.9")


def test_a_port_file_that_a_power_cut_emptied_is_no_port(tmp_path: Path, registry: PortRegistry) -> None:
    port = make(registry, "one", segment(), "10.0.0.9")
    (tmp_path / "network" / "ports" / f"{port.id}.json").write_bytes(b"")
    assert registry.all() == []
    assert make(registry, "one", segment(), "10.0.0.9") == port


def test_ids_are_not_paths(registry: PortRegistry) -> None:
    for identifier in ("../../etc/passwd", "", "{}", "a" * 5000):
        assert registry.get(identifier) is None
        registry.delete(identifier)


def test_programs_that_are_killed_leave_nothing_taken_twice_or_for_ever(
    tmp_path: Path, registry: PortRegistry
) -> None:
    found = segment("10.0.0.0/27")
    registry.prepare()
    chance = random.Random(7)
    for _ in range(12):
        children = [_make_and_delete_for_ever(tmp_path, found, chance.random()) for _ in range(3)]
        time.sleep(chance.uniform(0.0, 0.05))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        ports = PortRegistry(tmp_path).all()
        held = [each.address for port in ports for each in port.addresses]
        assert len(held) == len(set(held))
        assert claims(tmp_path) == set(held)
    for port in registry.all():
        registry.delete(port.id)
    registry.prepare()
    assert list((tmp_path / "network" / "ports").iterdir()) == []
    assert claims(tmp_path) == set()


def _make_and_delete_for_ever(root: Path, found: Segment, seed: float) -> int:
    child = os.fork()
    if child == 0:
        try:
            registry, chance = PortRegistry(root), random.Random(seed)
            while True:
                name = f"port-{chance.randrange(20)}"
                with contextlib.suppress(Unavailable):
                    port = make(registry, name, found)
                    if chance.random() < 0.5:
                        registry.delete(port.id)
        finally:
            os._exit(1)
    return child
