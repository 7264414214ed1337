"""The pool: members and the way one is picked (contract 1.12)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from hydria.model import alphabets, kinds
from hydria.model.extensions import DRAIN_TIMEOUT, PRESERVE_SOURCE, SLOW_START
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Recalled, Use, extended
from hydria.model.statuses import Algorithm, ALPNProtocol, PersistenceType, PoolProtocol, TLSVersion

# A POST must give a type; a PUT may leave it out when one is stored (rules/pool.py).
SESSION_PERSISTENCE = kinds.Record(
    {
        "type": kinds.Choice(PersistenceType),
        "cookie_name": alphabets.COOKIE_NAME,
        "persistence_timeout": kinds.Integer(1, 2**31 - 1),
        "persistence_granularity": kinds.Address(),  # an address mask: 255.255.255.0
    },
    merge=True,
)
SECRET_REF = kinds.Text()


class SessionPersistence(msgspec.Struct, frozen=True, kw_only=True):
    """What ties a client to a member; None of a pool means nothing does."""

    type: PersistenceType
    cookie_name: str | None = None
    persistence_timeout: int | None = None
    persistence_granularity: str | None = None


class Pool(Recalled, frozen=True, kw_only=True):
    """A group of members that serve the same thing."""

    root: ClassVar[str] = "pool"
    plural: ClassVar[str] = "pools"
    label: ClassVar[str] = "Pool"
    argument: ClassVar[str] = "pool_"
    table: ClassVar[str] = "pools"
    children: ClassVar[tuple[str, ...]] = ("healthmonitor", "members")

    load_balancer_id: Annotated[
        str,
        Attribute(
            kind=IDENTIFIER, update=False, wire="loadbalancer_id", shown=False, provider="loadbalancer_id"
        ),
    ]
    # Only of the request: makes the pool that listener's default pool.
    listener_id: Annotated[
        str | None, Attribute(kind=IDENTIFIER, update=False, shown=False, stored=False, listed=False)
    ] = None
    name: Annotated[str, TEXT] = ""
    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    protocol: Annotated[
        PoolProtocol, Attribute(kind=kinds.Choice(PoolProtocol), create=Use.REQUIRED, update=False)
    ]
    lb_algorithm: Annotated[
        Algorithm, Attribute(kind=kinds.Choice(Algorithm), create=Use.REQUIRED, null=Null.REFUSE)
    ]
    session_persistence: Annotated[
        SessionPersistence | None, Attribute(kind=SESSION_PERSISTENCE, null=None, listed=False)
    ] = None
    tls_enabled: Annotated[bool, Attribute(kind=kinds.Boolean(), default=False, since="v2.8")] = False
    tls_container_ref: Annotated[str | None, Attribute(kind=SECRET_REF, null=None, since="v2.8")] = None
    ca_tls_container_ref: Annotated[str | None, Attribute(kind=SECRET_REF, null=None, since="v2.8")] = None
    crl_container_ref: Annotated[str | None, Attribute(kind=SECRET_REF, null=None, since="v2.8")] = None
    tls_ciphers: Annotated[str | None, Attribute(kind=alphabets.CIPHERS, null=None, since="v2.15")] = None
    tls_versions: Annotated[
        list[TLSVersion] | None,
        Attribute(kind=kinds.ListOf(alphabets.TLS_VERSION), null=None, listed=False, since="v2.18"),
    ] = None
    alpn_protocols: Annotated[
        list[ALPNProtocol] | None,
        Attribute(kind=kinds.ListOf(alphabets.ALPN_PROTOCOL), null=None, listed=False, since="v2.24"),
    ] = None
    # Seconds. 0 closes the connections of a member that leaves at once.
    drain_timeout: Annotated[int | None, extended(DRAIN_TIMEOUT, kinds.Integer(0, 3600))] = None
    slow_start: Annotated[int | None, extended(SLOW_START, kinds.Integer(1, 3600))] = None
    # Members of UDP and SCTP see the client, and must send their answers by way of the VIP.
    preserve_source: Annotated[bool | None, extended(PRESERVE_SOURCE, kinds.Boolean())] = None
