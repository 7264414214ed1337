"""The amphora: what carries the traffic of one load balancer (contract 1.19)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.resource import IDENTIFIER, Declared, internal
from hydria.model.statuses import AmphoraRole, AmphoraStatus


class Amphora(Declared, frozen=True, kw_only=True):
    """One machine, container or namespace with an agent in it.

    ``applied_generation`` is the last generation that its agent has confirmed. ``vrrp_ip`` and
    ``vrrp_port_id`` are its own address and port on the VIP network, ``ha_ip`` and ``ha_port_id`` the VIP.
    ``failover_requested``: somebody wants another one in its place, until when it serves.
    """

    root: ClassVar[str] = "amphora"
    plural: ClassVar[str] = "amphorae"
    label: ClassVar[str] = "Amphora"
    argument: ClassVar[str] = "amphora_"
    table: ClassVar[str] = "amphorae"

    id: Annotated[str, internal(IDENTIFIER)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, wire="loadbalancer_id")]
    status: Annotated[AmphoraStatus, internal(kinds.Choice(AmphoraStatus))]
    role: Annotated[AmphoraRole, internal(kinds.Choice(AmphoraRole))]
    compute_id: Annotated[str | None, internal(kinds.Text())] = None
    lb_network_ip: Annotated[str | None, internal(kinds.Address())] = None
    vrrp_ip: Annotated[str | None, internal(kinds.Address())] = None
    vrrp_port_id: Annotated[str | None, internal(IDENTIFIER)] = None
    ha_ip: Annotated[str | None, internal(kinds.Address())] = None
    ha_port_id: Annotated[str | None, internal(IDENTIFIER)] = None
    cert_expiration: Annotated[datetime | None, internal(kinds.Time())] = None
    cert_busy: Annotated[bool, internal(kinds.Boolean(), default=False)] = False
    vrrp_interface: Annotated[str | None, internal(kinds.Text(16))] = None
    vrrp_id: Annotated[int | None, internal(kinds.Integer(0, 255))] = None
    vrrp_priority: Annotated[int | None, internal(kinds.Integer(0, 255))] = None
    cached_zone: Annotated[str | None, internal(kinds.Text())] = None
    image_id: Annotated[str | None, internal(kinds.Text())] = None
    compute_flavor: Annotated[str | None, internal(kinds.Text())] = None
    applied_generation: Annotated[
        int, internal(kinds.Integer(0, 2**62), shown=False, listed=False, default=0)
    ] = 0
    failover_requested: Annotated[
        bool, internal(kinds.Boolean(), shown=False, listed=False, default=False)
    ] = False
    created_at: Annotated[datetime, internal(kinds.Time())]
    updated_at: Annotated[datetime | None, internal(kinds.Time())] = None
