"""openstacksdk against a running Hydria: what operators have; providers, flavors, availability zones."""

from __future__ import annotations

import pytest
from openstack import exceptions
from openstack.load_balancer.v2._proxy import Proxy

from tests.clients.served import QUIET, SUBNET

pytestmark = [pytest.mark.system, QUIET]


def test_providers(sdk: Proxy) -> None:
    described = {each.name: each.description for each in sdk.providers()}
    assert described == {"amphora": "The amphora provider", "noop_driver": "Does nothing"}
    assert [each.name for each in sdk.providers(name="amphora")] == ["amphora"]
    capabilities = {each.name: each.description for each in sdk.provider_flavor_capabilities("amphora")}
    assert {"loadbalancer_topology", "compute_flavor", "amp_image_tag"} <= set(capabilities)
    assert all(capabilities.values())
    (one,) = sdk.provider_flavor_capabilities("amphora", name="compute_flavor")
    assert one.name == "compute_flavor"
    with pytest.raises(exceptions.BadRequestException, match="Provider 'nobody' is not enabled"):
        list(sdk.provider_flavor_capabilities("nobody"))


def test_flavors(sdk: Proxy) -> None:
    profile = sdk.create_flavor_profile(
        name="fp-sdk", provider_name="amphora", flavor_data='{"loadbalancer_topology": "SINGLE"}'
    )
    assert (profile.provider_name, profile.flavor_data) == ("amphora", '{"loadbalancer_topology": "SINGLE"}')
    assert sdk.get_flavor_profile(profile.id).to_dict() == profile.to_dict()
    assert sdk.find_flavor_profile("fp-sdk").id == profile.id
    assert [each.id for each in sdk.flavor_profiles(provider_name="amphora", name="fp-sdk")] == [profile.id]

    flavor = sdk.create_flavor(name="f-sdk", description="d", flavor_profile_id=profile.id)
    assert (flavor.is_enabled, flavor.flavor_profile_id) == (True, profile.id)
    assert sdk.get_flavor(flavor.id).to_dict() == flavor.to_dict()
    assert sdk.find_flavor("f-sdk").id == flavor.id
    assert [each.id for each in sdk.flavors(flavor_profile_id=profile.id, is_enabled=True)] == [flavor.id]
    with pytest.raises(exceptions.ConflictException, match="A flavor of f-sdk already exists"):
        sdk.create_flavor(name="f-sdk", flavor_profile_id=profile.id)
    with pytest.raises(exceptions.ConflictException, match="is in use and cannot be modified"):
        sdk.delete_flavor_profile(profile)

    balancer = sdk.create_load_balancer(name="flavored", vip_subnet_id=SUBNET, flavor_id=flavor.id)
    assert balancer.flavor_id == flavor.id
    assert [each.id for each in sdk.load_balancers(flavor_id=flavor.id)] == [balancer.id]
    with pytest.raises(exceptions.ConflictException, match="is in use and cannot be modified"):
        sdk.delete_flavor(flavor)
    sdk.wait_for_load_balancer(balancer.id, interval=0.05, wait=20)
    sdk.delete_load_balancer(balancer)
    sdk.wait_for_delete(balancer, interval=0.05, wait=20)

    changed = sdk.update_flavor(flavor, name="g-sdk", is_enabled=False)
    assert (changed.name, changed.is_enabled) == ("g-sdk", False)
    with pytest.raises(exceptions.BadRequestException, match="not allowed in this deployment"):
        sdk.create_load_balancer(vip_subnet_id=SUBNET, flavor_id=flavor.id)
    sdk.delete_flavor(flavor)
    assert sdk.find_flavor("g-sdk") is None
    assert sdk.update_flavor_profile(profile, name="gp-sdk").name == "gp-sdk"
    sdk.delete_flavor_profile(profile)
    assert sdk.find_flavor_profile("gp-sdk") is None


def test_a_noop_data_plane_serves_pairs(sdk: Proxy) -> None:
    profile = sdk.create_flavor_profile(
        name="fp-pair", provider_name="amphora", flavor_data='{"loadbalancer_topology": "ACTIVE_STANDBY"}'
    )
    flavor = sdk.create_flavor(name="f-pair", flavor_profile_id=profile.id)
    balancer = sdk.create_load_balancer(name="pair", vip_subnet_id=SUBNET, flavor_id=flavor.id)
    assert balancer.updated_at is None
    active = sdk.wait_for_load_balancer(balancer.id, interval=0.05, wait=20)
    assert active.updated_at >= active.created_at, "clients parse it"
    pair = list(sdk.amphorae(loadbalancer_id=balancer.id))
    assert {(amphora.role, amphora.status) for amphora in pair} == {
        ("MASTER", "ALLOCATED"), ("BACKUP", "ALLOCATED")
    }  # fmt: skip
    sdk.delete_load_balancer(balancer)
    sdk.wait_for_delete(balancer, interval=0.05, wait=20)
    sdk.delete_flavor(flavor)
    sdk.delete_flavor_profile(profile)


def test_availability_zones(sdk: Proxy) -> None:
    profile = sdk.create_availability_zone_profile(
        name="azp-sdk", provider_name="amphora", availability_zone_data='{"compute_zone": "nova"}'
    )
    assert sdk.get_availability_zone_profile(profile.id).to_dict() == profile.to_dict()
    assert sdk.find_availability_zone_profile("azp-sdk").id == profile.id
    found = sdk.availability_zone_profiles(name="azp-sdk", provider_name="amphora")
    assert [each.id for each in found] == [profile.id]

    zone = sdk.create_availability_zone(
        name="az-sdk", description="d", availability_zone_profile_id=profile.id, is_enabled=True
    )
    assert (zone.name, zone.is_enabled, zone.availability_zone_profile_id) == ("az-sdk", True, profile.id)
    assert sdk.get_availability_zone("az-sdk").description == "d"
    assert sdk.find_availability_zone("az-sdk").availability_zone_profile_id == profile.id
    assert [each.name for each in sdk.availability_zones(is_enabled=True, name="az-sdk")] == ["az-sdk"]
    for name in ("az-sdk-2", "az-sdk-3"):
        sdk.create_availability_zone(name=name, availability_zone_profile_id=profile.id)
    # Not with a limit: this version of the SDK never ends there, for want of an id to go on from.
    found = sdk.availability_zones(availability_zone_profile_id=profile.id)
    assert sorted(each.name for each in found) == ["az-sdk", "az-sdk-2", "az-sdk-3"]
    with pytest.raises(exceptions.ConflictException, match="is in use and cannot be modified"):
        sdk.delete_availability_zone_profile(profile)

    balancer = sdk.create_load_balancer(vip_subnet_id=SUBNET, availability_zone="az-sdk")
    assert balancer.availability_zone == "az-sdk"
    assert [each.id for each in sdk.load_balancers(availability_zone="az-sdk")] == [balancer.id]
    sdk.wait_for_load_balancer(balancer.id, interval=0.05, wait=20)
    sdk.delete_load_balancer(balancer)
    sdk.wait_for_delete(balancer, interval=0.05, wait=20)

    changed = sdk.update_availability_zone("az-sdk", description="other", is_enabled=False)
    assert (changed.description, changed.is_enabled) == ("other", False)
    for name in ("az-sdk", "az-sdk-2", "az-sdk-3"):
        sdk.delete_availability_zone(name)
    assert sdk.find_availability_zone("az-sdk") is None
    assert sdk.update_availability_zone_profile(profile, name="other").name == "other"
    sdk.delete_availability_zone_profile(profile)
    assert sdk.find_availability_zone_profile("other") is None
