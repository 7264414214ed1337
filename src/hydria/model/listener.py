"""The listener: a port on the VIP and the protocol spoken there (contract 1.11)."""

# ruff: noqa: RUF012  (msgspec gives each object a copy of a mutable default)

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from hydria.model import alphabets, kinds
from hydria.model.extensions import COMPRESSION
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Configured, Recalled, Use, extended
from hydria.model.statuses import ALPNProtocol, ClientAuthentication, ListenerProtocol, TLSVersion

SECRET_REF = kinds.Text()


def _timeout(default: str) -> Attribute:
    # 24 days in milliseconds, HAProxy's largest timer.
    return Attribute(kind=kinds.Integer(0, 24 * 24 * 3600 * 1000), default=Configured(default), since="v2.1")


def _tls(kind: kinds.Kind, since: str, **more: Any) -> Attribute:
    return Attribute(kind=kind, null=None, since=since, **more)


class Listener(Recalled, frozen=True, kw_only=True):
    """Where clients arrive."""

    root: ClassVar[str] = "listener"
    plural: ClassVar[str] = "listeners"
    label: ClassVar[str] = "Listener"
    argument: ClassVar[str] = "listener_"
    table: ClassVar[str] = "listeners"
    children: ClassVar[tuple[str, ...]] = ("default_pool", "l7policies", "rate_limit_policies")

    load_balancer_id: Annotated[
        str,
        Attribute(
            kind=IDENTIFIER, create=Use.REQUIRED, update=False, wire="loadbalancer_id", shown=False,
            provider="loadbalancer_id",
        ),
    ]  # fmt: skip
    name: Annotated[str, TEXT] = ""
    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    protocol: Annotated[
        ListenerProtocol, Attribute(kind=kinds.Choice(ListenerProtocol), create=Use.REQUIRED, update=False)
    ]
    protocol_port: Annotated[int, Attribute(kind=kinds.Integer(1, 65535), create=Use.REQUIRED, update=False)]
    # -1: as many as the data plane's own default allows.
    connection_limit: Annotated[int, Attribute(kind=kinds.Integer(-1, 2**31 - 1), default=-1)] = -1
    default_pool_id: Annotated[str | None, Attribute(kind=IDENTIFIER, null=None)] = None
    insert_headers: Annotated[
        dict[str, str],
        Attribute(kind=kinds.TextMap(alphabets.HEADER_NAME, kinds.Text()), default={}, listed=False),
    ] = {}
    default_tls_container_ref: Annotated[str | None, _tls(SECRET_REF, "v2.0")] = None
    sni_container_refs: Annotated[
        list[str], Attribute(kind=kinds.ListOf(SECRET_REF), default=[], listed=False)
    ] = []
    client_ca_tls_container_ref: Annotated[str | None, _tls(SECRET_REF, "v2.8")] = None
    client_authentication: Annotated[
        ClientAuthentication,
        Attribute(kind=kinds.Choice(ClientAuthentication), default=ClientAuthentication.NONE, since="v2.8"),
    ] = ClientAuthentication.NONE
    client_crl_container_ref: Annotated[str | None, _tls(SECRET_REF, "v2.8")] = None
    timeout_client_data: Annotated[int, _timeout("timeout_client_data")] = 50_000
    timeout_member_connect: Annotated[int, _timeout("timeout_member_connect")] = 5_000
    timeout_member_data: Annotated[int, _timeout("timeout_member_data")] = 50_000
    timeout_tcp_inspect: Annotated[int, _timeout("timeout_tcp_inspect")] = 0
    allowed_cidrs: Annotated[
        list[str] | None,
        Attribute(
            kind=kinds.ListOf(kinds.Network(), empty_is_null=True), null=None, listed=False, since="v2.12"
        ),
    ] = None
    tls_ciphers: Annotated[str | None, _tls(alphabets.CIPHERS, "v2.15")] = None
    tls_versions: Annotated[
        list[TLSVersion] | None, _tls(kinds.ListOf(alphabets.TLS_VERSION), "v2.17", listed=False)
    ] = None
    alpn_protocols: Annotated[
        list[ALPNProtocol] | None, _tls(kinds.ListOf(alphabets.ALPN_PROTOCOL), "v2.20", listed=False)
    ] = None
    hsts_max_age: Annotated[int | None, _tls(kinds.Integer(0, 2**31 - 1), "v2.27")] = None
    hsts_include_subdomains: Annotated[
        bool, Attribute(kind=kinds.Boolean(), default=False, since="v2.27")
    ] = False
    hsts_preload: Annotated[bool, Attribute(kind=kinds.Boolean(), default=False, since="v2.27")] = False

    compression: Annotated[bool | None, extended(COMPRESSION, kinds.Boolean())] = None

    @property
    def transport(self) -> str:
        """TCP, UDP or SCTP."""
        return self.protocol.transport


HEADERS = (
    "X-Forwarded-For",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-IP",
    "X-Client-IP",
    "X-Real-IP",
)
SSL_HEADERS = (
    "X-SSL-Client-Verify",
    "X-SSL-Client-Has-Cert",
    "X-SSL-Client-DN",
    "X-SSL-Client-CN",
    "X-SSL-Issuer",
    "X-SSL-Client-SHA1",
    "X-SSL-Client-Not-Before",
    "X-SSL-Client-Not-After",
)
