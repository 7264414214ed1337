"""The provider driver: notes what it is asked, and reports that it is done."""

from __future__ import annotations

import threading
import time
from typing import Any

from octavia_lib.api.drivers import data_models, exceptions, provider_base

from thirdparty_provider import appliance

FAULTS = {
    "driver": exceptions.DriverError(user_fault_string="no power", operator_fault_string="rack 7 is dark"),
    "option": exceptions.UnsupportedOptionError(
        user_fault_string="no such option", operator_fault_string="firmware 1"
    ),
    "action": exceptions.NotImplementedError(
        user_fault_string="not in this model", operator_fault_string="model A"
    ),
    "conflict": exceptions.Conflict(user_fault_string="192.0.2.1 is mine", operator_fault_string="rack 7"),
    "missing": exceptions.NotFound(user_fault_string="no such rack", operator_fault_string="rack 8"),
    "bug": ZeroDivisionError("division by zero"),
}
# Attribute of the id -> key in a status report.
IDS = {
    data_models.LoadBalancer: ("loadbalancer_id", "loadbalancers"),
    data_models.Listener: ("listener_id", "listeners"),
    data_models.Pool: ("pool_id", "pools"),
    data_models.Member: ("member_id", "members"),
    data_models.HealthMonitor: ("healthmonitor_id", "healthmonitors"),
    data_models.L7Policy: ("l7policy_id", "l7policies"),
    data_models.L7Rule: ("l7rule_id", "l7rules"),
}


class ThirdPartyDriver(provider_base.ProviderDriver):
    """Takes whatever it is asked, unless it is ordered to refuse."""

    def _take(self, method: str, *given: Any, going: bool = False) -> None:
        appliance.note("calls", method=method, arguments=[shown(each) for each in given], provider=self.name)
        ordered = appliance.orders()
        if ordered.get("look_up"):
            self._look_up(*given)
        while (appliance.home() / "wait").exists():
            time.sleep(0.02)
        if ordered.get("report") in ("inside", "error inside"):
            report_done(given[-1], going=going, error=ordered["report"] == "error inside")
        fault = ordered.get("refuse", {}).get(method)
        if fault:
            raise FAULTS[fault]
        if ordered.get("report") == "at once":
            threading.Thread(target=report_done, args=(given[-1],), kwargs={"going": going}).start()

    def _look_up(self, *given: Any) -> None:
        """Ask for what this is about while the caller waits."""
        if isinstance(given[-1], data_models.LoadBalancer):
            found = appliance.library().get_loadbalancer(given[-1].loadbalancer_id)
            appliance.note("look_ups", found=None if found is None else found.to_dict(render_unsets=True))

    def create_vip_port(
        self, loadbalancer_id: str, project_id: str, vip_dictionary: dict[str, Any], additional_vip_dicts: Any
    ) -> Any:
        appliance.note(
            "calls",
            method="create_vip_port",
            arguments=[loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts],
            provider=self.name,
        )
        own = appliance.orders().get("vip")
        if own is None:
            return super().create_vip_port(loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts)
        return {**vip_dictionary, **own}, additional_vip_dicts

    def loadbalancer_create(self, loadbalancer: Any) -> None:
        self._take("loadbalancer_create", loadbalancer)

    def loadbalancer_delete(self, loadbalancer: Any, cascade: bool = False) -> None:
        appliance.note("cascades", cascade=cascade)
        self._take("loadbalancer_delete", loadbalancer, going=True)

    def loadbalancer_failover(self, loadbalancer_id: str) -> None:
        self._take("loadbalancer_failover", data_models.LoadBalancer(loadbalancer_id=loadbalancer_id))

    def loadbalancer_update(self, old_loadbalancer: Any, new_loadbalancer: Any) -> None:
        self._take("loadbalancer_update", old_loadbalancer, new_loadbalancer)

    def listener_create(self, listener: Any) -> None:
        self._take("listener_create", listener)

    def listener_delete(self, listener: Any) -> None:
        self._take("listener_delete", listener, going=True)

    def listener_update(self, old_listener: Any, new_listener: Any) -> None:
        self._take("listener_update", old_listener, new_listener)

    def pool_create(self, pool: Any) -> None:
        self._take("pool_create", pool)

    def pool_delete(self, pool: Any) -> None:
        self._take("pool_delete", pool, going=True)

    def pool_update(self, old_pool: Any, new_pool: Any) -> None:
        self._take("pool_update", old_pool, new_pool)

    def member_create(self, member: Any) -> None:
        self._take("member_create", member)

    def member_delete(self, member: Any) -> None:
        self._take("member_delete", member, going=True)

    def member_update(self, old_member: Any, new_member: Any) -> None:
        self._take("member_update", old_member, new_member)

    def member_batch_update(self, pool_id: str, members: list[Any]) -> None:
        self._take("member_batch_update", pool_id, members)

    def health_monitor_create(self, healthmonitor: Any) -> None:
        self._take("health_monitor_create", healthmonitor)

    def health_monitor_delete(self, healthmonitor: Any) -> None:
        self._take("health_monitor_delete", healthmonitor, going=True)

    def health_monitor_update(self, old_healthmonitor: Any, new_healthmonitor: Any) -> None:
        self._take("health_monitor_update", old_healthmonitor, new_healthmonitor)

    def l7policy_create(self, l7policy: Any) -> None:
        self._take("l7policy_create", l7policy)

    def l7policy_delete(self, l7policy: Any) -> None:
        self._take("l7policy_delete", l7policy, going=True)

    def l7policy_update(self, old_l7policy: Any, new_l7policy: Any) -> None:
        self._take("l7policy_update", old_l7policy, new_l7policy)

    def l7rule_create(self, l7rule: Any) -> None:
        self._take("l7rule_create", l7rule)

    def l7rule_delete(self, l7rule: Any) -> None:
        self._take("l7rule_delete", l7rule, going=True)

    def l7rule_update(self, old_l7rule: Any, new_l7rule: Any) -> None:
        self._take("l7rule_update", old_l7rule, new_l7rule)


def report_done(given: Any, *, going: bool, error: bool = False) -> None:
    """Say that this, and the load balancer it is on, is as it was asked for."""
    report: dict[str, list[dict[str, str]]] = {}
    for item in given if isinstance(given, list) else [given]:
        key, words = IDS[type(item)]
        status = "ERROR" if error else "DELETED" if going else "ACTIVE"
        report.setdefault(words, []).append({"id": getattr(item, key), "provisioning_status": status})
    appliance.library().update_loadbalancer_status(report)
    appliance.note("reported", report=report)


def shown(given: Any) -> Any:
    """An argument as JSON has it; what is Unset is left out."""
    if isinstance(given, list):
        return [shown(each) for each in given]
    if isinstance(given, data_models.BaseDataModel):
        return {"type": type(given).__name__, **given.to_dict(recurse=True)}
    return given
