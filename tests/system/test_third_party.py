"""A third-party provider through whole programs: API, driver agent and housekeeping, each a process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import third_party
from tests.system.deployment import HYDRIA, Answer, Deployment, alive, free_port, wait_for
from tests.third_party import Appliance

pytestmark = pytest.mark.system

SUBNET = "11111111-1111-4111-8111-111111111111"  # the noop network driver has every subnet
PROGRAMS = ("driver-agent", "housekeeping", "api")
GRAPH = {
    "name": "web",
    "vip_subnet_id": SUBNET,
    "provider": "thirdparty",
    "listeners": [
        {
            "name": "l",
            "protocol": "HTTP",
            "protocol_port": 80,
            "default_pool": {"name": "p"},
            "l7policies": [
                {
                    "action": "REJECT",
                    "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}],
                }
            ],
        }
    ],
    "pools": [
        {
            "name": "p",
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "members": [{"address": "192.0.2.1", "protocol_port": 80}],
            "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
        }
    ],
}


class ThirdParty:
    """Programs of one deployment, and the appliance that its provider drives."""

    def __init__(self, directory: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.appliance = Appliance(directory)
        self.deployment = Deployment(directory, "10.219")
        monkeypatch.setenv("THIRDPARTY_HOME", str(directory))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))

    def write_config(self, options: str = "") -> None:
        sockets = "\n".join(f"{name} = {path}" for name, path in self.appliance.sockets.items())
        self.deployment.config.write_text(
            f"""[DEFAULT]
