"""The amphora provider: the desired state is in the database already, and workers converge to it.

So all that is left to do at the time of a request is to refuse what the data plane cannot serve, and to make
the VIP's port.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from octavia_lib.api.drivers import exceptions, provider_base

from hydria.dataplane import support
from hydria.drivers import loading
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import FixedAddress, NetworkDriver, Port
from hydria.model.errors import Conflict
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Resource
from hydria.model.statuses import ListenerProtocol
from hydria.providers import capabilities, objects
from hydria.providers.registry import Completion, VipDict
from hydria.settings import Settings


class AmphoraProviderDriver(provider_base.ProviderDriver):
    """Hydria's own provider, by the same interface as everybody else's."""

    hydria_completion = Completion.CONVERGED
    hydria_extensions = True
    hydria_policy_protocols = frozenset({ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS})

    _settings: Settings
    _network: NetworkDriver

    def hydria_connect(self, settings: Settings, network: NetworkDriver) -> None:
        """Take what the registry has for Hydria's own drivers."""
        self._settings = settings
        self._network = network

    @cached_property
    def _compute(self) -> ComputeDriver:
        return loading.compute_driver(self._settings)

    # --- load balancers

    def create_vip_port(
        self,
        loadbalancer_id: str,
        project_id: str,  # noqa: ARG002  (octavia-lib's interface)
        vip_dictionary: VipDict,
        additional_vip_dicts: list[VipDict],
    ) -> tuple[VipDict, list[VipDict]]:
        """Make the VIP's port, or take the one that the request brings."""
        _check_values(LoadBalancer, {**vip_dictionary, "additional_vips": additional_vip_dicts})
        if not self._network.network(vip_dictionary["vip_network_id"]).port_security:
            sentence = "Port security must be enabled on the VIP network."
            raise exceptions.DriverError(user_fault_string=sentence, operator_fault_string=sentence)
        given = vip_dictionary.get("vip_port_id")
        if given:
            port = self._network.port(given)
        else:
            port = self._make_port(loadbalancer_id, vip_dictionary, additional_vip_dicts)
        on = {each.subnet_id: each.address for each in reversed(port.addresses)}
        made = {**vip_dictionary, "vip_port_id": port.id, "octavia_owned": not given}
        if not given:  # also one that was asked for: in its canonical form
            made["vip_address"] = on[vip_dictionary["vip_subnet_id"]]
        return made, [_on_port(port, on, vip) for vip in additional_vip_dicts]

    def _make_port(self, load_balancer_id: str, vip: VipDict, additional: list[VipDict]) -> Port:
        addresses = [FixedAddress(vip["vip_subnet_id"], vip.get("vip_address") or "")]
        addresses += [FixedAddress(each["subnet_id"], each.get("ip_address") or "") for each in additional]
        try:
            return self._network.create_port(
                vip["vip_network_id"],
                name=f"octavia-lb-{load_balancer_id}",
                owner=f"lb-{load_balancer_id}",
                addresses=addresses,
            )
        except Conflict as taken:
            raise exceptions.Conflict(user_fault_string=taken.message) from taken

    def loadbalancer_create(self, loadbalancer: Any) -> None:
        _check(loadbalancer, *objects.below(loadbalancer))

    def loadbalancer_delete(self, loadbalancer: Any, cascade: bool = False) -> None:
        """Workers do it."""

    def loadbalancer_failover(self, loadbalancer_id: str) -> None:
        """Workers do it."""

    def loadbalancer_update(self, old_loadbalancer: Any, new_loadbalancer: Any) -> None:  # noqa: ARG002
        _check(new_loadbalancer)

    # --- listeners

    def listener_create(self, listener: Any) -> None:
        _check(listener)

    def listener_delete(self, listener: Any) -> None:
        """Workers do it."""

    def listener_update(self, old_listener: Any, new_listener: Any) -> None:  # noqa: ARG002
        _check(new_listener)

    # --- pools

    def pool_create(self, pool: Any) -> None:
        _check(pool, *objects.below(pool))

    def pool_delete(self, pool: Any) -> None:
        """Workers do it."""

    def pool_update(self, old_pool: Any, new_pool: Any) -> None:  # noqa: ARG002
        _check(new_pool)

    # --- members

    def member_create(self, member: Any) -> None:
        _check(member)

    def member_delete(self, member: Any) -> None:
        """Workers do it."""

    def member_update(self, old_member: Any, new_member: Any) -> None:  # noqa: ARG002
        _check(new_member)

    def member_batch_update(self, pool_id: str, members: list[Any]) -> None:  # noqa: ARG002
        _check(*members)

    # --- health monitors

    def health_monitor_create(self, healthmonitor: Any) -> None:
        _check(healthmonitor)

    def health_monitor_delete(self, healthmonitor: Any) -> None:
        """Workers do it."""

    def health_monitor_update(self, old_healthmonitor: Any, new_healthmonitor: Any) -> None:  # noqa: ARG002
        _check(new_healthmonitor)

    # --- flavors and availability zones

    def get_supported_flavor_metadata(self) -> dict[str, str]:
        return dict(capabilities.FLAVOR)

    def validate_flavor(self, flavor_metadata: dict[str, Any]) -> None:
        _refuse(capabilities.flavor_refusal(flavor_metadata, self._compute, self._network))

    def get_supported_availability_zone_metadata(self) -> dict[str, str]:
        return dict(capabilities.AVAILABILITY_ZONE)

    def validate_availability_zone(self, availability_zone_metadata: dict[str, Any]) -> None:
        _refuse(capabilities.zone_refusal(availability_zone_metadata, self._compute, self._network))

    # --- L7 policies and rules

    def l7policy_create(self, l7policy: Any) -> None:
        _check(l7policy, *objects.below(l7policy))

    def l7policy_delete(self, l7policy: Any) -> None:
        """Workers do it."""

    def l7policy_update(self, old_l7policy: Any, new_l7policy: Any) -> None:  # noqa: ARG002
        _check(new_l7policy)

    def l7rule_create(self, l7rule: Any) -> None:
        _check(l7rule)

    def l7rule_delete(self, l7rule: Any) -> None:
        """Workers do it."""

    def l7rule_update(self, old_l7rule: Any, new_l7rule: Any) -> None:  # noqa: ARG002
        _check(new_l7rule)


def _on_port(port: Port, on: Mapping[str, str], vip: VipDict) -> VipDict:
    """An additional VIP with the address that the port has in its subnet."""
    address = on.get(vip["subnet_id"])
    if address is None:
        _refuse(f"The VIP port {port.id} has no address in subnet {vip['subnet_id']}; give it one first.")
    return {**vip, "ip_address": address, "port_id": port.id}


def _check(*asked: Any) -> None:
    for each in asked:
        _check_values(*objects.values_of(each))


def _check_values(resource: type[Resource], values: Mapping[str, object]) -> None:
    _refuse(support.unsupported(resource, values))


def _refuse(sentence: str | None) -> None:
    if sentence:
        raise exceptions.UnsupportedOptionError(user_fault_string=sentence, operator_fault_string=sentence)
