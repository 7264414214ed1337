"""The compute drivers keep the contract that is shipped for their authors."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydria.drivers.compute.interface import AmphoraSpec
from hydria.drivers.compute.netns import NetnsComputeDriver
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.settings import Settings
from hydria.testing.contracts.compute import ComputeDriverContract
from tests import driver_lab


class TestNoop(ComputeDriverContract):
    @pytest.fixture
    def driver(self) -> NoopComputeDriver:
        return NoopComputeDriver(Settings())

    @pytest.fixture
    def make_spec(self) -> Callable[[], AmphoraSpec]:
        network = NoopNetworkDriver(Settings())
        return lambda: driver_lab.order(network, network.lb_network_id)


@pytest.mark.node
class TestNetns(ComputeDriverContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[driver_lab.Host]:
        with driver_lab.host(tmp_path, "sh", "-c", "exec sleep 600") as host:
            yield host

    @pytest.fixture
    def driver(self, host: driver_lab.Host) -> NetnsComputeDriver:
        return host.compute

    @pytest.fixture
    def make_spec(self, host: driver_lab.Host) -> Callable[[], AmphoraSpec]:
        return host.order
