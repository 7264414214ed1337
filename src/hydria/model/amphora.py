"""The amphora: what carries the traffic of one load balancer (contract 1.19)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.resource import IDENTIFIER, Declared, internal
from hydria.model.statuses import AmphoraRole, AmphoraStatus


class Amphora(Declared, frozen=True, kw_only=True):
    """One machine, container or namespace with an agent in it.

    ``applied_generation`` is the last generation that its agent has confirmed. ``vrrp_ip`` and
    ``vrrp_port_id`` are its own address and port on the VIP network, ``ha_ip`` and ``ha_port_id`` the VIP.
    ``failover_requested``: somebody wants another one in its place, until when it serves.
    ``collect_at``: it is fenced, and its deletion is tried next then. ``collect_attempts``: how often
    that has failed.
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
    collect_at: Annotated[datetime | None, internal(kinds.Time(), shown=False, listed=False)] = None
    collect_attempts: Annotated[
        int, internal(kinds.Integer(0, 2**31), shown=False, listed=False, default=0)
    ] = 0
    created_at: Annotated[datetime, internal(kinds.Time())]
    updated_at: Annotated[datetime | None, internal(kinds.Time())] = None


class Purpose(StrEnum):
    """What an amphora has a port for."""

    LB = "lb"
    VIP = "vip"


@dataclass(frozen=True, slots=True)
class PortAddress:
    """An address of an amphora's port: with its prefix length (``10.0.0.5/24``), and its subnet's gateway.

    gateway: "" for none.
    """

    address: str
    gateway: str = ""

    @property
    def host(self) -> str:
        """Without the prefix length."""
        return self.address.partition("/")[0]

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class AmphoraPort:
    """What the network service said of an amphora's port when it was made, so that nobody has to ask again.

    mtu: bytes. security: which groups and policy it was last given, in the words of
    :func:`hydria.worker.ports.security`; None before the first time.
    """

    id: str
    amphora_id: str
    purpose: Purpose
    network_id: str
    mac: str
    mtu: int
    addresses: tuple[PortAddress, ...]
    security: str | None = None
