"""TLS settings that listeners and pools share: ciphers, versions and ALPN protocols (contract 1.11, 1.12)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from hydria.model.ciphers import Ciphers
from hydria.model.errors import validation
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.rules import cipher_list
from hydria.model.statuses import ALPNProtocol, TLSVersion

SETTINGS = ("tls_ciphers", "tls_versions", "alpn_protocols")
Defaults: TypeAlias = dict[str, object]

_OLDEST_FIRST = tuple(TLSVersion)
_OLD = {TLSVersion.TLS_V1, TLSVersion.TLS_V1_1}


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
        cipher_list.judge(ciphers)
        _ciphers_allowed(ciphers, limits)
    if versions is not None:
        _versions_allowed(versions, limits)
    if alpn is not None and not alpn:
        raise validation(
            "Empty ALPN protocol list. Either specify at least one ALPN protocol, "
            "or leave alpn_protocols out to use the default."
        )


def judge_together(settings: Listener | Pool, given: Mapping[str, object]) -> None:
    """Refuse ciphers and versions that do not fit, if the request (``given``) has a part in it."""
    if given.get("tls_ciphers") or given.get("tls_versions"):
        ciphers_fit(settings.tls_ciphers, settings.tls_versions)


def ciphers_fit(ciphers: str | None, versions: Iterable[TLSVersion] | None) -> None:
    """Refuse versions that no cipher of the list is for, if none is left or somebody waits for an old one.

    Otherwise such a version is not spoken: a list allows what it names, and nothing else. The versions before
    1.2 are there for clients that know nothing newer, and would stay outside without a word. SSLv3 is the
    provider's to judge.
    """
    wanted = [version for version in versions or () if version != TLSVersion.SSL_V3]
    if not ciphers or not wanted:
        return
    listed = Ciphers.of(ciphers)
    without = [version for version in wanted if not listed.serve(version)]
    if len(without) == len(wanted) or not _OLD.isdisjoint(without):
        raise validation(
            f"tls_ciphers has no cipher for {', '.join(without)}. Add some, such as TLS_AES_128_GCM_SHA256 "
            "for TLSv1.3, ECDHE-RSA-AES128-GCM-SHA256 for TLSv1.2 and ECDHE-RSA-AES128-SHA for the versions "
            "before, or leave these versions out of tls_versions."
        )


def _ciphers_allowed(ciphers: str, limits: Limits) -> None:
    if not limits.prohibited:
        return
    listed = Ciphers.of(ciphers)
    names = [*listed.names, *(_members(listed) if listed.groups else ())]
    prohibited = dict.fromkeys(name for name in names if name in limits.prohibited)
    if prohibited:
        raise validation(
            f"The following ciphers have been prohibited by an administrator: {', '.join(prohibited)}"
        )


def _members(listed: Ciphers) -> list[str]:
    """The ciphers of before TLS 1.3 that are in the list, groups (``ALL``, ``HIGH``) expanded.

    By the OpenSSL of this process; that of an amphora may know others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(":".join(listed.words))
    found = [cipher["name"] for cipher in context.get_ciphers()]
    return [name for name in found if Ciphers.of(name).words]


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
