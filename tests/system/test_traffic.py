"""Real traffic through load balancers on one machine: members and clients wherever they can be."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from hydria import settings
from hydria.drivers.network.bridge import BridgeNetworkDriver
from tests.system.deployment import Deployment, deployed, wait_for
from tests.system.network_lab import Machine, Server, ask, connect, machine, serving, talk

pytestmark = pytest.mark.system


@dataclass
class World:
    """The deployment, the machines around the host, and a web server on each of them."""

    deployment: Deployment
    client: Machine
    servers: dict[str, Server]
    subnets: dict[int, str]  # IP version -> subnet of VIPs

    def order(self, *listeners: dict[str, Any], version: int = 4, **more: Any) -> LoadBalancer:
        body = {"name": "t", "vip_subnet_id": self.subnets[version], "listeners": list(listeners), **more}
        made = self.deployment.call("POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        self.deployment.await_status(made["id"], seconds=20)
        return LoadBalancer(self, made["id"], made["vip_address"], [one["id"] for one in made["listeners"]])

    def member(self, name: str, **more: Any) -> dict[str, Any]:
        server = self.servers[name]
        return {"name": name, "address": server.address, "protocol_port": server.port, **more}


@dataclass
class LoadBalancer:
    world: World
    id: str
    vip: str
    listeners: list[str]

    @property
    def pool(self) -> str:
        return str(self.world.deployment.show(self.id)["pools"][0]["id"])

    def member(self, name: str) -> str:
        members = self.world.deployment.call("GET", f"/pools/{self.pool}/members")["members"]
        return next(str(one["id"]) for one in members if one["name"] == name)

    def change(self, path: str, **values: Any) -> None:
        """PUT, and wait until it is applied."""
        kind = path.split("/")[-2].removesuffix("s")
        self.world.deployment.call("PUT", path, {kind: values})
        self.world.deployment.await_status(self.id, seconds=20)

    def ask(self, port: int = 80, **more: Any) -> str:
        return ask(self.world.client, self.vip, port, **more)

    def answers(self, count: int = 6, port: int = 80, **more: Any) -> Counter[str]:
        return Counter(self.ask(port, **more) for _ in range(count))

    def await_answers(self, wanted: set[str], port: int = 80, **more: Any) -> None:
        """Until exactly these answer, "" for nobody; soon after a change has become ACTIVE."""
        answers: list[Counter[str]] = []

        def reached() -> bool:
            answers.append(self.answers(2 * len(wanted), port, **more))
            return set(answers[-1]) == wanted

        wait_for(reached, 15, lambda: f"{wanted} answer; they were {answers}")

    def delete(self) -> None:
        deployment = self.world.deployment
        deployment.call("DELETE", f"/loadbalancers/{self.id}?cascade=true")
        wait_for(
            lambda: deployment.request("GET", f"/loadbalancers/{self.id}").status == 404, 20, "it is deleted"
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("traffic")
    directory.chmod(0o755)
    with (
        machine("t221near", ("10.221.200.", "fd68:7964:dd:200::")) as near,
        machine("t221far", ("10.221.201.", "fd68:7964:dd:201::"), routed=False) as far,
        machine("t221cli", ("10.221.202.", "fd68:7964:dd:202::"), addresses=3) as client,
        deployed(Deployment(directory, "10.221", embedded=True)) as deployment,
        serving(
            partial(Server, "host", deployment.gateway),
            partial(Server, "host6", "fd68:7964:dd::1"),
            partial(Server, "near", near.addresses[0], near.name),
            partial(Server, "near6", near.addresses[1], near.name),
            partial(Server, "far", far.addresses[0], far.name),
            partial(Server, "far6", far.addresses[1], far.name),
        ) as servers,
    ):
        network = BridgeNetworkDriver(settings.load([str(deployment.config)]))
        subnets = [network.subnet(one) for found in network.networks() for one in found.subnet_ids]
        yield World(
            deployment,
            client,
            {server.name: server for server in servers},
            {subnet.version: subnet.id for subnet in subnets},
        )


@pytest.fixture
def made(world: World) -> Iterator[list[LoadBalancer]]:
    """What a test ordered; deleted in the end."""
    listed: list[LoadBalancer] = []
    yield listed
    for balancer in listed:
        balancer.delete()


def listener(
    port: int,
    *members: dict[str, Any],
    protocol: str = "HTTP",
    pool: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A listener with its pool; ``pool`` has more of the latter's attributes."""
    default_pool = {
        "name": f"pool{port}", "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "members": list(members), **(pool or {}),
    }  # fmt: skip
    return {
        "name": f"l{port}", "protocol": protocol, "protocol_port": port, "default_pool": default_pool, **more,
    }  # fmt: skip


