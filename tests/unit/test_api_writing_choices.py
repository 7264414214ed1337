"""Load balancers with a flavor or in an availability zone (contract 1.9, 1.18, 4.3)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from octavia_lib.api.drivers import data_models

from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.errors import Conflict, Invalid, Unsupported
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.statuses import Topology
from hydria.store import rows
from tests.databases import new_store
from tests.unit.api_writing import GRAPH, Api, everything

VALIDATION = "Validation failure: "
NOT_ALLOWED = f"{VALIDATION}Supplied VIP network_id is not allowed by the configuration of this deployment."


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(new_store(tmp_path))
    yield made
    made.store.close()


def flavor(api: Api, provider: str = "noop_driver", *, name: str = "gold", **said: Any) -> str:
    """The id of a new flavor that says this."""
    profile = api.create(FlavorProfile, name="p", provider_name=provider, flavor_data=json.dumps(said))
    return str(api.create(Flavor, name=name, flavor_profile_id=profile["id"])["id"])


def zone(api: Api, provider: str = "noop_driver", *, name: str = "az1", **said: Any) -> str:
    """The name of a new availability zone that says this."""
    profile = api.create(
        AvailabilityZoneProfile, name="p", provider_name=provider, availability_zone_data=json.dumps(said)
    )
    return str(api.create(AvailabilityZone, name=name, availability_zone_profile_id=profile["id"])["name"])


def test_the_flavor_names_the_provider(api: Api) -> None:
    gold = flavor(api, color="red")
    made = api.create(LoadBalancer, flavor_id=gold)
    assert (made["provider"], made["flavor_id"]) == ("noop_driver", gold)
    assert api.create(LoadBalancer, flavor_id=gold, provider="noop_driver")["provider"] == "noop_driver"
    message = f"Flavor '{gold}' is not compatible with provider 'amphora'"
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, flavor_id=gold, provider="amphora")


def test_what_is_not_offered(api: Api) -> None:
    gold, place = flavor(api), zone(api)
    api.update(Flavor, gold, enabled=False)
    api.update(AvailabilityZone, place, enabled=False)
    with api.unchanged(Invalid, f"The selected flavor is not allowed in this deployment: {gold}"):
        api.create(LoadBalancer, flavor_id=gold)
    with api.unchanged(Invalid, f"The selected availability_zone is not allowed in this deployment: {place}"):
        api.create(LoadBalancer, availability_zone=place)
    with api.unchanged(Invalid, " is not a valid option for availability_zone"):
        api.create(LoadBalancer, availability_zone="")
    api.update(Flavor, gold, enabled=True)
    assert api.create(LoadBalancer, flavor_id=gold)["flavor_id"] == gold


def test_what_a_load_balancer_has_stays(api: Api) -> None:
    gold, place = flavor(api), zone(api)
    made = api.create(LoadBalancer, flavor_id=gold, availability_zone=place)["id"]
    with api.unchanged(Conflict, f"Flavor {gold} is in use and cannot be modified."):
        api.delete(Flavor, gold)
    with api.unchanged(Conflict, f"Availability Zone {place} is in use and cannot be modified."):
        api.delete(AvailabilityZone, place)
    api.delete(LoadBalancer, made)  # its row stays for some days, DELETED
    api.delete(Flavor, gold)
    api.delete(AvailabilityZone, place)


def test_a_zone_that_was_made_anew_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VIP was chosen by what the zone said before."""
    place = zone(api, valid_vip_networks=[])
    resolve = api.network.subnet

    def subnet(identifier: str) -> Any:
        if json.loads(api.all_of(AvailabilityZoneProfile)[0].availability_zone_data):
            api.delete(AvailabilityZone, place)
            (profile,) = api.all_of(AvailabilityZoneProfile)
            api.update(AvailabilityZoneProfile, profile.id, availability_zone_data="{}")
            api.create(AvailabilityZone, name=place, availability_zone_profile_id=profile.id)
        return resolve(identifier)

    monkeypatch.setattr(api.network, "subnet", subnet)
    with pytest.raises(Conflict, match="Availability Zone az1 has just been changed"):
        api.create(LoadBalancer, availability_zone=place)
    assert api.all(LoadBalancer) == ()
    assert list(api.network.ports()) == []


def test_the_provider_is_shown_what_they_say(api: Api) -> None:
    gold, place = flavor(api, color="red", depth={"a": [1]}), zone(api, compute_zone="x")
    api.noop.calls.clear()
    made = api.create(LoadBalancer, flavor_id=gold, availability_zone=place, **GRAPH)["id"]
    api.update(LoadBalancer, made, name="n")
    api.delete(LoadBalancer, made, cascade=True)
    seen = {method: arguments[0] for method, arguments in api.noop.calls}
    for method in ("loadbalancer_create", "loadbalancer_update", "loadbalancer_delete"):
        assert seen[method].flavor == {"color": "red", "depth": {"a": [1]}}
        assert seen[method].availability_zone == {"compute_zone": "x"}
    plain = api.create(LoadBalancer, provider="noop_driver")["id"]
    assert api.noop.calls[-1][1][0].flavor is data_models.Unset
    assert api.get(LoadBalancer, plain).vip_vnic_type == "normal"


