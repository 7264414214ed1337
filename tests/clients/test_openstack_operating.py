"""``openstack loadbalancer``: what operators have; providers, flavors, availability zones."""

from __future__ import annotations

import pytest
from octaviaclient.osc.v2 import constants

from tests.clients.openstack_client import Openstack
from tests.clients.served import QUIET
from tests.clients.test_openstack_balancing import names

pytestmark = [pytest.mark.system, QUIET]


def test_providers(cli: Openstack) -> None:
    assert cli("loadbalancer provider list") == [
        {"name": "amphora", "description": "The amphora provider"},
        {"name": "noop_driver", "description": "Does nothing"},
    ]
    everything = cli("loadbalancer provider capability list", "amphora")
    assert all(set(each) == {"type", "name", "description"} for each in everything)
    flavor = cli("loadbalancer provider capability list", "--flavor", "amphora")
    zone = cli("loadbalancer provider capability list", "--availability-zone", "amphora")
    assert flavor + zone == everything
    assert {each["type"] for each in flavor} == {"flavor"}
    assert "loadbalancer_topology" in {each["name"] for each in flavor}
    assert "compute_zone" in {each["name"] for each in zone}


def test_flavors(cli: Openstack) -> None:
    data = '{"loadbalancer_topology": "SINGLE"}'
    profile = cli(
        "loadbalancer flavorprofile create",
        "--name",
        "cli-fp",
        "--provider",
        "amphora",
        "--flavor-data",
        data,
    )
    assert profile == {"id": profile["id"], "name": "cli-fp", "provider_name": "amphora", "flavor_data": data}
    assert cli("loadbalancer flavorprofile show", "cli-fp") == profile
    (listed,) = cli("loadbalancer flavorprofile list", "--name", "cli-fp", "--provider", "amphora")
    assert listed == {key: profile[key] for key in constants.FLAVORPROFILE_COLUMNS}
    flavor = cli(
        "loadbalancer flavor create",
        "--name",
        "cli-f",
        "--flavorprofile",
        "cli-fp",
        "--description",
        "d",
        "--enable",
    )
    assert flavor == {
        "id": flavor["id"], "name": "cli-f", "description": "d", "enabled": True, "flavor_profile_id": profile["id"],
    }  # fmt: skip
    assert cli("loadbalancer flavor show", "cli-f") == flavor
    (listed,) = cli("loadbalancer flavor list", "--name", "cli-f", "--flavorprofile", "cli-fp", "--enable")
    assert listed == {key: flavor[key] for key in constants.FLAVOR_COLUMNS}
    made = cli(
        "loadbalancer create", "--name", "cli-flavored", "--vip-subnet-id", "subnet", "--flavor", "cli-f"
    )
    assert made["flavor_id"] == flavor["id"]
    cli.settled("cli-flavored")
    assert names(cli("loadbalancer list", "--flavor", "cli-f")) == ["cli-flavored"]
    assert "is in use and cannot be modified" in cli.refused("loadbalancer flavor delete", "cli-f")
    cli("loadbalancer delete", "cli-flavored")
    cli.gone("/loadbalancers?name=cli-flavored")
    cli("loadbalancer flavor set", "--name", "cli-f2", "--description", "other", "--disable", "cli-f")
    shown = cli("loadbalancer flavor show", "cli-f2")
    assert (shown["description"], shown["enabled"]) == ("other", False)
    cli("loadbalancer flavor unset", "--description", "cli-f2")
    assert cli("loadbalancer flavor show", "cli-f2")["description"] == ""
    cli("loadbalancer flavor delete", "cli-f2")
    cli(
        "loadbalancer flavorprofile set", "--name", "cli-fp2", "--provider", "noop_driver", "--flavor-data", "{}",
        "cli-fp",
    )  # fmt: skip
    shown = cli("loadbalancer flavorprofile show", "cli-fp2")
    assert (shown["provider_name"], shown["flavor_data"]) == ("noop_driver", "{}")
    cli("loadbalancer flavorprofile delete", "cli-fp2")
    assert "cli-fp2" not in names(cli("loadbalancer flavorprofile list"))


def test_availability_zones(cli: Openstack) -> None:
    data = '{"compute_zone": "nova"}'
    profile = cli(
        "loadbalancer availabilityzoneprofile create", "--name", "cli-azp", "--provider", "amphora",
        "--availability-zone-data", data,
    )  # fmt: skip
    assert profile == {
        "id": profile["id"], "name": "cli-azp", "provider_name": "amphora", "availability_zone_data": data,
    }  # fmt: skip
    assert cli("loadbalancer availabilityzoneprofile show", "cli-azp") == profile
    (listed,) = cli("loadbalancer availabilityzoneprofile list", "--name", "cli-azp", "--provider", "amphora")
    assert listed == {key: profile[key] for key in constants.AVAILABILITYZONEPROFILE_COLUMNS}
    zone = cli(
        "loadbalancer availabilityzone create", "--name", "cli-az", "--availabilityzoneprofile", "cli-azp",
        "--description", "d", "--enable",
    )  # fmt: skip
    assert zone == {
        "name": "cli-az", "description": "d", "enabled": True, "availability_zone_profile_id": profile["id"],
    }  # fmt: skip
    assert cli("loadbalancer availabilityzone show", "cli-az") == zone
    (listed,) = cli(
        "loadbalancer availabilityzone list",
        "--name",
        "cli-az",
        "--availabilityzoneprofile",
        "cli-azp",
        "--enable",
    )
    assert listed == {key: zone[key] for key in constants.AVAILABILITYZONE_COLUMNS}
    made = cli(
        "loadbalancer create",
        "--name",
        "cli-zoned",
        "--vip-subnet-id",
        "subnet",
        "--availability-zone",
        "cli-az",
    )
    assert made["availability_zone"] == "cli-az"
    cli.settled("cli-zoned")
    assert names(cli("loadbalancer list", "--availability-zone", "cli-az")) == ["cli-zoned"]
    cli("loadbalancer delete", "cli-zoned")
    cli.gone("/loadbalancers?name=cli-zoned")
    cli("loadbalancer availabilityzone set", "--description", "other", "--disable", "cli-az")
    shown = cli("loadbalancer availabilityzone show", "cli-az")
    assert (shown["description"], shown["enabled"]) == ("other", False)
    cli("loadbalancer availabilityzone unset", "--description", "cli-az")
    assert cli("loadbalancer availabilityzone show", "cli-az")["description"] == ""
    cli("loadbalancer availabilityzone delete", "cli-az")
    cli(
        "loadbalancer availabilityzoneprofile set", "--name", "cli-azp2", "--provider", "noop_driver",
        "--availability-zone-data", "{}", "cli-azp",
    )  # fmt: skip
    assert cli("loadbalancer availabilityzoneprofile show", "cli-azp2")["provider_name"] == "noop_driver"
    cli("loadbalancer availabilityzoneprofile delete", "cli-azp2")
    assert "cli-azp2" not in names(cli("loadbalancer availabilityzoneprofile list"))
