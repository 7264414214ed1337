"""Steps on a load balancer's VIP."""

from __future__ import annotations

from hydria.model.load_balancer import LoadBalancer
from hydria.worker.steps.step import Step
from hydria.worker.tools import Tools


class ReleaseVip(Step):
    """Give the VIP's port back, unless it is the user's own."""

    def __init__(self, tools: Tools, balancer: LoadBalancer) -> None:
        super().__init__(tools, balancer.id)
        self.balancer = balancer

    def execute(self) -> None:
        if self.balancer.vip_port_owned and self.balancer.vip_port_id:
            self.tools.network.delete_port(self.balancer.vip_port_id)
