"""What the drivers of a deployment let flavors and availability zones of the amphora provider say."""

import pytest

from hydria.drivers import loading
from hydria.drivers.compute.interface import Selection
from hydria.drivers.compute.netns import NetnsComputeDriver
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.errors import Invalid
from hydria.model.statuses import Topology
from hydria.providers.capabilities import flavor_refusal, selection, zone_refusal
from hydria.settings import NetnsSettings, Settings, WorkerSettings
from tests.unit.api_writing import embedded_network

SETTINGS = Settings(netns=NetnsSettings(compute_flavors={"small": "64/0.5"}))
NOOP = (NoopComputeDriver(SETTINGS), NoopNetworkDriver(SETTINGS))
BOTH, ONE = frozenset(Topology), frozenset({Topology.SINGLE})
NETWORK = "5d0ed0a6-6d0c-4f6f-a0a8-2f9d5c1f7a11"


def test_noop_drivers_have_all_that_can_be_said() -> None:
    flavor = {
        "loadbalancer_topology": "ACTIVE_STANDBY", "compute_flavor": "any", "amp_image_tag": "any", "sriov_vip": True,
        "allow_member_sriov": True,
    }  # fmt: skip
    assert flavor_refusal(flavor, *NOOP, BOTH) == flavor_refusal({}, *NOOP, BOTH) == ""
    zone = {
        "compute_zone": "any", "volume_zone": "any", "management_network": NETWORK,
        "valid_vip_networks": [NETWORK, "any"],
    }  # fmt: skip
    assert zone_refusal(zone, *NOOP) == zone_refusal({}, *NOOP) == ""
    assert selection(flavor, zone) == Selection("any", "any", "any", "any")
    assert selection(None, None) == Selection()


def test_one_host_has_sizes_and_its_own_networks() -> None:
    network = embedded_network()
    (vip,) = network.networks()
    drivers = (NetnsComputeDriver(SETTINGS), network)
    assert flavor_refusal({"compute_flavor": "small", "sriov_vip": False}, *drivers, ONE) == ""
    assert "[netns] compute_flavors: small." in flavor_refusal({"compute_flavor": "big"}, *drivers, ONE)
    assert zone_refusal({"valid_vip_networks": [vip.id]}, *drivers) == ""
    refusal = zone_refusal({"management_network": vip.id}, *drivers)
    assert refusal == f"management_network: amphorae of this deployment are on {network.lb_network_id} alone."


def test_the_data_plane_decides_which_topologies_there_are() -> None:
    pair = {"loadbalancer_topology": "ACTIVE_STANDBY"}
    refusal = "loadbalancer_topology 'ACTIVE_STANDBY' is not served by the amphora data plane yet."
    assert flavor_refusal(pair, *NOOP, ONE) == refusal
    for driver, refused in (("amphora_haproxy_rest_driver", True), ("amphora_noop_driver", False)):
        worker = WorkerSettings(amphora_driver=driver, loadbalancer_topology="ACTIVE_STANDBY")
        settings = Settings(controller_worker=worker)
        assert flavor_refusal(pair, *NOOP, loading.topologies(settings)) == (refusal if refused else "")
        if refused:
            with pytest.raises(Invalid, match="loadbalancer_topology = ACTIVE_STANDBY: the amphora driver"):
                loading.check(settings)
        else:
            loading.check(settings)


@pytest.mark.parametrize("value", [None, "", 0, [], {}, True])
@pytest.mark.parametrize("key", ["compute_flavor", "amp_image_tag"])
def test_names_are_names(key: str, value: object) -> None:
    assert "should be a name." in flavor_refusal({key: value}, *NOOP, BOTH)


@pytest.mark.parametrize("value", [None, "", 0, [[]], {"a": 1}])
def test_zones_of_odd_shapes(value: object) -> None:
    for key in ("compute_zone", "management_network", "valid_vip_networks"):
        assert f"{key} " in zone_refusal({key: value}, *NOOP)
