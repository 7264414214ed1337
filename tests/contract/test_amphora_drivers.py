"""The amphora drivers keep the contract that is shipped for their authors."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.drivers.amphora.noop import NoopAmphoraDriver
from hydria.drivers.amphora.rest import RestAmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.model.amphora import Amphora
from hydria.testing.agent import FakeAgent, fake_agent
from hydria.testing.contracts.amphora import AmphoraDriverContract, AmphoraNetworkContract
from hydria.wire.state import DesiredState
from tests import driver_lab


class TestNoop(AmphoraDriverContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> NoopAmphoraDriver:
        settings = driver_lab.settings(tmp_path)
        return NoopAmphoraDriver(settings, LocalCertificateAuthority(settings))

    @pytest.fixture
    def amphora(self) -> Amphora:
        return driver_lab.amphora(str(uuid.uuid4()), "198.18.0.7")


class TestRestWithFakeAgent(AmphoraNetworkContract):
    @pytest.fixture
    def authority(self, tmp_path: Path) -> LocalCertificateAuthority:
        return LocalCertificateAuthority(driver_lab.settings(tmp_path))

    @pytest.fixture
    def amphora(self) -> Amphora:
        return driver_lab.amphora(str(uuid.uuid4()), "127.0.0.1")

    @pytest.fixture
    def agent(self, authority: LocalCertificateAuthority, amphora: Amphora) -> Iterator[FakeAgent]:
        with fake_agent(authority, amphora.id) as agent:
            yield agent

    @pytest.fixture
    def driver(
        self, tmp_path: Path, authority: LocalCertificateAuthority, agent: FakeAgent
    ) -> RestAmphoraDriver:
        options: dict[str, object] = {"bind_port": agent.port, "rest_request_conn_timeout": 1.0}
        return RestAmphoraDriver(driver_lab.settings(tmp_path, haproxy_amphora=options), authority)

    @pytest.fixture
    def absent(self) -> Amphora:
        return driver_lab.amphora(str(uuid.uuid4()), "127.0.0.2")  # loopback, where nothing listens

    @pytest.fixture
    def refused(self) -> DesiredState:
        return DesiredState(5, haproxy="refused")


@pytest.mark.node
class TestRestWithAgentInNamespace(AmphoraNetworkContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[driver_lab.Host]:
        with driver_lab.host(tmp_path, haproxy_amphora={"rest_request_conn_timeout": 1.0}) as host:
            yield host

    @pytest.fixture
    def authority(self, host: driver_lab.Host) -> LocalCertificateAuthority:
        return LocalCertificateAuthority(host.settings)

    @pytest.fixture
    def amphora(
        self, host: driver_lab.Host, driver: RestAmphoraDriver, authority: LocalCertificateAuthority
    ) -> Amphora:
        built = host.compute.order(spec := host.order(authority))
        amphora = driver_lab.amphora(spec.amphora_id, built.lb_network_ip)
        driver.await_ready(amphora, 10)
        return amphora

    @pytest.fixture
    def driver(self, host: driver_lab.Host, authority: LocalCertificateAuthority) -> RestAmphoraDriver:
        return RestAmphoraDriver(host.settings, authority)

    @pytest.fixture
    def absent(self, host: driver_lab.Host) -> Amphora:
        return driver_lab.amphora(str(uuid.uuid4()), host.port("nobody").addresses[0].address)

    @pytest.fixture
    def refused(self) -> DesiredState:
        return DesiredState(5, haproxy="refused\n")
