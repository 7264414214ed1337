"""The operator's switches that rules depend on."""

from __future__ import annotations

from dataclasses import dataclass

from hydria.model.errors import Invalid
from hydria.model.rules import reserved, tls
from hydria.model.statuses import ALPNProtocol, TLSVersion

# The "B" list of the OWASP TLS cipher string cheat sheet (contract 1.11).
OWASP_B = (
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
)
# Link-local addresses, where clouds have what tells a machine its secrets, and the one elsewhere.
RESERVED = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254")
_VERSIONS = (TLSVersion.TLS_V1_2, TLSVersion.TLS_V1_3)
_ALPN = (ALPNProtocol.H2, ALPNProtocol.HTTP_1_1, ALPNProtocol.HTTP_1_0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What this deployment allows and fills in; the names are those of the options (contract section 6)."""

    reserved_ips: tuple[str, ...] = RESERVED
    allow_ping_health_monitors: bool = True
    allow_tls_terminated_listeners: bool = True
    allow_prometheus_listeners: bool = True
    udp_connect_min_interval_health_monitor: int = 3
    default_listener_ciphers: str = OWASP_B
    default_pool_ciphers: str = OWASP_B
    default_listener_tls_versions: tuple[TLSVersion, ...] = _VERSIONS
    default_pool_tls_versions: tuple[TLSVersion, ...] = _VERSIONS
    default_listener_alpn_protocols: tuple[ALPNProtocol, ...] = _ALPN
    default_pool_alpn_protocols: tuple[ALPNProtocol, ...] = _ALPN
    tls_cipher_prohibit_list: tuple[str, ...] = ()
    minimum_tls_version: TLSVersion | None = None

    @property
    def limits(self) -> tls.Limits:
        """What nobody's TLS settings may go beyond."""
        return tls.Limits(self.tls_cipher_prohibit_list, self.minimum_tls_version)

    @property
    def listener_tls(self) -> tls.Defaults:
        """TLS settings of listeners that give none."""
        return tls.defaults(
            self.default_listener_ciphers,
            self.default_listener_tls_versions,
            self.default_listener_alpn_protocols,
        )

    @property
    def pool_tls(self) -> tls.Defaults:
        """TLS settings of pools that give none."""
        return tls.defaults(
            self.default_pool_ciphers, self.default_pool_tls_versions, self.default_pool_alpn_protocols
        )

    def check(self) -> None:
        """Raise Invalid when a value is none or the defaults break the limits; called once, at start-up."""
        for text in self.reserved_ips:
            try:
                reserved.network(text)
            except ValueError as error:
                raise Invalid(f"Option reserved_ips: {error}") from error
        defaults = (
            (
                "listener",
                self.listener_tls,
                self.default_listener_ciphers,
                self.default_listener_tls_versions,
            ),
            ("pool", self.pool_tls, self.default_pool_ciphers, self.default_pool_tls_versions),
        )
        for owner, values, ciphers, versions in defaults:
            try:
                tls.judge(values, self.limits)
                tls.ciphers_fit(ciphers, versions)
            except Invalid as contradiction:
                raise Invalid(f"The {owner} defaults of this deployment: {contradiction}") from contradiction
