"""The amphora provider: the desired state is in the database already, and workers converge to it.

So all that is left to do at the time of a request is to make the VIP's port, and to say what flavors and
availability zones can ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from octavia_lib.api.drivers import exceptions, provider_base

from hydria.drivers import loading
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import FixedAddress, NetworkDriver, Port
from hydria.model.errors import Conflict
from hydria.model.statuses import ListenerProtocol, PoolProtocol
from hydria.providers import capabilities, objects
from hydria.providers.registry import Completion, VipDict
from hydria.settings import Settings


class AmphoraProviderDriver(provider_base.ProviderDriver):
    """Hydria's own provider, by the same interface as everybody else's."""

    hydria_completion = Completion.CONVERGED
    hydria_extensions = True
    hydria_policy_protocols = frozenset({ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS})
    hydria_limited_protocols = hydria_policy_protocols | {ListenerProtocol.TCP, ListenerProtocol.HTTPS}
    hydria_unmixed_protocols = frozenset({PoolProtocol.UDP, PoolProtocol.SCTP})

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

    # --- flavors and availability zones

    def get_supported_flavor_metadata(self) -> dict[str, str]:
        return dict(capabilities.FLAVOR)

    def validate_flavor(self, flavor_metadata: dict[str, Any]) -> None:
        _refuse(self._flavor_refusal(flavor_metadata))

    def get_supported_availability_zone_metadata(self) -> dict[str, str]:
        return dict(capabilities.AVAILABILITY_ZONE)

    def validate_availability_zone(self, availability_zone_metadata: dict[str, Any]) -> None:
        _refuse(capabilities.zone_refusal(availability_zone_metadata, self._compute, self._network))

    def _flavor_refusal(self, flavor_metadata: dict[str, Any]) -> str:
        topologies = loading.topologies(self._settings)
        return capabilities.flavor_refusal(flavor_metadata, self._compute, self._network, topologies)

    # --- changes, which are in the database

    def _accepted(self, *arguments: Any, **named: Any) -> None:
        """Workers do it."""

    def _encrypting(self, *objects_: Any) -> None:
        """Workers do it, if amphorae speak the TLS versions of what comes last, and of all below it."""
        for item in (objects_[-1], *objects.below(objects_[-1])):
            versions = getattr(item, "tls_versions", None)
            if isinstance(versions, list):  # null, or not in the request
                _refuse(capabilities.tls_refusal(versions))

    loadbalancer_update = loadbalancer_delete = loadbalancer_failover = _accepted
    listener_delete = pool_delete = _accepted
    loadbalancer_create = listener_create = listener_update = pool_create = pool_update = _encrypting
    member_create = member_update = member_delete = member_batch_update = _accepted
    health_monitor_create = health_monitor_update = health_monitor_delete = _accepted
    l7policy_create = l7policy_update = l7policy_delete = _accepted
    l7rule_create = l7rule_update = l7rule_delete = _accepted


def _on_port(port: Port, on: Mapping[str, str], vip: VipDict) -> VipDict:
    """An additional VIP with the address that the port has in its subnet."""
    address = on.get(vip["subnet_id"])
    if address is None:
        _refuse(f"The VIP port {port.id} has no address in subnet {vip['subnet_id']}; give it one first.")
    return {**vip, "ip_address": address, "port_id": port.id}


def _refuse(sentence: str | None) -> None:
    if sentence:
        raise exceptions.UnsupportedOptionError(user_fault_string=sentence, operator_fault_string=sentence)
