"""Networks and subnets to read: there where Hydria has its own, and nowhere else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from falcon import testing

from hydria.api import program
from hydria.api.app import make_app
from hydria.api.call import Caller
from hydria.messages import LocalWakeups
from hydria.settings import Settings
from hydria.testing.network import FakeNetwork
from tests.databases import new_store


def client(tmp_path: Path, network: FakeNetwork) -> testing.TestClient:
    services = program.services(Settings(), new_store(tmp_path), network, LocalWakeups())
    return testing.TestClient(make_app(services), headers={"Host": "localhost"})


def test_networks_of_hydrias_own_can_be_read(tmp_path: Path) -> None:
    network = FakeNetwork()
    made = network.add_network("10.0.0.0/24", "2001:db8::/64")
    network.default_vip_subnet_id = made.subnet_ids[0]
    api = client(tmp_path, network)
    for version in ("/v2", "/v2.0"):
        (shown,) = api.simulate_get(f"{version}/networks").json["networks"]
        assert (shown["id"], shown["subnets"]) == (made.id, list(made.subnet_ids))
    subnets = api.simulate_get("/v2/subnets").json["subnets"]
    assert [(subnet["cidr"], subnet["ip_version"]) for subnet in subnets] == [
        ("10.0.0.0/24", 4),
        ("2001:db8::/64", 6),
    ]
    assert {subnet["network_id"] for subnet in subnets} == {made.id}
    second = made.subnet_ids[1]
    assert api.simulate_get(f"/v2/subnets/{second}").json["subnet"]["id"] == second
    assert [
        item["id"] for item in api.simulate_get("/v2/subnets", params={"id": second}).json["subnets"]
    ] == [second]
    named = api.simulate_get("/v2/subnets", params={"name": "10.0.0.0/24"}).json["subnets"]
    assert [item["cidr"] for item in named] == ["10.0.0.0/24"]
    assert api.simulate_get("/v2/subnets", params={"name": "unknown"}).json == {"subnets": []}
    assert api.simulate_get("/v2/subnets/unknown").status_code == 404
    assert api.simulate_post("/v2/subnets", json={}).status_code == 405


def test_a_cloud_has_its_own_service_for_them(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.add_network("10.0.0.0/24")
    assert client(tmp_path, network).simulate_get("/v2/subnets").status_code == 404


def test_they_are_for_callers_of_the_api_alone(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.default_vip_subnet_id = network.add_network("10.0.0.0/24").subnet_ids[0]
    api = client(tmp_path, network)
    for url in ("/v2.0/networks", "/v2.0/subnets", "/v2.0/networks/x"):
        assert api.simulate_get(url, headers={"Host": "evil.example"}).status_code == 403
        assert api.simulate_get(url, remote_addr="192.0.2.1").status_code == 403


class _Readers:
    """A judge to whom those are known who look at load balancers."""

    def __init__(self, *, readers: bool) -> None:
        self._readers = readers

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        return self._readers and rule == "loadbalancer:get_all"


def test_they_are_for_those_who_may_look_at_load_balancers(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.default_vip_subnet_id = network.add_network("10.0.0.0/24").subnet_ids[0]
    services = program.services(Settings(), new_store(tmp_path), network, LocalWakeups())
    for readers, status in ((True, 200), (False, 403)):
        judged = dataclasses.replace(services, policy=_Readers(readers=readers))
        api = testing.TestClient(make_app(judged), headers={"Host": "localhost"})
        for url in ("/v2/networks", "/v2/subnets", f"/v2/subnets/{network.default_vip_subnet_id}"):
            assert api.simulate_get(url).status_code == status
