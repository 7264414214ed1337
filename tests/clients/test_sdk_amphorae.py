"""openstacksdk against a running Hydria: amphorae and failover."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.load_balancer.v2._proxy import Proxy
from openstack.load_balancer.v2.load_balancer import LoadBalancer

from tests.clients.served import NOBODY, QUIET, SUBNET, settled
from tests.system.deployment import wait_for

pytestmark = [pytest.mark.system, QUIET]


@pytest.fixture
def balancer(sdk: Proxy) -> Iterator[LoadBalancer]:
    made = sdk.create_load_balancer(name="with-amphorae", vip_subnet_id=SUBNET)
    yield settled(sdk, made)
    sdk.delete_load_balancer(made, cascade=True)
    sdk.wait_for_delete(made, interval=0.05, wait=20)


def test_amphorae(sdk: Proxy, balancer: LoadBalancer) -> None:
    (amphora,) = sdk.amphorae(loadbalancer_id=balancer.id)
    assert (amphora.status, amphora.role, amphora.loadbalancer_id) == ("ALLOCATED", "STANDALONE", balancer.id)
    assert sdk.get_amphora(amphora.id).to_dict() == amphora.to_dict()
    assert sdk.find_amphora(amphora.id).id == amphora.id
    assert sdk.find_amphora(NOBODY) is None
    assert [each.id for each in sdk.amphorae(status="ALLOCATED", lb_network_ip=amphora.lb_network_ip)] == [
        amphora.id
    ]
    sdk.configure_amphora(amphora.id)
    settled(sdk, sdk.get_load_balancer(balancer.id))
    sdk.failover_amphora(amphora.id)
    wait_for(lambda: replaced(sdk, balancer, amphora.id), 20, "another amphora")
    settled(sdk, sdk.get_load_balancer(balancer.id))
    (second,) = sdk.amphorae(loadbalancer_id=balancer.id, status="ALLOCATED")
    sdk.failover_load_balancer(balancer.id)
    wait_for(lambda: replaced(sdk, balancer, second.id), 20, "another amphora")
    settled(sdk, sdk.get_load_balancer(balancer.id))
    with pytest.raises(exceptions.NotFoundException):
        sdk.failover_load_balancer(NOBODY)


def replaced(sdk: Proxy, balancer: LoadBalancer, amphora_id: str) -> bool:
    """Whether others than this amphora serve the load balancer, and it is gone."""
    found = [each.id for each in sdk.amphorae(loadbalancer_id=balancer.id)]
    return bool(found) and amphora_id not in found
