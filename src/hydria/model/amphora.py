"""The amphora: what carries the traffic of one load balancer (contract 1.19)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

from hydria.model import kinds
from hydria.model.resource import IDENTIFIER, internal
from hydria.model.statuses import AmphoraRole, AmphoraStatus


class Amphora(msgspec.Struct, frozen=True, kw_only=True):
    """One machine, container or namespace with an agent in it.

    ``applied_generation`` is the last generation that its agent has confirmed. ``vrrp_ip`` and
    ``vrrp_port_id`` are its own address and port on the VIP network, ``ha_ip`` and ``ha_port_id`` the VIP.
    """

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
    cached_zone: Annotated[str | None, internal(kinds.Text())] = None
    image_id: Annotated[str | None, internal(kinds.Text())] = None
    compute_flavor: Annotated[str | None, internal(kinds.Text())] = None
    applied_generation: Annotated[int, internal(kinds.Integer(0, 2**62), shown=False, default=0)] = 0
    created_at: Annotated[datetime, internal(kinds.Time())]
    updated_at: Annotated[datetime | None, internal(kinds.Time())] = None
