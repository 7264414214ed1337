"""TLS settings that listeners and pools share: ciphers, versions and ALPN protocols (contract 1.11, 1.12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from hydria.model.errors import validation
from hydria.model.rules import cipher_list
from hydria.model.statuses import ALPNProtocol, TLSVersion

SETTINGS = ("tls_ciphers", "tls_versions", "alpn_protocols")
Defaults: TypeAlias = dict[str, object]

_OLDEST_FIRST = tuple(TLSVersion)


@dataclass(frozen=True, slots=True)
class Limits:
    """Ciphers that nobody may use, by their OpenSSL names, and the oldest version."""

    prohibited: tuple[str, ...] = ()
    minimum: TLSVersion | None = None


def defaults(ciphers: str, versions: Iterable[TLSVersion], alpn: Iterable[ALPNProtocol]) -> Defaults:
    """Setting -> value, in the form that attributes have."""
    return {"tls_ciphers": ciphers, "tls_versions": list(versions), "alpn_protocols": list(alpn)}


def judge(values: Mapping[str, object], limits: Limits) -> None:
    """Refuse settings that the deployment does not allow. Null ones will be filled in or have no effect."""
    ciphers = cast("str | None", values.get("tls_ciphers"))
    versions = cast("list[TLSVersion] | None", values.get("tls_versions"))
    alpn = cast("list[ALPNProtocol] | None", values.get("alpn_protocols"))
    if ciphers is not None:
        _ciphers_allowed(ciphers, limits)
        cipher_list.judge(ciphers)
    if versions is not None:
        _versions_allowed(versions, limits)
    if alpn is not None and not alpn:
        raise validation(
            "Empty ALPN protocol list. Either specify at least one ALPN protocol, "
            "or leave alpn_protocols out to use the default."
        )


def _ciphers_allowed(ciphers: str, limits: Limits) -> None:
    # "!NAME" and "-NAME" take a cipher away, "+NAME" only moves one. Groups ("ALL", "HIGH") are not expanded:
    # that depends on the OpenSSL of the amphora.
    names = [name for name in ciphers.split(":") if not name.startswith(("!", "-", "+"))]
    prohibited = [name for name in names if name in limits.prohibited]
    if prohibited:
        raise validation(
            f"The following ciphers have been prohibited by an administrator: {', '.join(prohibited)}"
        )


def _versions_allowed(versions: list[TLSVersion], limits: Limits) -> None:
    if not versions:
        raise validation(
            "Empty TLS version list. Either specify at least one TLS version, "
            "or leave tls_versions out to use the default."
        )
    if limits.minimum is None:
        return
    allowed = _OLDEST_FIRST[_OLDEST_FIRST.index(limits.minimum) :]
    old = [version for version in versions if version not in allowed]
    if old:
        raise validation(
            f"Requested TLS versions are less than the minimum: {', '.join(old)} < {limits.minimum}"
        )
