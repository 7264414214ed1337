"""The noop provider: says yes to everything, remembers it, and does nothing.

With it the whole API runs without a data plane. What it was asked is done at once, so objects are ACTIVE
after the request (``Completion.IMMEDIATE``).
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from typing import Any

from octavia_lib.api.drivers import provider_base

from hydria.providers.registry import Completion, VipDict

LOG = logging.getLogger(__name__)
_REMEMBERED = 1000  # calls, so that a long-lived API program does not grow


class NoopProviderDriver(provider_base.ProviderDriver):
    """``calls`` holds (method, arguments) of what was asked, the latest last."""

    hydria_completion = Completion.IMMEDIATE
    hydria_extensions = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=_REMEMBERED)

    def _note(self, method: str, *arguments: Any) -> None:
        LOG.debug("Provider %s no-op, %s: %s", type(self).__name__, method, arguments)
        self.calls.append((method, arguments))

    # --- load balancers

    def create_vip_port(
        self,
        loadbalancer_id: str,
        project_id: str,
        vip_dictionary: VipDict,
        additional_vip_dicts: list[VipDict],
    ) -> tuple[VipDict, list[VipDict]]:
        self._note("create_vip_port", loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts)
        port = str(vip_dictionary.get("vip_port_id") or uuid.uuid5(uuid.UUID(loadbalancer_id), "port"))
        plausible = {
            "vip_address": "198.51.100.1",
            "vip_network_id": str(uuid.uuid5(uuid.UUID(loadbalancer_id), "network")),
            "vip_port_id": port,
            "vip_subnet_id": str(uuid.uuid5(uuid.UUID(loadbalancer_id), "subnet")),
        }
        given = {key: value for key, value in vip_dictionary.items() if value is not None}
        more = [
            {
                "subnet_id": vip.get("subnet_id"),
                "ip_address": vip.get("ip_address") or f"198.51.100.{number}",
                "network_id": given.get("vip_network_id", plausible["vip_network_id"]),
                "port_id": port,
            }
            for number, vip in enumerate(additional_vip_dicts, start=2)
        ]
        return {**plausible, **given}, more

    def loadbalancer_create(self, loadbalancer: Any) -> None:
        self._note("loadbalancer_create", loadbalancer)

    def loadbalancer_delete(self, loadbalancer: Any, cascade: bool = False) -> None:
        self._note("loadbalancer_delete", loadbalancer, cascade)

    def loadbalancer_failover(self, loadbalancer_id: str) -> None:
        self._note("loadbalancer_failover", loadbalancer_id)

    def loadbalancer_update(self, old_loadbalancer: Any, new_loadbalancer: Any) -> None:
        self._note("loadbalancer_update", old_loadbalancer, new_loadbalancer)

    # --- listeners

    def listener_create(self, listener: Any) -> None:
        self._note("listener_create", listener)

    def listener_delete(self, listener: Any) -> None:
        self._note("listener_delete", listener)

    def listener_update(self, old_listener: Any, new_listener: Any) -> None:
        self._note("listener_update", old_listener, new_listener)

    # --- pools

    def pool_create(self, pool: Any) -> None:
        self._note("pool_create", pool)

    def pool_delete(self, pool: Any) -> None:
        self._note("pool_delete", pool)

    def pool_update(self, old_pool: Any, new_pool: Any) -> None:
        self._note("pool_update", old_pool, new_pool)

    # --- members

    def member_create(self, member: Any) -> None:
        self._note("member_create", member)

    def member_delete(self, member: Any) -> None:
        self._note("member_delete", member)

    def member_update(self, old_member: Any, new_member: Any) -> None:
        self._note("member_update", old_member, new_member)

    def member_batch_update(self, pool_id: str, members: list[Any]) -> None:
        self._note("member_batch_update", pool_id, members)

    # --- health monitors

    def health_monitor_create(self, healthmonitor: Any) -> None:
        self._note("health_monitor_create", healthmonitor)

    def health_monitor_delete(self, healthmonitor: Any) -> None:
        self._note("health_monitor_delete", healthmonitor)

    def health_monitor_update(self, old_healthmonitor: Any, new_healthmonitor: Any) -> None:
        self._note("health_monitor_update", old_healthmonitor, new_healthmonitor)

    # --- flavors and availability zones: of any keys, though it names those that upstream's names

    def get_supported_flavor_metadata(self) -> dict[str, str]:
        self._note("get_supported_flavor_metadata")
        return {"amp_image_tag": "The glance image tag to use for this load balancer."}

    def validate_flavor(self, flavor_metadata: dict[str, Any]) -> None:
        self._note("validate_flavor", flavor_metadata)

    def get_supported_availability_zone_metadata(self) -> dict[str, str]:
        self._note("get_supported_availability_zone_metadata")
        return {
            "compute_zone": "The compute availability zone to use for this loadbalancer.",
            "volume_zone": "The volume availability zone to use for this loadbalancer.",
        }

    def validate_availability_zone(self, availability_zone_metadata: dict[str, Any]) -> None:
        self._note("validate_availability_zone", availability_zone_metadata)

    # --- L7 policies and rules

    def l7policy_create(self, l7policy: Any) -> None:
        self._note("l7policy_create", l7policy)

    def l7policy_delete(self, l7policy: Any) -> None:
        self._note("l7policy_delete", l7policy)

    def l7policy_update(self, old_l7policy: Any, new_l7policy: Any) -> None:
        self._note("l7policy_update", old_l7policy, new_l7policy)

    def l7rule_create(self, l7rule: Any) -> None:
        self._note("l7rule_create", l7rule)

    def l7rule_delete(self, l7rule: Any) -> None:
        self._note("l7rule_delete", l7rule)

    def l7rule_update(self, old_l7rule: Any, new_l7rule: Any) -> None:
        self._note("l7rule_update", old_l7rule, new_l7rule)