state_dir = {self.deployment.state_dir}
[api_settings]
bind_port = {self.deployment.port}
enabled_provider_drivers = amphora: Ours, thirdparty: Theirs, thirdparty-broken: Nobody's
[health_manager]
bind_ip = 127.0.0.1
bind_port = {free_port()}
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
[house_keeping]
cleanup_interval = 0.5
[driver_agent]
{sockets}
{options}
"""
        )

    # --- the API

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return self.deployment.call(method, path, body)

    def refusal(self, status: int, method: str, path: str, body: Any = None) -> str:
        answer: Answer = self.deployment.request(method, path, body)
        assert answer.status == status, answer
        return str(answer.body["faultstring"])

    def create(self, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/loadbalancers", {"loadbalancer": GRAPH | more})[
            "loadbalancer"
        ]
        return made

    def show(self, root: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", path)[root]
        return found

    def tree(self, balancer_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/loadbalancers/{balancer_id}/status")["statuses"][
            "loadbalancer"
        ]
        return found

    # --- the provider's side

    def report(self, **statuses: Any) -> None:
        self.appliance.library().update_loadbalancer_status(statuses)

    def settle(self, ids: dict[str, str], **more: str) -> None:
        """Everything that is there is ACTIVE and ONLINE; ``more``: another status of some."""
        report: dict[str, Any] = {}
        for words, identifier in ids.items():
            status = more.get(words, "ACTIVE")
            report[words] = [{"id": identifier, "provisioning_status": status, "operating_status": "ONLINE"}]
            if status == "DELETED":
                del report[words][0]["operating_status"]
        self.report(**report)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return third_party.install(tmp_path_factory.mktemp("site"))


@contextmanager
def configured(directory: Path, site: Path) -> Iterator[ThirdParty]:
    """A deployment of which nothing runs yet."""
    with pytest.MonkeyPatch.context() as environment:
        made = ThirdParty(directory, site, environment)
        made.write_config()
        subprocess.run(
            [*HYDRIA, "db", "upgrade", "--config-file", str(made.deployment.config)], check=True, timeout=60
        )
        try:
            yield made
        finally:
            made.deployment.stop()


@pytest.fixture
def hydria(tmp_path: Path, site: Path) -> Iterator[ThirdParty]:
    with configured(tmp_path, site) as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[ThirdParty]:
    with configured(tmp_path_factory.mktemp("whole"), site) as made:
        made.deployment.start(*PROGRAMS)
        yield made


@pytest.fixture
def running(whole: ThirdParty) -> Iterator[ThirdParty]:
    """All programs, the same for all tests; each begins without load balancers, calls and orders."""
    whole.appliance.order()
    whole.appliance.forget()
    yield whole
    for name in PROGRAMS:
        if whole.deployment.processes[name].poll() is not None:
            whole.deployment.start(name)
    whole.appliance.order()
    for made in whole.call("GET", "/loadbalancers")["loadbalancers"]:
        whole.report(loadbalancers=[{"id": made["id"], "provisioning_status": "ERROR"}])
        whole.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        whole.report(loadbalancers=[{"id": made["id"], "provisioning_status": "DELETED"}])
    assert whole.call("GET", "/listeners")["listeners"] == []


def ids_of(made: dict[str, Any]) -> dict[str, str]:
    pool, policy = made["pools"][0], made["listeners"][0]["l7policies"][0]
    return {
        "l7rules": policy["rules"][0]["id"],
        "l7policies": policy["id"],
        "members": pool["members"][0]["id"],
        "healthmonitors": pool["healthmonitor"]["id"],
        "pools": pool["id"],
        "listeners": made["listeners"][0]["id"],
        "loadbalancers": made["id"],
    }


def changes_of(ids: dict[str, str]) -> dict[str, tuple[str, str, Any]]:
    """One request of each operation below a load balancer (contract 1.20)."""
    pool, members = ids["pools"], f"/pools/{ids['pools']}/members"
    policies, rules = "/l7policies", f"/l7policies/{ids['l7policies']}/rules"
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/y"}
    return {
        "listener_create": (
            "POST", "/listeners", {"listener": {"loadbalancer_id": ids["loadbalancers"], "protocol": "TCP", "protocol_port": 81}},
        ),
        "listener_update": ("PUT", f"/listeners/{ids['listeners']}", {"listener": {"name": "m"}}),
        "listener_delete": ("DELETE", f"/listeners/{ids['listeners']}", None),
        "pool_create": (
            "POST", "/pools", {"pool": {"loadbalancer_id": ids["loadbalancers"], "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}},
        ),
        "pool_update": ("PUT", f"/pools/{pool}", {"pool": {"name": "q"}}),
        "pool_delete": ("DELETE", f"/pools/{pool}", None),
        "member_create": ("POST", members, {"member": {"address": "192.0.2.7", "protocol_port": 80}}),
        "member_update": ("PUT", f"{members}/{ids['members']}", {"member": {"weight": 9}}),
        "member_delete": ("DELETE", f"{members}/{ids['members']}", None),
        "member_batch_update": ("PUT", members, {"members": [{"address": "192.0.2.8", "protocol_port": 80}]}),
        "health_monitor_update": ("PUT", f"/healthmonitors/{ids['healthmonitors']}", {"healthmonitor": {"delay": 9}}),
        "l7policy_create": ("POST", policies, {"l7policy": {"listener_id": ids["listeners"], "action": "REJECT"}}),
        "l7policy_update": ("PUT", f"{policies}/{ids['l7policies']}", {"l7policy": {"name": "m"}}),
        "l7policy_delete": ("DELETE", f"{policies}/{ids['l7policies']}", None),
        "l7rule_create": ("POST", rules, {"rule": rule}),
        "l7rule_update": ("PUT", f"{rules}/{ids['l7rules']}", {"rule": {"value": "/z"}}),
        "l7rule_delete": ("DELETE", f"{rules}/{ids['l7rules']}", None),
        "health_monitor_delete": ("DELETE", f"/healthmonitors/{ids['healthmonitors']}", None),
    }  # fmt: skip


def test_the_life_of_a_load_balancer(running: ThirdParty) -> None:
    made = running.create()
    ids, balancer = ids_of(made), made["id"]
    assert made["provider"] == "thirdparty"
    assert running.appliance.calls("create_vip_port")[0][0] == balancer
    ((given,),) = running.appliance.calls("loadbalancer_create")
    assert given["vip_port_id"] == made["vip_port_id"]
    assert given["listeners"][0]["default_pool"]["pool_id"] == ids["pools"]
    assert given["listeners"][0]["l7policies"][0]["rules"][0]["value"] == "/x"
    assert given["pools"][0]["members"][0]["address"] == "192.0.2.1"

    # Locked until the provider says that it is done.
    locked = f"Load Balancer {balancer} is immutable and cannot be updated."
    state = f"Invalid state PENDING_CREATE of loadbalancer resource {balancer}"
    for method, path, body in changes_of(ids).values():
        assert running.refusal(409, method, path, body) == locked
    put = ("PUT", f"/loadbalancers/{balancer}", {"loadbalancer": {"name": "n"}})
    failover = ("PUT", f"/loadbalancers/{balancer}/failover", None)
    for method, path, body in (put, failover, ("DELETE", f"/loadbalancers/{balancer}?cascade=true", None)):
        assert running.refusal(409, method, path, body) == state

    running.settle(ids)
    tree = running.tree(balancer)
    assert (tree["provisioning_status"], tree["operating_status"]) == ("ACTIVE", "ONLINE")
    pool = tree["listeners"][0]["pools"][0]
    assert [pool["operating_status"], pool["members"][0]["operating_status"]] == ["ONLINE", "ONLINE"]
    running.report(
        members=[{"id": ids["members"], "operating_status": "ERROR"}],
        pools=[{"id": ids["pools"], "operating_status": "DEGRADED"}],
    )
    pool = running.tree(balancer)["listeners"][0]["pools"][0]
    assert [pool["operating_status"], pool["members"][0]["operating_status"]] == ["DEGRADED", "ERROR"]

    counted = {
        "active_connections": 2,
        "bytes_in": 7,
        "bytes_out": 8,
        "request_errors": 0,
        "total_connections": 5,
    }
    running.appliance.library().update_listener_statistics(
        {"listeners": [{"id": ids["listeners"], **counted}]}
    )
    assert running.show("stats", f"/listeners/{ids['listeners']}/stats") == counted
    assert running.show("stats", f"/loadbalancers/{balancer}/stats") == counted

    running.call("PUT", f"/loadbalancers/{balancer}", {"loadbalancer": {"name": "n"}})
    assert running.appliance.calls("loadbalancer_update")[-1][1]["name"] == "n"
    assert running.refusal(409, *changes_of(ids)["pool_update"]) == locked
    running.settle({"loadbalancers": balancer})

    running.call("DELETE", f"/pools/{ids['pools']}")
    assert running.appliance.calls("pool_delete")[0][0]["members"][0]["member_id"] == ids["members"]
    running.settle({key: ids[key] for key in ("pools", "listeners", "loadbalancers")}, pools="DELETED")
    assert running.deployment.request("GET", f"/pools/{ids['pools']}").status == 404
    assert running.show("listener", f"/listeners/{ids['listeners']}")["default_pool_id"] is None

    has_children = f"Validation failure: Cannot delete Load Balancer {balancer} - it has children"
    assert running.refusal(400, "DELETE", f"/loadbalancers/{balancer}") == has_children
    running.call("DELETE", f"/loadbalancers/{balancer}?cascade=true")
    assert running.appliance.lines("cascades")[-1] == {"cascade": True}
    running.settle(
        {"listeners": ids["listeners"], "loadbalancers": balancer},
        listeners="DELETED",
        loadbalancers="DELETED",
    )
    assert running.deployment.request("GET", f"/loadbalancers/{balancer}").status == 404


def test_every_operation_reaches_the_driver_and_locks(running: ThirdParty) -> None:
    for name in changes_of(ids_of(running.create(name="names"))):
        made = running.create(name=name)
        ids = ids_of(made)
        running.settle(ids)
        running.appliance.forget()
        method, path, body = changes_of(ids)[name]
        running.call(method, path, body)
        assert [each[0] for each in running.appliance.calls()] == [name]
        assert (
            running.show("loadbalancer", f"/loadbalancers/{made['id']}")["provisioning_status"]
            == "PENDING_UPDATE"
        )
        text = running.refusal(409, "PUT", f"/loadbalancers/{made['id']}", {"loadbalancer": {}})
        assert text == f"Invalid state PENDING_UPDATE of loadbalancer resource {made['id']}"


def test_error_is_followed_by_the_deletion_alone(running: ThirdParty) -> None:
    made = running.create()
    ids = ids_of(made)
    running.settle(ids, loadbalancers="ERROR")
    shown = running.show("loadbalancer", f"/loadbalancers/{made['id']}")
    assert shown["provisioning_status"] == "ERROR"
    for method, path, body in changes_of(ids).values():
        running.refusal(409, method, path, body)
    running.call("PUT", f"/loadbalancers/{made['id']}/failover")
    assert running.appliance.calls("loadbalancer_failover")[0][0]["loadbalancer_id"] == made["id"]
    running.report(loadbalancers=[{"id": made["id"], "provisioning_status": "ERROR"}])
    running.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    running.report(loadbalancers=[{"id": made["id"], "provisioning_status": "DELETED"}])
    assert running.deployment.request("GET", f"/loadbalancers/{made['id']}").status == 404


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("driver", 500, "Provider 'thirdparty' reports error: no power"),
        ("bug", 500, "Provider 'thirdparty' reports error: division by zero"),
        ("option", 501, "Provider 'thirdparty' does not support a requested option: no such option"),
        ("action", 501, "Provider 'thirdparty' does not support a requested action: not in this model"),
        ("conflict", 409, "The VIP IP address is already in use: 192.0.2.1 is mine"),
    ],
)
def test_what_the_driver_refuses_is_answered_and_undone(
    running: ThirdParty, fault: str, status: int, text: str
) -> None:
    made = running.create()
    ids = ids_of(made)
    running.settle(ids)
    running.appliance.order(refuse=dict.fromkeys(["loadbalancer_create", "member_update"], fault))
    assert running.refusal(status, "POST", "/loadbalancers", {"loadbalancer": GRAPH | {"name": "no"}}) == text
    assert running.refusal(status, *changes_of(ids)["member_update"]) == text
    assert [each["name"] for each in running.call("GET", "/loadbalancers")["loadbalancers"]] == ["web"]
    assert running.show("member", f"/pools/{ids['pools']}/members/{ids['members']}")["weight"] == 1
    assert {each["provisioning_status"] for each in running.call("GET", "/listeners")["listeners"]} == {
        "ACTIVE"
    }
    running.appliance.order()
    running.call(*changes_of(ids)["member_update"])


def test_an_api_that_dies_while_it_calls_the_driver_locks_nothing(running: ThirdParty) -> None:
    made = running.create()
    running.settle(ids_of(made))
    running.appliance.forget()
    path = f"/loadbalancers/{made['id']}"
    with running.appliance.slow():
        caller = subprocess.Popen(
            ["curl", "-s", "-X", "PUT", "-H", "Content-Type: application/json", "-d", '{"loadbalancer": {"name": "never"}}',
             f"http://127.0.0.1:{running.deployment.port}/v2/lbaas{path}"], stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            running.appliance.wait_for_call("loadbalancer_update")
            assert running.show("loadbalancer", path)["name"] == "never"
            running.deployment.kill("api")
        finally:
            caller.wait(30)
    running.deployment.start("api")

    def unlocked() -> bool:
        shown = running.show("loadbalancer", path)
        return (shown["provisioning_status"], shown["name"]) == ("ACTIVE", "web")

    wait_for(unlocked, 20, "the change is undone")
    running.call("PUT", path, {"loadbalancer": {"name": "later"}})


def test_a_driver_agent_that_was_killed_is_replaced(running: ThirdParty) -> None:
    made = running.create()
    running.deployment.kill("driver-agent")
    running.deployment.start("driver-agent")
    running.settle(ids_of(made))
    assert running.tree(made["id"])["provisioning_status"] == "ACTIVE"
    for path in running.appliance.sockets.values():
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o660
    running.deployment.processes["driver-agent"].terminate()
    running.deployment.processes["driver-agent"].wait(20)
    assert not any(Path(path).exists() for path in running.appliance.sockets.values())


# --- provider agents


def begun(appliance: Appliance, event: str = "begun") -> list[int]:
    return [each["process"] for each in appliance.lines("agent") if each["event"] == event]


def start_agents(hydria: ThirdParty, *names: str, timeout: int = 20) -> int:
    hydria.write_config(
        f"provider_agent_shutdown_timeout = {timeout}\nenabled_provider_agents = {', '.join(names)}"
    )
    hydria.deployment.start("driver-agent")
    return hydria.deployment.processes["driver-agent"].pid


def children(process: int) -> list[int]:
    """Child processes of a process, dead ones that nobody has fetched included."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in listed.stdout.split()]


