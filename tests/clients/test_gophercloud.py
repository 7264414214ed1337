"""What gophercloud, and with it Terraform and the Kubernetes cloud provider, ask and read, over plain HTTP.

Written after what these clients do (docs/reference/clients.md): the bodies they send, the status codes they
take for success, the types that Go decodes answers into, and the statuses that their waiting knows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.clients.served import SUBNET, Served
from tests.system.deployment import wait_for

pytestmark = pytest.mark.system

# Terraform waits through these; a status of neither list ends it with an error.
PENDING = {"PENDING_CREATE", "PENDING_UPDATE"}
PENDING_DELETE = {"ERROR", "PENDING_UPDATE", "PENDING_DELETE", "ACTIVE"}
OK = {"POST": {201, 202}, "PUT": {200, 202}, "GET": {200}, "DELETE": {202, 204}}
HEADERS = {"Accept": "application/json", "User-Agent": "Terraform/1 gophercloud/v2.0.0"}

# In Go null becomes the zero value of any type, but a number is no string, nor the other way round.
Text = str | None
Number = int | None
Flag = bool | None


class Link(msgspec.Struct):
    id: str


class Status(msgspec.Struct, kw_only=True):
    id: str
    name: Text
    admin_state_up: Flag
    project_id: Text
    provisioning_status: str
    operating_status: str
    tags: list[str] | None


class LoadBalancer(Status, kw_only=True):
    description: Text
    vip_address: Text
    vip_port_id: Text
    vip_subnet_id: Text
    vip_network_id: Text
    vip_qos_policy_id: Text
    flavor_id: Text
    availability_zone: Text
    provider: Text
    listeners: list[Link] | None
    pools: list[Link] | None
    additional_vips: list[dict[str, Text]] | None
    created_at: Text
    updated_at: Text


class Listener(Status, kw_only=True):
    description: Text
    protocol: str
    protocol_port: int
    default_pool_id: Text
    loadbalancers: list[Link]
    connection_limit: Number
    sni_container_refs: list[str] | None
    default_tls_container_ref: Text
    l7policies: list[Link] | None
    timeout_client_data: Number
    timeout_member_data: Number
    timeout_member_connect: Number
    timeout_tcp_inspect: Number
    insert_headers: dict[str, str] | None
    allowed_cidrs: list[str] | None
    tls_versions: list[str] | None


class Persistence(msgspec.Struct):
    type: str
    cookie_name: Text = None


class Pool(Status, kw_only=True):
    description: Text
    protocol: str
    lb_algorithm: str
    listeners: list[Link]
    loadbalancers: list[Link]
    members: list[Link]
    session_persistence: Persistence | None
    healthmonitor_id: Text = None


class Member(Status, kw_only=True):
    address: str
    protocol_port: int
    weight: int
    subnet_id: Text
    backup: bool
    monitor_address: Text
    monitor_port: Number


class Monitor(Status, kw_only=True):
    type: str
    delay: int
    timeout: int
    max_retries: int
    max_retries_down: int
    http_method: Text
    http_version: float | None
    url_path: Text
    expected_codes: Text
    domain_name: Text
    pools: list[Link]


SHAPES: dict[str, tuple[str, type[Status]]] = {
    "loadbalancers": ("loadbalancer", LoadBalancer),
    "listeners": ("listener", Listener),
    "pools": ("pool", Pool),
    "members": ("member", Member),
    "healthmonitors": ("healthmonitor", Monitor),
}


def shape(path: str) -> tuple[str, type[Status]]:
    """Root key and type of the object that a path names."""
    kind = next(part for part in reversed(path.split("/")) if part in SHAPES)
    return SHAPES[kind]


class Terraform:
    """One resource after the other, each waited for, as a plan is applied."""

    def __init__(self, hydria: Served) -> None:
        self.hydria = hydria

    def call(self, method: str, path: str, body: object = None) -> Any:
        """An answer that gophercloud takes for success; it tries again when told that something is locked."""
        deadline = time.monotonic() + 20
        while True:
            answer = self.hydria.ask(method, path, body, headers=HEADERS)
            if answer.status != 409 or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert answer.status in OK[method], (method, path, body, answer)
        return answer.body

    def get(self, path: str) -> Any:
        root, kind = shape(path)
        return msgspec.convert(self.call("GET", path)[root], kind, strict=True)

    def create(self, balancer: str, path: str, **attributes: Any) -> Any:
        root, kind = shape(path)
        made = msgspec.convert(self.call("POST", path, {root: attributes})[root], kind, strict=True)
        self.ready(balancer or made.id, f"{path}/{made.id}")
        return self.get(f"{path}/{made.id}")

    def update(self, balancer: str, path: str, **attributes: Any) -> Any:
        root, kind = shape(path)
        msgspec.convert(self.call("PUT", path, {root: attributes})[root], kind, strict=True)
        self.ready(balancer, path)
        return self.get(path)

    def delete(self, balancer: str, path: str) -> None:
        self.call("DELETE", path)
        wait_for(lambda: self._gone(balancer, path), 20, f"{path} is gone")

    def ready(self, balancer: str, path: str) -> None:
        """The load balancer is ACTIVE, then the object is."""
        for each in (f"/loadbalancers/{balancer}", path):
            wait_for(lambda each=each: self._status(each, PENDING) == "ACTIVE", 20, f"{each} is ACTIVE")

    def _gone(self, balancer: str, path: str) -> bool:
        if path != f"/loadbalancers/{balancer}" and self._status(f"/loadbalancers/{balancer}", PENDING) not in (
            "ACTIVE", "ERROR",
        ):  # fmt: skip
            return False
        answer = self.hydria.ask("GET", path, headers=HEADERS)
        if answer.status == 404:
            return True
        assert answer.body[shape(path)[0]]["provisioning_status"] in PENDING_DELETE, answer
        return False

    def _status(self, path: str, pending: set[str]) -> str:
        status: str = self.get(path).provisioning_status
        assert status in {"ACTIVE"} | pending, (path, status)
        return status


@pytest.fixture(scope="module")
def terraform(hydria: Served) -> Terraform:
    return Terraform(hydria)


def test_a_plan_is_applied_changed_and_destroyed(terraform: Terraform) -> None:
    balancer = terraform.create("", "/loadbalancers", name="tf", vip_subnet_id=SUBNET, admin_state_up=True)
    lb = balancer.id
    listener = terraform.create(
        lb, "/listeners", loadbalancer_id=lb, protocol="HTTP", protocol_port=80, name="l", admin_state_up=True,
        connection_limit=-1, timeout_client_data=1000, timeout_tcp_inspect=0, allowed_cidrs=["192.0.2.0/24"],
        insert_headers={"X-Forwarded-For": "true"}, tags=["a"],
    )  # fmt: skip
    assert listener.loadbalancers[0].id == lb
    pool = terraform.create(
        lb, "/pools", protocol="HTTP", listener_id=listener.id, lb_algorithm="ROUND_ROBIN", admin_state_up=True,
        session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"},
    )  # fmt: skip
    assert (pool.listeners[0].id, pool.session_persistence.cookie_name) == (listener.id, "sid")
    members = f"/pools/{pool.id}/members"
    member = terraform.create(
        lb, members, address="192.0.2.1", protocol_port=80, weight=0, admin_state_up=True
    )
    assert member.weight == 0
    monitor = terraform.create(
        lb, "/healthmonitors", pool_id=pool.id, tenant_id=pool.project_id, type="HTTP", delay=5, timeout=3,
        max_retries=2, url_path="/", http_method="GET", http_version="1.1", expected_codes="200",
        admin_state_up=True,
    )  # fmt: skip
    assert (monitor.http_version, monitor.pools[0].id) == (1.1, pool.id)

    # What Terraform sends for an attribute that was taken out of the plan: "", null or nothing in it.
    changed = terraform.update(
        lb, f"/listeners/{listener.id}", name="", description="", default_pool_id=None, sni_container_refs=None,
        insert_headers={}, allowed_cidrs=[], tags=[],
    )  # fmt: skip
    assert (changed.name, changed.default_pool_id, changed.insert_headers, changed.allowed_cidrs) == (
        "", None, {}, None,
    )  # fmt: skip
    terraform.update(lb, f"/listeners/{listener.id}", default_pool_id=pool.id)
    assert terraform.update(lb, f"/pools/{pool.id}", session_persistence={}).session_persistence is None
    assert terraform.update(lb, f"{members}/{member.id}", weight=5, monitor_port=None).weight == 5
    assert terraform.update(lb, f"/healthmonitors/{monitor.id}", delay=9).delay == 9
    assert terraform.update(lb, f"/loadbalancers/{lb}", name="other", admin_state_up=False).name == "other"

    for path in (
        f"/healthmonitors/{monitor.id}",
        f"{members}/{member.id}",
        f"/pools/{pool.id}",
        f"/listeners/{listener.id}",
    ):
        terraform.delete(lb, path)
    terraform.delete(lb, f"/loadbalancers/{lb}")


@pytest.fixture
def tree(terraform: Terraform) -> Iterator[dict[str, Any]]:
    """A load balancer made as the Kubernetes cloud provider makes it: all of it in one call."""
    pool = {
        "name": "pool_0", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "192.0.2.1", "protocol_port": 30000, "name": "node-1"}],
        "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 1, "name": "monitor_0"},
    }  # fmt: skip
    listener = {
        "name": "listener_0", "protocol": "TCP", "protocol_port": 80, "connection_limit": -1, "default_pool": pool,
        "timeout_client_data": 50000, "tags": ["kube_service_a"],
    }  # fmt: skip
    body = {
        "name": "kube_service_a",
        "vip_subnet_id": SUBNET,
        "admin_state_up": True,
        "listeners": [listener],
        "tags": ["kube_service_a"],
    }
    made = terraform.call("POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
    terraform.ready(made["id"], f"/loadbalancers/{made['id']}")
    yield made
    terraform.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    wait_for(
        lambda: terraform.hydria.ask("GET", f"/loadbalancers/{made['id']}").status == 404,
        20,
        "the tree is gone",
    )


def test_the_cloud_provider_reconciles(terraform: Terraform, tree: dict[str, Any]) -> None:
    lb = tree["id"]
    (found,) = terraform.call("GET", "/loadbalancers?name=kube_service_a")["loadbalancers"]
    assert found["id"] == lb
    (listener,) = terraform.call("GET", f"/listeners?loadbalancer_id={lb}")["listeners"]
    (pool,) = terraform.call("GET", f"/pools?loadbalancer_id={lb}")["pools"]
    assert pool["listeners"] == [{"id": listener["id"]}]
    (monitor,) = terraform.call("GET", f"/healthmonitors?pool_id={pool['id']}")["healthmonitors"]
    assert pool["healthmonitor_id"] == monitor["id"]
    assert terraform.call("GET", f"/l7policies?listener_id={listener['id']}")["l7policies"] == []

    # Nodes come and go: one request for all members, in which "" stands for no subnet.
    nodes = [
        {"address": f"192.0.2.{n}", "protocol_port": 30000, "name": f"node-{n}", "subnet_id": None}
        for n in (2, 3)
    ]
    answer = terraform.hydria.ask("PUT", f"/pools/{pool['id']}/members", {"members": nodes}, headers=HEADERS)
    assert (answer.status, answer.body) == (202, None)
    terraform.ready(lb, f"/pools/{pool['id']}")
    found = terraform.call("GET", f"/pools/{pool['id']}/members")["members"]
    assert {each["address"] for each in found} == {"192.0.2.2", "192.0.2.3"}
    assert all(isinstance(msgspec.convert(each, Member, strict=True), Member) for each in found)

    status = terraform.call("GET", f"/loadbalancers/{lb}/status")["statuses"]["loadbalancer"]
    (below,) = status["listeners"][0]["pools"]
    assert set(below) == {
        "id",
        "name",
        "operating_status",
        "provisioning_status",
        "health_monitor",
        "members",
    }
    assert below["health_monitor"]["type"] == "TCP"
    assert set(below["members"][0]) == {
        "id", "name", "operating_status", "provisioning_status", "address", "protocol_port",
    }  # fmt: skip
    stats = terraform.call("GET", f"/loadbalancers/{lb}/stats")["stats"]
    assert set(stats) == {
        "active_connections",
        "bytes_in",
        "bytes_out",
        "request_errors",
        "total_connections",
    }


def test_pages_follow_their_links(terraform: Terraform, tree: dict[str, Any]) -> None:
    """Each page's ``…_links`` has the next one's address, which is asked as it stands."""
    pool = tree["listeners"][0]["default_pool_id"]
    nodes = [{"address": f"192.0.2.{n}", "protocol_port": 30000} for n in range(1, 6)]
    answer = terraform.hydria.ask("PUT", f"/pools/{pool}/members", {"members": nodes}, headers=HEADERS)
    assert answer.status == 202
    terraform.ready(tree["id"], f"/pools/{pool}")
    for kind, path in (("members", f"/pools/{pool}/members"), ("loadbalancers", "/loadbalancers")):
        seen: list[str] = []
        following = f"{path}?limit=2&sort_key=id&sort_dir=desc"
        while following:
            page = terraform.call("GET", following)
            seen += [each["id"] for each in page[kind]]
            links = {link["rel"]: link["href"] for link in page[f"{kind}_links"]}
            url = urlsplit(links.get("next", ""))
            assert not links.get("next") or f"{url.scheme}://{url.netloc}" == terraform.hydria.url
            following = f"{url.path.removeprefix('/v2/lbaas')}?{url.query}" if url.path else ""
        whole = terraform.call("GET", path)[kind]
        assert seen == sorted((each["id"] for each in whole), reverse=True)


def test_versions_that_features_are_told_by(hydria: Served) -> None:
    """The list is asked for above the version of the endpoint; the cloud provider compares its ids."""
    versions = hydria.ask("GET", "/", headers=HEADERS, below="").body["versions"]
    assert (
        [each["id"] for each in versions if each["status"] == "CURRENT"] == [versions[-1]["id"]] == ["v2.30"]
    )
    assert {tuple(each["links"][0].items()) for each in versions} == {
        (("href", f"{hydria.url}/v2"), ("rel", "self"))
    }
