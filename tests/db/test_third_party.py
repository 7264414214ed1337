"""A third-party driver's calls, and what it reports while it is called, on every database."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hydria.api.writing.amphora import failover_load_balancer
from hydria.driver_agent.program import DriverAgent
from hydria.housekeeping.program import Housekeeping
from hydria.model.errors import Busy, Conflict, HydriaError, ProviderFailed, Unsupported
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.providers.registry import ProviderMissing, Registry, Unimplemented
from hydria.settings import DriverAgentSettings
from hydria.store import Store, handovers, tables
from tests import third_party
from tests.system.deployment import wait_for
from tests.third_party import Appliance
from tests.unit.api_writing import Api, everything
from tests.unit.test_processes import ended


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return third_party.install(tmp_path_factory.mktemp("site"))


@pytest.fixture
def appliance(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Appliance:
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("THIRDPARTY_HOME", str(tmp_path))
    return Appliance(tmp_path)


@pytest.fixture
def api(appliance: Appliance, store: Store) -> Iterator[Api]:
    api = Api(store, provider="thirdparty")
    settings = replace(api.settings, driver_agent=DriverAgentSettings(**appliance.sockets))
    agent = DriverAgent(settings, store, api.network)
    agent.start()
    try:
        yield api
    finally:
        agent.stop()


def settle(api: Api, appliance: Appliance) -> None:
    """Everything is as it was asked for."""
    report: dict[str, list[dict[str, str]]] = {}
    for resource in tables.RESOURCES:
        words = {"rules": "l7rules"}.get(resource.plural, resource.plural)
        for item in api.all(resource):
            status = "ACTIVE" if item.desired else "DELETED"
            if item.provisioning_status != status:
                report.setdefault(words, []).append({"id": item.id, "provisioning_status": status})
    appliance.library().update_loadbalancer_status(report)


def with_policies(api: Api, appliance: Appliance) -> dict[str, str]:
    """Two L7 policies of the listener, the first with a rule; settled."""
    settle(api, appliance)
    (listener,) = api.all(Listener)
    made = []
    for name in ("first", "second"):
        made.append(api.create(L7Policy, listener_id=listener.id, action="REJECT", name=name)["id"])
        settle(api, appliance)
    rule = api.create(L7Rule, made[0], type="PATH", compare_type="STARTS_WITH", value="/x")
    settle(api, appliance)
    return {"l7policies": made[0], "l7rules": rule["id"]}


def test_policies_and_rules_reach_the_driver_and_can_be_looked_up(api: Api, appliance: Appliance) -> None:
    ids = everything(api) | with_policies(api, appliance)
    library = appliance.library()
    policy = library.get_l7policy(ids["l7policies"])
    assert (policy.name, [rule["value"] for rule in policy.rules]) == ("first", ["/x"])
    assert library.get_l7rule(ids["l7rules"]).l7policy_id == ids["l7policies"]
    assert len(library.get_listener(ids["listeners"]).l7policies) == 2
    api.update(L7Rule, ids["l7rules"], ids["l7policies"], value="/z")
    old, new = appliance.calls("l7rule_update")[-1]
    assert (old["value"], old["compare_type"], new["value"]) == ("/x", "STARTS_WITH", "/z")
    assert "compare_type" not in new
    settle(api, appliance)
    api.delete(L7Policy, ids["l7policies"])
    ((gone,),) = appliance.calls("l7policy_delete")
    assert [rule["l7rule_id"] for rule in gone["rules"]] == [ids["l7rules"]]
    settle(api, appliance)
    assert [(each.name, each.position) for each in api.all(L7Policy)] == [("second", 1)]
    assert api.all(L7Rule) == ()


def on_its_way(api: Api) -> list[Any]:
    return api.dump()["handovers"]


def test_what_is_reported_at_once_is_not_lost(api: Api, appliance: Appliance) -> None:
    appliance.order(report="at once")
    made = [api.create(LoadBalancer)["id"] for _ in range(5)]
    wait_for(
        lambda: {api.get(LoadBalancer, each).provisioning_status for each in made} == {"ACTIVE"},
        20,
        "all are ACTIVE",
    )
    wait_for(lambda: len(appliance.lines("reported")) == len(made), 10, "the driver's threads have ended")
    assert on_its_way(api) == []


def test_a_driver_may_look_up_and_report_while_it_is_called(api: Api, appliance: Appliance) -> None:
    appliance.order(look_up=True, report="inside")
    made = api.create(LoadBalancer, name="seen")
    (look_up,) = appliance.lines("look_ups")
    assert (look_up["found"]["loadbalancer_id"], look_up["found"]["name"]) == (made["id"], "seen")
    assert api.get(LoadBalancer, made["id"]).provisioning_status == "ACTIVE"
    assert made["provisioning_status"] == "PENDING_CREATE"
    api.update(LoadBalancer, made["id"], name="again")
    assert appliance.lines("look_ups")[-1]["found"]["name"] == "again"
    api.delete(LoadBalancer, made["id"])
    assert api.statuses()["load_balancers"] == ["DELETED"]
    assert list(api.network.ports()) == []
    assert on_its_way(api) == []


def test_a_slow_driver_keeps_nobody_else_waiting(api: Api, appliance: Appliance) -> None:
    ids, other = everything(api), api.create(LoadBalancer)["id"]
    settle(api, appliance)
    noop = everything(api, provider="noop_driver")
    with ThreadPoolExecutor() as threads:
        with appliance.slow():
            slow = threads.submit(api.update, LoadBalancer, ids["load_balancers"], name="slow")
            appliance.wait_for_call("loadbalancer_update")
            api.update(LoadBalancer, noop["load_balancers"], name="quick")
            assert api.get(LoadBalancer, ids["load_balancers"]).provisioning_status == "PENDING_UPDATE"
            with pytest.raises(Busy):
                api.update(Listener, ids["listeners"], name="too early")
            appliance.library().update_loadbalancer_status(
                {"members": [{"id": ids["members"], "operating_status": "ONLINE"}]}
            )
            assert not slow.done()
        assert slow.result()["name"] == "slow"
    assert api.get(LoadBalancer, other).provisioning_status == "ACTIVE"
    assert on_its_way(api) == []


FAULTS: dict[str, tuple[type[HydriaError], str]] = {
    "driver": (ProviderFailed, "Provider 'thirdparty' reports error: no power"),
    "missing": (ProviderFailed, "Provider 'thirdparty' reports error: no such rack"),
    "bug": (ProviderFailed, "Provider 'thirdparty' reports error: division by zero"),
    "option": (Unsupported, "Provider 'thirdparty' does not support a requested option: no such option"),
    "action": (Unimplemented, "Provider 'thirdparty' does not support a requested action: not in this model"),
    "conflict": (Conflict, "The VIP IP address is already in use: 192.0.2.1 is mine"),
}
REQUESTS: dict[str, Callable[[Api, dict[str, str]], object]] = {
    "loadbalancer_create": lambda api, its: api.create(LoadBalancer, tags=["t"]),
    "loadbalancer_update": lambda api, its: api.update(
        LoadBalancer, its["load_balancers"], name="n", tags=["t"]
    ),
    "loadbalancer_delete": lambda api, its: api.delete(LoadBalancer, its["load_balancers"], cascade=True),
    "loadbalancer_failover": lambda api, its: failover_load_balancer(api.call, its["load_balancers"]),
    "listener_create": lambda api, its: api.create(
        Listener, loadbalancer_id=its["load_balancers"], protocol="TCP", protocol_port=81, tags=["t"]
    ),
    "listener_update": lambda api, its: api.update(
        Listener, its["listeners"], name="n", default_pool_id=None
    ),
    "listener_delete": lambda api, its: api.delete(Listener, its["listeners"]),
    "pool_create": lambda api, its: api.create(
        Pool, loadbalancer_id=its["load_balancers"], protocol="TCP", lb_algorithm="SOURCE_IP"
    ),
    "pool_update": lambda api, its: api.update(Pool, its["pools"], session_persistence={"type": "SOURCE_IP"}),
    "pool_delete": lambda api, its: api.delete(Pool, its["pools"]),
    "member_create": lambda api, its: api.create(Member, its["pools"], address="192.0.2.3", protocol_port=80),
    "member_update": lambda api, its: api.update(Member, its["members"], its["pools"], weight=7),
    "member_delete": lambda api, its: api.delete(Member, its["members"], its["pools"]),
    "member_batch_update": lambda api, its: api.batch(
        its["pools"], {"address": "192.0.2.8", "protocol_port": 80}
    ),
    "l7policy_create": lambda api, its: api.create(
        L7Policy, listener_id=its["listeners"], action="REJECT", position=1
    ),
    "l7policy_update": lambda api, its: api.update(L7Policy, its["l7policies"], position=2, name="n"),
    "l7policy_delete": lambda api, its: api.delete(L7Policy, its["l7policies"]),
    "l7rule_create": lambda api, its: api.create(
        L7Rule, its["l7policies"], type="PATH", compare_type="EQUAL_TO", value="/y"
    ),
    "l7rule_update": lambda api, its: api.update(L7Rule, its["l7rules"], its["l7policies"], value="/z"),
    "l7rule_delete": lambda api, its: api.delete(L7Rule, its["l7rules"], its["l7policies"]),
    "health_monitor_update": lambda api, its: api.update(HealthMonitor, its["health_monitors"], delay=9),
    "health_monitor_delete": lambda api, its: api.delete(HealthMonitor, its["health_monitors"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_driver_refuses_leaves_nothing(
    api: Api, appliance: Appliance, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    ids = everything(api, tags=["s"]) | with_policies(api, appliance)
    chosen = REQUESTS if fault == "driver" else {"loadbalancer_create": REQUESTS["loadbalancer_create"]}
    appliance.order(refuse=dict.fromkeys(chosen, fault))
    for method, request in chosen.items():
        appliance.forget()
        with api.unchanged(*FAULTS[fault], taken_back=True):
            request(api, ids)
        assert appliance.calls(method), method
    operator = {"driver": "rack 7 is dark", "bug": "ZeroDivisionError", "missing": "rack 8"}
    assert operator.get(fault, "") in caplog.text
    appliance.order()
    for request in list(REQUESTS.values())[:2]:
        request(api, ids)


def test_an_error_that_was_reported_before_the_refusal_goes_with_it(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    appliance.order(report="error inside", refuse={"loadbalancer_update": "driver"})
    with api.unchanged(*FAULTS["driver"], taken_back=True):
        api.update(LoadBalancer, ids["load_balancers"], name="n")


def test_what_was_reported_as_done_is_not_taken_back(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    appliance.order(report="inside", refuse={"loadbalancer_update": "driver"})
    with pytest.raises(ProviderFailed):
        api.update(LoadBalancer, ids["load_balancers"], name="n")
    balancer = api.get(LoadBalancer, ids["load_balancers"])
    assert (balancer.name, balancer.provisioning_status) == ("n", "ACTIVE")
    assert on_its_way(api) == []


def test_a_later_change_is_not_taken_back_with_an_earlier_one(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    for generation in (7, 8):
        api.store.transact(
            lambda tx, number=generation: handovers.begin(tx, api.store, ids["load_balancers"], number, "h:1")
        )
    assert not api.store.transact(lambda tx: handovers.undo(tx, ids["load_balancers"], 7))
    assert api.get(LoadBalancer, ids["load_balancers"]) is not None
    assert len(on_its_way(api)) == 1


def test_housekeeping_undoes_what_a_dead_program_has_left(
    api: Api, appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing:
        def instances(self) -> list[Any]:
            return []

    ids = everything(api)
    settle(api, appliance)
    before = api.dump(taken_back=True)
    housekeeping = Housekeeping(api.settings, api.store, Nothing(), api.network)  # type: ignore[arg-type]  # all it needs
    with ThreadPoolExecutor() as threads:
        with appliance.slow():
            slow = threads.submit(api.delete, Pool, ids["pools"])
            appliance.wait_for_call("pool_delete")
            assert housekeeping.sweep().handovers == 0
            api.store.transact(lambda tx: tx.execute(tables.handovers.update().values(owner=ended())))
            assert housekeeping.sweep().handovers == 1
            assert api.dump(taken_back=True) == before
        slow.result()


def test_a_vip_port_of_the_driver_s_own(api: Api, appliance: Appliance) -> None:
    own = {"vip_port_id": "99999999-0000-4000-8000-000000000001", "vip_address": "198.51.100.200"}
    appliance.order(vip=own)
    made = api.create(LoadBalancer, project_id="p1")
    (given,) = appliance.calls("create_vip_port")
    assert given[:2] == [made["id"], "p1"]
    assert set(given[2]) >= {
        "vip_address",
        "vip_network_id",
        "vip_port_id",
        "vip_subnet_id",
        "vip_qos_policy_id",
        "vip_sg_ids",
    }
    assert {key: made[key] for key in own} == own
    assert list(api.network.ports()) == []
    assert not api.get(LoadBalancer, made["id"]).vip_port_owned
    appliance.order(vip={"vip_port_id": None})
    with api.unchanged(
        ProviderFailed,
        "Provider 'thirdparty' reports error: create_vip_port did not return vip_address and vip_port_id.",
    ):
        api.create(LoadBalancer)


def test_updates_carry_what_changed_and_what_there_was(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    api.update(Pool, ids["pools"], session_persistence={"type": "SOURCE_IP"})
    settle(api, appliance)
    api.update(Pool, ids["pools"], session_persistence=None)
    old, new = appliance.calls("pool_update")[-1]
    assert (old["session_persistence"]["type"], old["name"]) == ("SOURCE_IP", "p")
    assert new == {"type": "Pool", "pool_id": ids["pools"], "session_persistence": None}
    settle(api, appliance)
    api.update(LoadBalancer, ids["load_balancers"])
    old, new = appliance.calls("loadbalancer_update")[-1]
    assert old["name"] == "web"
    assert new == {"type": "LoadBalancer", "loadbalancer_id": ids["load_balancers"]}


def test_a_batch_is_the_whole_list(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    new = {"address": "192.0.2.9", "protocol_port": 80, "weight": 3}
    api.batch(ids["pools"], new, additive_only=True)
    pool_id, members = appliance.calls("member_batch_update")[-1]
    assert pool_id == ids["pools"]
    assert sorted(member["address"] for member in members) == ["192.0.2.1", "192.0.2.2", "192.0.2.9"]
    settle(api, appliance)
    api.batch(ids["pools"], new)
    _, members = appliance.calls("member_batch_update")[-1]
    assert [(member["address"], member["weight"]) for member in members] == [("192.0.2.9", 3)]
    settle(api, appliance)
    api.batch(ids["pools"])
    assert appliance.calls("member_batch_update")[-1][1] == []


def test_each_request_has_a_driver_of_its_own(api: Api, appliance: Appliance) -> None:
    registry = Registry(api.settings, api.network)
    one, other = registry.get("thirdparty"), registry.get("thirdparty")
    assert one.driver is not other.driver
    assert one.driver.name == "thirdparty"
    assert registry.get("amphora").driver is registry.get("amphora").driver
    assert registry.reports("thirdparty")
    assert registry.reports("never installed")
    assert not registry.reports("amphora")


def test_a_driver_that_cannot_be_loaded_is_not_found(api: Api) -> None:
    with pytest.raises(ProviderMissing, match="Provider 'thirdparty-broken' was not found"):
        Registry(api.settings, api.network).get("thirdparty-broken")


def test_changes_at_once_are_taken_one_after_the_other(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    answers: list[str] = []

    def add(number: int) -> None:
        try:
            api.create(Member, ids["pools"], address=f"192.0.2.{100 + number}", protocol_port=80)
            answers.append("accepted")
        except Busy:
            answers.append("busy")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["accepted"] + ["busy"] * 7
    assert len(appliance.calls("member_create")) == 1
    assert len(api.all(Member)) == 3


def test_listeners_and_pools_come_with_their_certificates(api: Api, appliance: Appliance) -> None:
    ids = everything(api)
    settle(api, appliance)
    reference = "file:secret"
    api.create(
        Listener, loadbalancer_id=ids["load_balancers"], protocol="TERMINATED_HTTPS", protocol_port=443,
        default_tls_container_ref=reference, sni_container_refs=[reference],
    )  # fmt: skip
    ((given,),) = appliance.calls("listener_create")
    container = given["default_tls_container_data"]
    assert set(container) == {"id", "certificate", "private_key", "passphrase", "intermediates", "primary_cn"}
    assert container["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert given["sni_container_data"] == [container]
    assert "client_ca_tls_container_data" not in given
    settle(api, appliance)
    api.update(Pool, ids["pools"], tls_enabled=True, ca_tls_container_ref=reference)
    old, new = appliance.calls("pool_update")[-1]
    assert "BEGIN" in new["ca_tls_container_data"]
    assert "ca_tls_container_data" not in old