def test_the_topology_is_the_flavors(api: Api) -> None:
    made = api.create(LoadBalancer, flavor_id=flavor(api, loadbalancer_topology="ACTIVE_STANDBY"))
    assert api.get(LoadBalancer, made["id"]).topology is Topology.ACTIVE_STANDBY
    made = api.create(LoadBalancer, flavor_id=flavor(api, name="odd", loadbalancer_topology=["RING"]))
    assert api.get(LoadBalancer, made["id"]).topology is Topology.SINGLE


def test_the_zones_networks_replace_the_configured_ones(api: Api) -> None:
    (here,) = api.network.networks()
    elsewhere = api.network.add_network("203.0.113.0/24")  # type: ignore[attr-defined]  # a fake one
    api.networking(valid_vip_networks=(here.id,))
    place = zone(api, valid_vip_networks=[elsewhere.id])
    with api.unchanged(Invalid, NOT_ALLOWED):
        api.create(LoadBalancer, vip_network_id=elsewhere.id)
    with api.unchanged(Invalid, NOT_ALLOWED):
        api.create(LoadBalancer, vip_network_id=here.id, availability_zone=place)
    made = api.create(LoadBalancer, vip_network_id=elsewhere.id, availability_zone=place)
    assert made["vip_network_id"] == elsewhere.id
    api.networking(denylist_vip_networks=(elsewhere.id,))
    with api.unchanged(Invalid, NOT_ALLOWED):
        api.create(LoadBalancer, vip_network_id=elsewhere.id, availability_zone=place)


def test_a_zone_in_another_providers_words(api: Api) -> None:
    place = zone(api, "noop_driver", color="red")
    message = (
        "Provider 'amphora' does not support a requested option: Unknown key 'color'; known are:"
        " compute_zone, volume_zone, management_network, valid_vip_networks."
    )
    with api.unchanged(Unsupported, message):
        api.create(LoadBalancer, availability_zone=place)
    plain = zone(api, "noop_driver", name="az2", valid_vip_networks=[])
    assert api.create(LoadBalancer, availability_zone=plain)["provider"] == "amphora"


def test_a_vip_on_a_virtual_function(api: Api) -> None:
    direct = flavor(api, sriov_vip=True)
    made = api.create(LoadBalancer, flavor_id=direct)
    assert made["vip_vnic_type"] == "direct"
    group = "11111111-2222-4333-8444-555555555555"
    api.network.security_groups.add(group)
    with api.unchanged(Invalid, f"{VALIDATION}VIP Security Groups are not allowed with VNIC direct type"):
        api.update(LoadBalancer, made["id"], vip_sg_ids=[group])
    api.update(LoadBalancer, made["id"], vip_sg_ids=[])
    with api.unchanged(Invalid, f"{VALIDATION}VIP Security Groups are not allowed with VNIC direct type"):
        api.create(LoadBalancer, flavor_id=direct, vip_sg_ids=[group])


def test_members_on_virtual_functions(api: Api) -> None:
    member = {"address": "192.0.2.9", "protocol_port": 80, "request_sriov": True}
    refusal = "The load balancer flavor does not allow SR-IOV member ports."
    for said, allowed in (
        ({}, False),
        ({"allow_member_sriov": False}, False),
        ({"allow_member_sriov": True}, True),
    ):
        ids = everything(api, flavor_id=flavor(api, name=f"{said}", **said))
        graph = {"pools": [{**GRAPH["pools"][0], "members": [member]}]}
        flavor_id = api.get(LoadBalancer, ids["load_balancers"]).flavor_id
        if not allowed:
            with api.unchanged(Invalid, refusal):
                api.create(Member, ids["pools"], **member)
            with api.unchanged(Invalid, refusal):
                api.batch(ids["pools"], member)
            with api.unchanged(Invalid, refusal):
                api.create(LoadBalancer, flavor_id=flavor_id, **graph)
            continue
        made = api.create(Member, ids["pools"], **member)
        assert made["vnic_type"] == "direct"
        assert "request_sriov" not in made
        assert api.noop.calls[-1][1][0].vnic_type == "direct"
        api.batch(ids["pools"], {**member, "address": "192.0.2.10"}, {**member, "request_sriov": False})
        kinds = {each.address: each.vnic_type for each in api.all(Member) if each.pool_id == ids["pools"]}
        assert (kinds["192.0.2.9"], kinds["192.0.2.10"]) == ("direct", "direct")
        full = api.create(LoadBalancer, flavor_id=flavor_id, **graph)
        assert full["pools"][0]["members"][0]["vnic_type"] == "direct"


def test_who_chooses_nothing_pays_nothing(api: Api) -> None:
    with api.statements() as seen:
        made = api.create(LoadBalancer, provider="noop_driver")
        api.update(LoadBalancer, made["id"], name="n")
        api.delete(LoadBalancer, made["id"])
    assert not [each for each in seen if "flavors" in each or "availability_zones" in each]


def test_rows_of_offers_come_back(api: Api) -> None:
    gold = flavor(api, color="ö")
    with api.store.read() as tx:
        found = rows.load_one(tx, Flavor, gold)
        assert found is not None
        profile = rows.load_one(tx, FlavorProfile, found.profile_id)
    assert profile is not None
    assert json.loads(profile.data) == {"color": "ö"}
