"""Steps on a load balancer's VIP."""

from __future__ import annotations

from collections.abc import Sequence

from hydria.drivers.network.interface import FixedAddress
from hydria.model.load_balancer import LoadBalancer
from hydria.worker.steps.step import Step
from hydria.worker.tools import Tools


class ClaimVip(Step):
    """Have the VIP's port, which the API made; it is made again where the network has lost it."""

    def __init__(self, tools: Tools, balancer: LoadBalancer) -> None:
        super().__init__(tools, balancer.id)
        self.balancer = balancer

    def act(self) -> None:
        balancer = self.balancer
        if balancer.vip_port_owned and balancer.vip_network_id and balancer.vip_subnet_id:
            more = [
                FixedAddress(vip["subnet_id"] or "", vip.get("ip_address") or "")
                for vip in balancer.additional_vips
            ]
            self.tools.network.create_port(
                balancer.vip_network_id,
                name=f"octavia-lb-{balancer.id}",
                owner=f"lb-{balancer.id}",
                addresses=[FixedAddress(balancer.vip_subnet_id, balancer.vip_address or ""), *more],
            )


class ReleaseVip(Step):
    """Give the VIP's port back, unless it is the user's own, once nobody can answer for it any more."""

    def __init__(self, tools: Tools, balancer: LoadBalancer, *, after: Sequence[str]) -> None:
        super().__init__(tools, balancer.id, after=after)
        self.balancer = balancer

    def act(self) -> None:
        if self.balancer.vip_port_owned and self.balancer.vip_port_id:
            self.tools.network.delete_port(self.balancer.vip_port_id)
