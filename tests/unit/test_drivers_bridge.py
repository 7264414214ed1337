"""What tenants see of the networks on this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria.drivers.network.bridge import BridgeNetworkDriver
from hydria.drivers.network.interface import Viewer
from hydria.model.errors import NotFound
from tests import driver_lab


def test_the_lb_network_is_not_the_tenants(tmp_path: Path) -> None:
    driver = BridgeNetworkDriver(driver_lab.settings(tmp_path))
    between = driver.network(driver.lb_network_id)
    view = driver.seen_by(Viewer("a project"))
    with pytest.raises(NotFound):
        view.network(between.id)
    for subnet_id in between.subnet_ids:
        assert driver.subnet(subnet_id).network_id == between.id
        with pytest.raises(NotFound):
            view.subnet(subnet_id)
    for network in driver.networks():
        assert view.network(network.id) == network
        assert [view.subnet(each).network_id for each in network.subnet_ids] == [network.id] * len(
            network.subnet_ids
        )
    assert driver.network(between.id) == between
