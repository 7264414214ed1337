"""A tenant asks for what others have: he hears that it is taken, and nothing of whose it is."""

from __future__ import annotations

import dataclasses
import re
import uuid
from pathlib import Path

import pytest

from hydria.api.call import Caller
from hydria.drivers.network import addressing
from hydria.drivers.network.interface import FixedAddress, Network
from hydria.drivers.network.ports import PortRegistry
from hydria.model.errors import Conflict, Invalid
from hydria.model.load_balancer import LoadBalancer
from hydria.testing.network import FakeNetwork
from tests.databases import new_store
from tests.unit.api_writing import Api

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Members:
    """Who is of a project may do everything in it. ``lists``: whether that is so of lists, too."""

    lists = True

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        if rule.endswith("-global") or (rule.endswith("get_all") and not self.lists):
            return False
        return project_id in (None, caller.project_id)


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def both(network: FakeNetwork) -> Network:
    return network.add_network("2001:db8::/64", "198.51.100.0/24")


@pytest.fixture
def api(tmp_path: Path, network: FakeNetwork, both: Network) -> Api:
    api = Api(new_store(tmp_path), network=network)
    services = dataclasses.replace(api.call.services, policy=Members())
    api.call = dataclasses.replace(api.call, services=services)
    become(api, "ann")
    return api


def become(api: Api, project_id: str) -> None:
    api.call = dataclasses.replace(api.call, caller=Caller(project_id))


def refusal(api: Api, **body: object) -> str:
    with pytest.raises(Invalid) as refused:
        api.create(LoadBalancer, **body)
    return str(refused.value.message)


def test_a_port_of_another_project_is_none(api: Api) -> None:
    made = api.create(LoadBalancer, vip_network_id=api.network.networks()[0].id)
    port_id = made["vip_port_id"]
    assert refusal(api, vip_port_id=port_id) == (
        f"Validation failure: Port {port_id} is already used by device lb-{made['id']} "
    )
    become(api, "bob")
    nobody = str(uuid.uuid4())
    assert refusal(api, vip_port_id=port_id) == f"Port {port_id} not found."
    assert refusal(api, vip_port_id=nobody) == f"Port {nobody} not found."


def test_ports_of_amphorae_are_nobodys(api: Api, network: FakeNetwork, both: Network) -> None:
    port = network.add_port(both, (both.subnet_ids[1], "198.51.100.7"), owner=f"amphora-{uuid.uuid4()}")
    assert refusal(api, vip_port_id=port.id) == f"Port {port.id} not found."


def test_who_may_list_nothing_sees_no_port(api: Api, both: Network) -> None:
    made = api.create(LoadBalancer, vip_network_id=both.id)
    api.call.services.policy.lists = False  # type: ignore[attr-defined]
    assert refusal(api, vip_port_id=made["vip_port_id"]) == f"Port {made['vip_port_id']} not found."


def test_a_taken_address_is_no_port(tmp_path: Path) -> None:
    registry = PortRegistry(tmp_path)
    found = addressing.segment("a1b2c3", "vip", [("cidr", "10.0.0.0/24")], mtu=1500, gateway=True)
    wanted = [FixedAddress(found.network.subnet_ids[0], "10.0.0.7")]
    first, second = (addressing.port_id("a1b2c3", name) for name in ("lb-1", "lb-2"))
    registry.create(first, found, name="octavia-lb-1", owner="lb-1", addresses=wanted)
    with pytest.raises(Conflict) as taken:
        registry.create(second, found, name="octavia-lb-2", owner="lb-2", addresses=wanted)
    assert not UUID.search(taken.value.message)
    assert "10.0.0.7 is taken" in taken.value.message
