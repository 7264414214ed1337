"""Networks and subnets to read: there where Hydria has its own, and nowhere else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from hydria.api import program
from hydria.api.app import make_app
from hydria.api.call import Caller, Services
from hydria.drivers.network.interface import FixedAddress
from hydria.messages import LocalWakeups
from hydria.settings import Settings
from hydria.store import rows
from hydria.testing import trees
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


ROOTS = ("/network/v2.0", "/v2.0", "/v2/lbaas")


class Scene:
    """Two networks, three subnets, and load balancers of two projects with a port each."""

    def __init__(self, directory: Path) -> None:
        self.network = network = FakeNetwork()
        self.first = network.add_network("10.0.0.0/24", "2001:db8::/64")
        self.second = network.add_network("10.0.1.0/24")
        network.default_vip_subnet_id = self.first.subnet_ids[0]
        store = new_store(directory)
        self.ports = []
        for number, project in ((1, "p1"), (2, "p2"), (3, "p2")):
            address = FixedAddress(self.first.subnet_ids[0], f"10.0.0.{number}")
            port = network.create_port(
                self.first.id, name=f"vip-{number}", owner=f"lb-{number}", addresses=[address]
            )
            network.create_port(self.second.id, name=f"amphora-{number}", owner=f"amphora-{number}")
            balancer = trees.load_balancer(number, project_id=project, vip_port_id=port.id)
            store.transact(lambda tx, balancer=balancer: rows.insert(tx, [balancer]))
            self.ports.append(port)
        self.services = program.services(Settings(), store, network, LocalWakeups())
        self.api = self.client(self.services)

    def client(self, services: Services) -> testing.TestClient:
        return testing.TestClient(make_app(services), headers={"Host": "localhost"})

    def get(self, url: str, code: int = 200, /, **params: Any) -> Any:
        answer = self.api.simulate_get(url, params=params, params_csv=False)
        assert answer.status_code == code, answer.text
        return answer.json

    def listed(self, kind: str, key: str = "id", **params: Any) -> list[Any]:
        """The same under all roots, without the links."""
        first, *others = [
            [item[key] for item in self.get(f"{root}/{kind}", **params)[kind]] for root in ROOTS
        ]
        assert all(other == first for other in others)
        return first


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_filters(scene: Scene) -> None:
    both = [scene.first.id, scene.second.id]
    for filters in (
        {"shared": "True"}, {"shared": "1", "status": "ACTIVE"}, {"router:external": "false"}, {"tenant_id": ""},
        {"id": both}, {"not-tags": "a"}, {"mtu": "1500"}, {"admin_state_up": ["True", "False"]},
    ):  # fmt: skip
        assert scene.listed("networks", **filters) == both, filters
    for filters in (
        {"shared": "False"}, {"router:external": "True"}, {"project_id": "p1"}, {"status": "DOWN"},
        {"tags": "a"}, {"is_default": "True"}, {"provider:network_type": "vlan"},
    ):  # fmt: skip
        assert scene.listed("networks", **filters) == [], filters
    cidrs = ["10.0.0.0/24", "2001:db8::/64", "10.0.1.0/24"]
    assert scene.listed("subnets", "cidr") == cidrs
    assert scene.listed("subnets", "cidr", ip_version=6) == cidrs[1:2]
    assert scene.listed("subnets", "cidr", network_id=scene.second.id) == cidrs[2:]
    assert scene.listed("subnets", "cidr", cidr=[cidrs[0], cidrs[2]], ip_version="4") == [cidrs[0], cidrs[2]]
    assert scene.listed("subnets", enable_dhcp="True") == []
    fault = scene.get("/network/v2.0/networks", 400, shared="perhaps")["NeutronError"]
    assert fault["type"] == "BadRequest"
    assert "shared" in fault["message"]
    assert "faultstring" in scene.get("/v2/networks", 400, shared="perhaps")


def test_order(scene: Scene) -> None:
    cidrs = sorted(["10.0.0.0/24", "2001:db8::/64", "10.0.1.0/24"])
    assert scene.listed("subnets", "cidr", sort_key="cidr") == cidrs
    assert scene.listed("subnets", "cidr", sort_key="cidr", sort_dir="desc") == cidrs[::-1]
    several = scene.listed("subnets", "cidr", sort_key=["ip_version", "cidr"], sort_dir=["desc", "asc"])
    assert several == [cidrs[2], *cidrs[:2]]
    for wrong in ({"sort_key": "nonsense"}, {"sort_key": "id", "sort_dir": "up"}, {"sort_dir": "asc"}):
        scene.get("/network/v2.0/subnets", 400, **wrong)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_end(scene: Scene, limit: int) -> None:
    whole = scene.listed("subnets", sort_key="cidr", ip_version=[4, 6])
    for root in ROOTS:
        found, pages = [], 0
        url = f"{root}/subnets?sort_key=cidr&ip_version=4&ip_version=6&limit={limit}"
        while url:
            page = scene.get(url)
            found += [subnet["id"] for subnet in page["subnets"]]
            links = {link["rel"]: link["href"] for link in page.get("subnets_links", [])}
            assert ("previous" in links) == (pages > 0)
            url = links.get("next", "").partition("localhost")[2]
            pages += 1
        assert found == whole
        assert pages == -(-len(whole) // limit)


def test_pages_have_a_longest(scene: Scene) -> None:
    one, two, three = scene.listed("subnets")
    settings = scene.services.settings
    shorter = dataclasses.replace(settings.api_settings, pagination_max_limit="2")
    scene.api = scene.client(
        dataclasses.replace(scene.services, settings=dataclasses.replace(settings, api_settings=shorter))
    )
    for asked in ({}, {"limit": 0}, {"limit": "infinite"}, {"limit": 3}):
        page = scene.get("/network/v2.0/subnets", **asked)
        assert [each["id"] for each in page["subnets"]] == [one, two]
        (link,) = page["subnets_links"]
        assert [each["id"] for each in scene.get(link["href"].partition("localhost")[2])["subnets"]] == [
            three
        ]


def test_pages_backwards_and_markers(scene: Scene) -> None:
    one, two, three = scene.listed("subnets")
    back = scene.get("/network/v2.0/subnets", marker=three, limit=1, page_reverse="True")
    assert [each["id"] for each in back["subnets"]] == [two]
    links = {link["rel"]: link["href"].partition("localhost")[2] for link in back["subnets_links"]}
    assert [each["id"] for each in scene.get(links["previous"])["subnets"]] == [one]
    assert [each["id"] for each in scene.get(links["next"])["subnets"]] == [three]
    # The marker need not pass the filters, only be one of them; behind the last one there is nothing.
    assert scene.listed("subnets", marker=two, ip_version=4) == [three]
    assert scene.listed("subnets", marker=three, limit=1) == []
    assert scene.listed("subnets", limit=0) == [one, two, three]
    assert scene.get("/network/v2.0/subnets", 404, marker="x")["NeutronError"]["type"] == "NotFound"
    for wrong in ("x", "-1", "1.5"):
        scene.get("/network/v2.0/subnets", 400, limit=wrong)


def test_chosen_keys(scene: Scene) -> None:
    assert scene.get("/network/v2.0/networks", fields=["id", "mtu"], id=scene.first.id) == {
        "networks": [{"id": scene.first.id, "mtu": 1500}]
    }
    assert scene.get(f"/network/v2.0/networks/{scene.first.id}", fields="name")["network"] == {
        "name": scene.first.name
    }


def test_ports_are_those_of_vips(scene: Scene) -> None:
    assert set(scene.listed("ports")) == {port.id for port in scene.ports}  # an administrator's view
    assert scene.listed("ports", "device_id", project_id="p1") == ["lb-1"]
    assert scene.listed("ports", "name", fixed_ips="ip_address=10.0.0.2") == ["vip-2"]
    assert scene.listed("ports", "name", fixed_ips=["ip_address=10.0.0.2", "subnet_id=nothing"]) == []
    shown = scene.get(f"/network/v2.0/ports/{scene.ports[0].id}")["port"]
    assert (shown["project_id"], shown["device_owner"], shown["status"]) == ("p1", "Octavia", "ACTIVE")
    assert shown["fixed_ips"] == [{"subnet_id": scene.first.subnet_ids[0], "ip_address": "10.0.0.1"}]


def test_ports_of_others_are_not_seen(scene: Scene) -> None:
    judged = dataclasses.replace(scene.services, policy=_Owners())
    api = scene.client(judged)
    mine = {"X-Project-Id": "p1"}
    (port,) = api.simulate_get("/network/v2.0/ports", headers=mine).json["ports"]
    assert port["id"] == scene.ports[0].id
    others = f"/network/v2.0/ports/{scene.ports[1].id}"
    assert api.simulate_get(others, headers=mine).status_code == 404
    asked = api.simulate_get("/network/v2.0/ports", params={"project_id": "p2"}, headers=mine)
    assert (asked.status_code, asked.json["NeutronError"]["type"]) == (403, "Forbidden")


def test_what_there_is_nothing_of(scene: Scene) -> None:
    assert scene.get("/network/v2.0/extensions") == {"extensions": []}
    assert scene.get("/network/v2.0/floatingips", tenant_id="p1", sort_key="status") == {"floatingips": []}
    for url in ("/extensions/router", "/floatingips/x", "/networks/x", "/ports/x", "/subnets/x"):
        assert scene.get(f"/network/v2.0{url}", 404)["NeutronError"]["type"] == "NotFound"
    assert scene.get("/network/v2.0/routers", 404)["title"] == "Not Found"
    assert scene.get("/v2/lbaas/extensions")["extensions"]  # Hydria's own stay where they are


def test_versions_are_for_everybody(scene: Scene) -> None:
    for url in ("/network", "/network/", "/network/v2.0", "/network/v2.0/"):
        answer = scene.api.simulate_get(
            url, headers={"Host": "lb.example:9876"}, remote_addr="192.0.2.1"
        ).json
        (version,) = answer.get("versions", [answer.get("version")])
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"] == [{"rel": "self", "href": "http://lb.example:9876/network/v2.0/"}]


class _Owners:
    """A judge who lets everybody see what is in their own project."""

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        return rule == "loadbalancer:get_all" and project_id in (None, caller.project_id)


def test_a_cloud_has_its_own_service_for_them(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.add_network("10.0.0.0/24")
    api = client(tmp_path, network)
    for url in ("/v2/subnets", "/network", "/network/v2.0/subnets"):
        assert api.simulate_get(url).status_code == 404


def test_they_are_for_callers_of_the_api_alone(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.default_vip_subnet_id = network.add_network("10.0.0.0/24").subnet_ids[0]
    api = client(tmp_path, network)
    for url in ("/v2.0/networks", "/v2.0/subnets", "/v2.0/networks/x", "/network/v2.0/ports"):
        assert api.simulate_get(url, headers={"Host": "evil.example"}).status_code == 403
        assert api.simulate_get(url, remote_addr="192.0.2.1").status_code == 403


class _Readers:
    """A judge to whom those are known who look at load balancers."""

    def __init__(self, *, readers: bool) -> None:
        self._readers = readers

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        return self._readers and rule in ("loadbalancer:get_all", "loadbalancer:get_all-global")


def test_they_are_for_those_who_may_look_at_load_balancers(tmp_path: Path) -> None:
    network = FakeNetwork()
    network.default_vip_subnet_id = network.add_network("10.0.0.0/24").subnet_ids[0]
    services = program.services(Settings(), new_store(tmp_path), network, LocalWakeups())
    for readers, status in ((True, 200), (False, 403)):
        judged = dataclasses.replace(services, policy=_Readers(readers=readers))
        api = testing.TestClient(make_app(judged), headers={"Host": "localhost"})
        urls = ("/v2/networks", "/network/v2.0/floatingips", "/network/v2.0/ports", "/v2/subnets")
        for url in (*urls, f"/v2/subnets/{network.default_vip_subnet_id}"):
            assert api.simulate_get(url).status_code == status