ALL = ("host", "near", "far", "host6", "near6", "far6")


@pytest.mark.parametrize("version", [4, 6])
def test_members_of_both_families_on_the_host_beside_it_and_beyond(
    world: World, made: list[LoadBalancer], version: int
) -> None:
    members = [world.member(name) for name in ALL]
    monitor = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}
    made.append(world.order(listener(80, *members, pool={"healthmonitor": monitor}), version=version))
    (balancer,) = made
    assert (":" in balancer.vip) is (version == 6)
    balancer.await_answers(set(ALL))
    assert balancer.answers(12) == dict.fromkeys(ALL, 2)
    world.deployment.await_status(balancer.id, "ONLINE", "operating_status", 10)
    # Nobody beyond the host knows a way back to the VIP network: there the host stands for the amphora.
    assert world.servers["far"].peers == {"10.221.201.1"}
    assert world.servers["far6"].peers == {"fd68:7964:dd:201::1"}


def test_a_tcp_listener_and_a_second_one_on_the_same_load_balancer(
    world: World, made: list[LoadBalancer]
) -> None:
    made.append(
        world.order(
            listener(80, world.member("host"), world.member("near")),
            listener(81, world.member("far"), protocol="TCP"),
        )
    )
    (balancer,) = made
    balancer.await_answers({"far"}, 81)
    balancer.await_answers({"host", "near"}, 80)
    with connect(world.client, balancer.vip, 81) as kept:
        assert [talk(kept) for _ in range(3)] == ["far"] * 3
        # A listener more is another HAProxy process; connections of the old one live on.
        body = {"loadbalancer_id": balancer.id, "protocol": "HTTP", "protocol_port": 82}
        world.deployment.call("POST", "/listeners", {"listener": body})
        world.deployment.await_status(balancer.id)
        assert talk(kept) == "far"
    assert balancer.answers(4, 81) == {"far": 4}


def test_the_members_of_a_client_stay_the_same(world: World, made: list[LoadBalancer]) -> None:
    members = [world.member(name) for name in ("host", "near", "far")]
    sticky = {"session_persistence": {"type": "SOURCE_IP"}}
    made.append(world.order(listener(80, *members, pool=sticky)))
    (balancer,) = made
    wait_for(balancer.ask, 15, "it serves")
    clients = world.client.addresses[:3]
    chosen = {source: balancer.ask(source=source) for source in clients}
    assert all(chosen.values())
    assert len(set(chosen.values())) > 1
    body = {"loadbalancer_id": balancer.id, "protocol": "HTTP", "protocol_port": 82}
    world.deployment.call("POST", "/listeners", {"listener": body})
    world.deployment.await_status(balancer.id)
    for source in clients:
        assert balancer.answers(5, source=source) == {chosen[source]: 5}, "after a reload too"