def end(hydria: ThirdParty) -> int:
    process = hydria.deployment.processes["driver-agent"]
    process.terminate()
    return process.wait(30)


def gone(*processes: int) -> Callable[[], bool]:
    return lambda: not any(alive(each) for each in processes)


def test_a_provider_agent_runs_reports_and_ends(hydria: ThirdParty) -> None:
    hydria.deployment.start("api")
    start_agents(hydria, "thirdparty-agent", "never-installed")
    made = hydria.create()
    counted = {
        "active_connections": 1,
        "bytes_in": 1,
        "bytes_out": 1,
        "request_errors": 1,
        "total_connections": 1,
    }
    hydria.appliance.order(count=[{"id": made["listeners"][0]["id"], **counted}])
    wait_for(
        lambda: hydria.show("stats", f"/loadbalancers/{made['id']}/stats") == counted, 30, "statistics arrive"
    )
    (agent,) = begun(hydria.appliance)
    assert "never-installed" in hydria.deployment.log("driver-agent")
    assert end(hydria) == 0
    assert begun(hydria.appliance, "ended") == [agent]
    assert not alive(agent)


def test_a_provider_agent_that_dies_is_started_again(hydria: ThirdParty) -> None:
    program = start_agents(hydria, "thirdparty-mortal")
    wait_for(lambda: len(begun(hydria.appliance, "dies")) >= 2, 30, "it is started again")
    dead = begun(hydria.appliance, "dies")
    wait_for(lambda: not set(dead) & set(children(program)), 10, "nobody is left a zombie")
    assert "has ended by itself (signal 9)" in hydria.deployment.log("driver-agent")
    assert end(hydria) == 0


def test_a_provider_agent_that_does_not_end_is_killed(hydria: ThirdParty) -> None:
    start_agents(hydria, "thirdparty-stubborn", timeout=1)
    (agent,) = wait_for(lambda: begun(hydria.appliance), 30, "it runs")
    assert end(hydria) == 0
    assert not alive(agent)
    assert "is killed" in hydria.deployment.log("driver-agent")


def test_provider_agents_do_not_outlive_a_killed_driver_agent(hydria: ThirdParty) -> None:
    start_agents(hydria, "thirdparty-agent", "thirdparty-stubborn", timeout=1)
    agents = wait_for(lambda: len(begun(hydria.appliance)) == 2 and begun(hydria.appliance), 30, "both run")
    try:
        hydria.deployment.kill("driver-agent")
        wait_for(gone(*agents), 20, "they are gone")
    finally:
        for agent in agents:
            if alive(agent):
                os.kill(agent, signal.SIGKILL)
