"""What flavors and availability zones of the amphora provider can say, and whether it can be had here.

The keys are those of contract 4.3. Whether a value can be had is up to the drivers of this deployment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hydria.drivers.compute.interface import ComputeDriver, Selection
from hydria.drivers.network.interface import NetworkDriver
from hydria.model import kinds
from hydria.model.errors import NotFound
from hydria.model.statuses import TLSVersion, Topology

# Clients compare the descriptions with Octavia's word for word.
FLAVOR: Mapping[str, str] = {
    "loadbalancer_topology": (
        "The load balancer topology. One of: SINGLE - One amphora per load balancer."
        " ACTIVE_STANDBY - Two amphora per load balancer."
    ),
    "compute_flavor": "The compute driver flavor ID.",
    "amp_image_tag": "The amphora image tag.",
    "sriov_vip": "When true, the VIP port will be created using an SR-IOV VF port.",
    "allow_member_sriov": (
        "When true, users can request a member port be SR-IOV enabled at member creation time."
    ),
}
AVAILABILITY_ZONE: Mapping[str, str] = {
    "compute_zone": "The compute availability zone.",
    "volume_zone": "The volume availability zone.",
    "management_network": "The management network ID for the amphora.",
    "valid_vip_networks": (
        "List of network IDs that are allowed for VIP use. This overrides/replaces the list of allowed"
        " networks configured in `octavia.conf`."
    ),
}

_SWITCHES = ("sriov_vip", "allow_member_sriov")
_TEXTS = ("compute_flavor", "amp_image_tag", "compute_zone", "volume_zone", "management_network")


def selection(flavor: Mapping[str, Any] | None, zone: Mapping[str, Any] | None) -> Selection:
    """What a load balancer's flavor and availability zone choose of the compute service."""
    flavor, zone = flavor or {}, zone or {}
    return Selection(
        flavor=flavor.get("compute_flavor", ""),
        image_tag=flavor.get("amp_image_tag", ""),
        zone=zone.get("compute_zone", ""),
        volume_zone=zone.get("volume_zone", ""),
    )


def flavor_refusal(
    said: Mapping[str, Any], compute: ComputeDriver, network: NetworkDriver, topologies: Collection[Topology]
) -> str:
    """Why a flavor cannot say this, as a sentence; "" when it can. topologies: what the data plane serves."""
    return next(_of_flavor(said, compute, network, topologies), "")


def zone_refusal(said: Mapping[str, Any], compute: ComputeDriver, network: NetworkDriver) -> str:
    """Why an availability zone cannot say this, as a sentence; "" when it can."""
    return next(_of_zone(said, compute, network), "")


def tls_refusal(versions: Collection[str]) -> str:
    """Why amphorae do not speak these TLS versions, as a sentence; "" when they do."""
    if TLSVersion.SSL_V3 in versions:
        return f"{TLSVersion.SSL_V3} in tls_versions: distributions build OpenSSL without it."
    places = [place for place, version in enumerate(TLSVersion) if version in versions]
    if places and places[-1] - places[0] >= len(places):
        return (
            f"tls_versions {', '.join(versions)}: HAProxy speaks a range of versions, and would leave out "
            "those below the gap."
        )
    return ""


def _of_flavor(
    said: Mapping[str, Any], compute: ComputeDriver, network: NetworkDriver, topologies: Collection[Topology]
) -> Iterator[str]:
    yield from _misspelt(said, FLAVOR)
    topology = said.get("loadbalancer_topology", Topology.SINGLE)
    if topology not in tuple(Topology):
        yield _unlike("loadbalancer_topology", topology, f"one of: {', '.join(Topology)}")
    if topology not in topologies:
        yield f"loadbalancer_topology '{topology}' is not served by the amphora data plane yet."
    if not network.sriov:
        yield from (f"{key}: the network driver has no SR-IOV." for key in _SWITCHES if said.get(key))
    yield from filter(None, [compute.refusal(selection(said, None))])


def _of_zone(said: Mapping[str, Any], compute: ComputeDriver, network: NetworkDriver) -> Iterator[str]:
    yield from _misspelt(said, AVAILABILITY_ZONE)
    networks = said.get("valid_vip_networks", [])
    if not isinstance(networks, list) or not all(isinstance(each, str) for each in networks):
        yield _unlike("valid_vip_networks", networks, "a list of network ids")
    yield from (_unknown("valid_vip_networks", each) for each in networks if not _exists(network, each))
    management = said.get("management_network", network.lb_network_id)
    if "management_network" in said and not _exists(network, management):
        yield _unknown("management_network", management)
    if network.default_vip_subnet_id is not None and management != network.lb_network_id:
        yield f"management_network: amphorae of this deployment are on {network.lb_network_id} alone."
    yield from filter(None, [compute.refusal(selection(None, said))])


def _misspelt(said: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with keys, and with values of the simple kinds."""
    for key, value in said.items():
        if key not in known:
            yield f"Unknown key '{kinds.shown(key)}'; known are: {', '.join(known)}."
        if key in _SWITCHES and not isinstance(value, bool):
            yield _unlike(key, value, "true or false")
        if key in _TEXTS and not (isinstance(value, str) and value):
            yield _unlike(key, value, "a name")


def _exists(network: NetworkDriver, network_id: str) -> bool:
    try:
        network.network(network_id)
    except NotFound:
        return False
    return True


def _unlike(key: str, value: object, expected: str) -> str:
    return f"{key} '{kinds.shown(value)}' should be {expected}."


def _unknown(key: str, network_id: str) -> str:
    return f"{key}: there is no network {kinds.shown(network_id)}."