def test_what_is_disabled_carries_no_traffic(world: World, made: list[LoadBalancer]) -> None:
    made.append(world.order(listener(80, world.member("host"), world.member("near"))))
    (balancer,) = made
    balancer.await_answers({"host", "near"})
    pool, host, near = balancer.pool, balancer.member("host"), balancer.member("near")
    balancer.change(f"/pools/{pool}/members/{host}", admin_state_up=False)
    assert set(balancer.answers()) == {"near"}
    balancer.change(f"/pools/{pool}/members/{near}", admin_state_up=False)
    assert set(balancer.answers(3)) == {""}
    balancer.change(f"/pools/{pool}/members/{host}", admin_state_up=True)
    assert set(balancer.answers()) == {"host"}, "as soon as it is ACTIVE"
    levels = (f"/pools/{pool}", f"/listeners/{balancer.listeners[0]}", f"/loadbalancers/{balancer.id}")
    for path in levels:
        balancer.change(path, admin_state_up=False)
        assert set(balancer.answers(3, timeout=0.3)) == {""}
        wait_for(lambda path=path: status_of(world, path) == "OFFLINE", 15, f"{path} is OFFLINE")
        balancer.change(path, admin_state_up=True)
        assert set(balancer.answers()) == {"host"}, "as soon as it is ACTIVE"
        wait_for(lambda path=path: status_of(world, path) == "ONLINE", 15, f"{path} is ONLINE")


def status_of(world: World, path: str) -> str:
    shown = world.deployment.call("GET", path)
    return str(next(iter(shown.values()))["operating_status"])


def test_statuses_follow_monitor_weights_and_members(world: World, made: list[LoadBalancer]) -> None:
    nobody = {"name": "nobody", "address": world.deployment.gateway, "protocol_port": 1}
    drained = world.member("near", weight=0)
    monitor = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    made.append(
        world.order(listener(80, world.member("host"), drained, nobody, pool={"healthmonitor": monitor}))
    )
    (balancer,) = made
    deployment, pool = world.deployment, balancer.pool

    def await_statuses(host: str, near: str, nobody: str, of_pool: str) -> None:
        wanted = {"host": host, "near": near, "nobody": nobody, "pool": of_pool, "lb": of_pool}

        def found() -> dict[str, str]:
            members = deployment.call("GET", f"/pools/{pool}/members")["members"]
            statuses = {one["name"]: one["operating_status"] for one in members}
            statuses["pool"] = status_of(world, f"/pools/{pool}")
            return statuses | {"lb": status_of(world, f"/loadbalancers/{balancer.id}")}

        try:
            wait_for(lambda: found() == wanted, 8, f"{wanted}")
        except AssertionError:
            assert found() == wanted
            raise

    await_statuses("ONLINE", "DRAINING", "ERROR", "DEGRADED")
    assert set(balancer.answers()) == {"host"}
    monitor_id = deployment.call("GET", f"/pools/{pool}")["pool"]["healthmonitor_id"]
    deployment.call("DELETE", f"/healthmonitors/{monitor_id}")
    deployment.await_status(balancer.id)
    await_statuses("NO_MONITOR", "NO_MONITOR", "NO_MONITOR", "ONLINE")
    deployment.call("POST", "/healthmonitors", {"healthmonitor": {**monitor, "pool_id": pool}})
    deployment.await_status(balancer.id)
    await_statuses("ONLINE", "DRAINING", "ERROR", "DEGRADED")
    balancer.change(f"/pools/{pool}/members/{balancer.member('host')}", admin_state_up=False)
    await_statuses("OFFLINE", "DRAINING", "ERROR", "ERROR")


@pytest.mark.parametrize("version", [4, 6])
def test_allowed_cidrs_let_nobody_else_in(world: World, made: list[LoadBalancer], version: int) -> None:
    friend, stranger = [one for one in world.client.addresses if (":" in one) is (version == 6)][:2]
    made.append(
        world.order(
            listener(80, world.member("host"), allowed_cidrs=[f"{friend}/{32 if version == 4 else 128}"]),
            listener(81, world.member("near")),
            version=version,
        )
    )
    (balancer,) = made
    balancer.await_answers({"host"}, source=friend)
    assert balancer.ask(source=stranger, timeout=0.5) == ""
    assert balancer.ask(81, source=stranger) == "near", "the other listener lets everybody in"
    balancer.change(f"/listeners/{balancer.listeners[0]}", allowed_cidrs=None)
    assert set(balancer.answers(source=stranger)) == {"host"}


