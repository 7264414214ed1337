"""The load balancer: the root of a tree, and the owner of the VIP (contract 1.9)."""

# ruff: noqa: RUF012  (msgspec gives each object a copy of a mutable default)

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.extensions import FLOW_LOGS
from hydria.model.resource import (
    IDENTIFIER,
    TEXT,
    Attribute,
    Configured,
    Resource,
    extended,
    internal,
)
from hydria.model.statuses import Topology, VnicType

ADDITIONAL_VIP = kinds.Record(
    {"subnet_id": IDENTIFIER, "ip_address": kinds.Address(), "port_id": IDENTIFIER}, required=("subnet_id",)
)


class LoadBalancer(Resource, frozen=True, kw_only=True):
    """A VIP and everything behind it.

    ``generation`` counts the changes of the whole tree, ``applied_generation`` is the last one that all
    amphorae have confirmed: the load balancer converges while the two differ.
    """

    root: ClassVar[str] = "loadbalancer"
    plural: ClassVar[str] = "loadbalancers"
    label: ClassVar[str] = "Load Balancer"
    argument: ClassVar[str] = "load_balancer"
    table: ClassVar[str] = "load_balancers"
    children: ClassVar[tuple[str, ...]] = ("listeners", "pools")

    name: Annotated[str, TEXT] = ""
    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    vip_subnet_id: Annotated[str | None, Attribute(kind=IDENTIFIER, update=False)] = None
    vip_network_id: Annotated[str | None, Attribute(kind=IDENTIFIER, update=False)] = None
    vip_port_id: Annotated[str | None, Attribute(kind=IDENTIFIER, update=False)] = None
    vip_address: Annotated[str | None, Attribute(kind=kinds.Address(), update=False)] = None
    vip_qos_policy_id: Annotated[str | None, Attribute(kind=IDENTIFIER, null=None)] = None
    vip_sg_ids: Annotated[
        list[str],
        Attribute(kind=kinds.ListOf(IDENTIFIER), default=[], listed=False, since="v2.29"),
    ] = []
    vip_vnic_type: Annotated[VnicType, internal(kinds.Choice(VnicType), default=VnicType.NORMAL)] = (
        VnicType.NORMAL
    )
    additional_vips: Annotated[
        list[dict[str, str | None]],
        Attribute(kind=kinds.ListOf(ADDITIONAL_VIP), update=False, default=[], listed=False, since="v2.26"),
    ] = []
    # Whether Hydria made the VIP's port, and so removes it with the load balancer.
    vip_port_owned: Annotated[bool, internal(kinds.Boolean(), shown=False, listed=False)] = True
    provider: Annotated[
        str,
        Attribute(
            kind=kinds.Text(64), update=False, default=Configured("default_provider_driver"), provider=None
        ),
    ] = ""
    flavor_id: Annotated[
        str | None, Attribute(kind=IDENTIFIER, update=False, provider=None, since="v2.6")
    ] = None
    availability_zone: Annotated[
        str | None, Attribute(kind=kinds.Text(), update=False, provider=None, since="v2.14")
    ] = None
    topology: Annotated[
        Topology, internal(kinds.Choice(Topology), shown=False, listed=False, default=Topology.SINGLE)
    ] = Topology.SINGLE
    applied_generation: Annotated[
        int, internal(kinds.Integer(0, 2**62), shown=False, listed=False, default=0)
    ] = 0
    # The last generation in which the load balancer's own attributes changed, rather than something below it.
    own_generation: Annotated[
        int, internal(kinds.Integer(0, 2**62), shown=False, listed=False, default=0)
    ] = 0
    # The API request that made the newest generation, to be found in the logs of all programs.
    request_id: Annotated[str, internal(kinds.Text(64), shown=False, listed=False, default="")] = ""
    # How often in a row passes have failed (``fault`` says why), and when the next one is due.
    attempts: Annotated[int, internal(kinds.Integer(0, 2**31), shown=False, listed=False, default=0)] = 0
    retry_at: Annotated[datetime | None, internal(kinds.Time(), shown=False, listed=False)] = None
    # When a worker should look again though nothing newer is wanted: an amphora boots, or one is missing.
    look_at: Annotated[datetime | None, internal(kinds.Time(), shown=False, listed=False)] = None
    # Which versions of the certificates that listeners and pools refer to the amphorae have; "" for none.
    secret_versions: Annotated[str, internal(kinds.Text(64), shown=False, listed=False, default="")] = ""
    # Which secrets they are (a digest), and from which generation on amphorae have all of them; 0: read them.
    secret_references: Annotated[str, internal(kinds.Text(64), shown=False, listed=False, default="")] = ""
    secret_generation: Annotated[
        int, internal(kinds.Integer(0, 2**62), shown=False, listed=False, default=0)
    ] = 0
    # False: none, whatever the operator collects. True asks for nothing that the operator does not offer.
    flow_logs: Annotated[bool | None, extended(FLOW_LOGS, kinds.Boolean())] = None
