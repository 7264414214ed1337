"""The network drivers keep the contract that is shipped for their authors."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid1, uuid4

import pytest

from hydria.drivers.network.bridge import BridgeNetworkDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.settings import Settings
from hydria.testing.contracts.network import NetworkAllocationContract, NetworkDriverContract
from tests import driver_lab


class TestNoop(NetworkDriverContract):
    @pytest.fixture
    def driver(self) -> NoopNetworkDriver:
        return NoopNetworkDriver(Settings())

    def test_another_process_hears_the_same(self, driver: NoopNetworkDriver) -> None:
        other = NoopNetworkDriver(Settings())
        port = driver.create_port(driver.lb_network_id, name="one", owner="")
        assert other.create_port(driver.lb_network_id, name="one", owner="") == port
        network = driver.network("5e0c0b1e-9d3f-4c36-8a57-0d2b9a1f7c11")
        assert driver.subnet(network.subnet_ids[0]).network_id == network.id
        unknown = driver.port("0a1b2c3d-1111-4222-8333-444455556666")
        assert unknown == other.port("0a1b2c3d-1111-4222-8333-444455556666")
        assert driver.subnet(unknown.addresses[0].subnet_id).network_id == unknown.network_id

    @pytest.mark.parametrize("identifier", [str(uuid4()), str(uuid1()), "named by hand", ""])
    def test_there_is_everything_of_every_id(self, driver: NoopNetworkDriver, identifier: str) -> None:
        """As upstream's: a network has whatever subnet is named, and a subnet holds both families."""
        network, subnet, port = driver.network(identifier), driver.subnet(identifier), driver.port(identifier)
        assert [network.id, subnet.id, port.id] == [identifier] * 3
        assert network.has(str(uuid4()))
        assert network.port_security
        assert all(map(subnet.holds, ("192.0.2.7", "2001:db8::7")))
        assert driver.free_addresses(identifier) is None
        assert driver.security_group(identifier) == driver.qos_policy(identifier) == identifier
        assert driver.create_port(identifier, name="n", owner="").network_id == identifier


@pytest.mark.node
class TestBridge(NetworkAllocationContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[BridgeNetworkDriver]:
        with driver_lab.host(tmp_path) as host:
            yield host.network