def test_a_connection_limit_is_kept_and_can_be_changed(world: World, made: list[LoadBalancer]) -> None:
    made.append(world.order(listener(80, world.member("host"), protocol="TCP", connection_limit=2)))
    (balancer,) = made
    balancer.await_answers({"host"})
    kept = [connect(world.client, balancer.vip, 80) for _ in range(2)]
    try:
        assert [talk(one) for one in kept] == ["host", "host"]
        assert balancer.ask(timeout=0.5) == "", "the third has to wait"
        kept.pop().close()
        wait_for(lambda: balancer.ask(timeout=0.5) == "host", 15, "there is room again")
        balancer.change(f"/listeners/{balancer.listeners[0]}", connection_limit=-1)
        kept += [connect(world.client, balancer.vip, 80) for _ in range(5)]
        assert [talk(one) for one in kept[-5:]] == ["host"] * 5
    finally:
        for one in kept:
            with suppress(OSError):
                one.close()


def test_counters_survive_the_replacement_of_the_amphora(world: World, made: list[LoadBalancer]) -> None:
    made.append(world.order(listener(80, world.member("host"))))
    (balancer,) = made
    balancer.await_answers({"host"})
    deployment = world.deployment

    def counted(key: str = "total_connections") -> int:
        return int(deployment.call("GET", f"/loadbalancers/{balancer.id}/stats")["stats"][key])

    balancer.answers(10)
    wait_for(lambda: counted() >= 12, 15, "they are counted")
    before = counted()
    (old,) = deployment.namespaces()
    with connect(world.client, balancer.vip, 80) as open_one:
        talk(open_one)
        wait_for(lambda: counted("active_connections") == 1, 15, "one is open")
        for process in deployment.processes_of(old):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_for(lambda: deployment.namespaces() not in (set(), {old}), 30, "it is replaced")
    balancer.await_answers({"host"})
    deployment.await_status(balancer.id)
    wait_for(lambda: counted() >= before + 2, 15, "the new one counts on")
    assert counted("active_connections") == 0
    time.sleep(1.5)
    assert counted("active_connections") == 0


def test_udp_and_tcp_share_a_port(world: World, made: list[LoadBalancer]) -> None:
    gateway = world.deployment.gateway
    with echo(gateway, "one") as one, echo(gateway, "two") as two:
        members = [{"name": n, "address": gateway, "protocol_port": p} for n, p in (("1", one), ("2", two))]
        monitor = {"type": "UDP-CONNECT", "delay": 3, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
        pool = {"name": "udp", "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN", "members": members}
        udp = {"protocol": "UDP", "protocol_port": 80, "default_pool": {**pool, "healthmonitor": monitor}}
        made.append(world.order(udp, listener(80, world.member("host"))))
        (balancer,) = made
        assert balancer.ask() == "host"
        assert {datagram(balancer.vip) for _ in range(4)} == {"one", "two"}
        shown = f"/loadbalancers/{balancer.id}/stats"
        wait_for(lambda: world.deployment.call("GET", shown)["stats"]["total_connections"] >= 5, 8, "counted")
        wait_for(lambda: status_of(world, f"/listeners/{balancer.listeners[0]}") == "ONLINE", 8, "ONLINE")


@contextmanager
def echo(address: str, answer: str) -> Iterator[int]:
    """A UDP server that says the same to everybody; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 0))

        def serve() -> None:
            with suppress(OSError):
                while (found := server.recvfrom(100))[1]:
                    server.sendto(answer.encode(), found[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def datagram(vip: str) -> str:
    """The answer to a datagram of a flow of its own; "" for none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect((vip, 80))
        with suppress(OSError):
            client.send(b"?")
            return client.recv(100).decode()
    return ""
