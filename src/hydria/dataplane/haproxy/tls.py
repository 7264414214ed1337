"""TLS towards clients and towards members: words of bind and server lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.token import plain
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.statuses import ALPNProtocol, ClientAuthentication, ListenerProtocol, TLSVersion

_TLS_1_3 = "TLS_"  # what the names of TLS 1.3's cipher suites begin with, and no other's do
_OLDEST_FIRST = tuple(TLSVersion)
_NAMES = {version: "TLSv1.0" if version is TLSVersion.TLS_V1 else str(version) for version in TLSVersion}
_WORDS = {version: name.lower().replace(".", "") for version, name in _NAMES.items()}
_VERIFY = {
    ClientAuthentication.NONE: "none",
    ClientAuthentication.OPTIONAL: "optional",
    ClientAuthentication.MANDATORY: "required",
}


def terminates(listener: Listener) -> bool:
    """Whether the listener speaks TLS with its clients."""
    if listener.protocol is ListenerProtocol.PROMETHEUS:
        return bool(listener.default_tls_container_ref or listener.sni_container_refs)
    return listener.protocol is ListenerProtocol.TERMINATED_HTTPS


def bind_words(listener: Listener, files: Files) -> Iterator[str]:
    """How clients are spoken to; nothing for a listener that does not terminate TLS."""
    if not terminates(listener):
        return
    default = listener.default_tls_container_ref
    references = [*([default] if default else []), *listener.sni_container_refs]
    yield from ("ssl", "crt-list", files.certificates(listener.id, references))
    if listener.client_ca_tls_container_ref:
        yield from ("ca-file", files.secret(listener.client_ca_tls_container_ref, "ca"))
        yield from ("verify", _VERIFY[listener.client_authentication])
    if listener.client_crl_container_ref:
        yield from ("crl-file", files.secret(listener.client_crl_container_ref, "crl"))
    yield from _spoken(listener.tls_ciphers, listener.tls_versions, listener.alpn_protocols)


def server_words(pool: Pool, listener: Listener, files: Files) -> Iterator[str]:
    """How members are spoken to; nothing for a pool without TLS.

    With a CA a member has to show a certificate of it, in the name that the client asked for.
    """
    if not pool.tls_enabled:
        return
    yield "ssl"
    if pool.ca_tls_container_ref:
        yield from ("verify", "required", "ca-file", files.secret(pool.ca_tls_container_ref, "ca"))
    else:
        yield from ("verify", "none")
    if pool.crl_container_ref:
        yield from ("crl-file", files.secret(pool.crl_container_ref, "crl"))
    if pool.tls_container_ref:
        yield from ("crt", files.secret(pool.tls_container_ref, "pem"))
    if terminates(listener):
        yield from ("sni", "ssl_fc_sni")
    elif listener.protocol is ListenerProtocol.HTTP:
        yield from ("sni", "req.hdr(host),field(1,:)")
    yield from _spoken(pool.tls_ciphers, pool.tls_versions, pool.alpn_protocols)


def _spoken(
    ciphers: str | None, versions: Sequence[TLSVersion] | None, alpn: Sequence[ALPNProtocol] | None
) -> Iterator[str]:
    if ciphers:
        names = ciphers.split(":")
        suites = [name for name in names if name.startswith(_TLS_1_3)]
        others = [name for name in names if not name.startswith(_TLS_1_3)]
        if others:
            yield from ("ciphers", plain(":".join(others)))
        if suites:
            yield from ("ciphersuites", plain(":".join(suites)))
    if versions:
        yield from _range(versions)
    if alpn:
        yield from ("alpn", ",".join(dict.fromkeys(alpn)))


def _range(versions: Sequence[TLSVersion]) -> Iterator[str]:
    wanted = sorted(set(versions), key=_OLDEST_FIRST.index)
    first, last = _OLDEST_FIRST.index(wanted[0]), _OLDEST_FIRST.index(wanted[-1])
    if last - first + 1 == len(wanted):
        yield from ("ssl-min-ver", _NAMES[wanted[0]], "ssl-max-ver", _NAMES[wanted[-1]])
    else:  # a hole, which HAProxy warns of, and has other words for
        yield from (f"no-{_WORDS[version]}" for version in _OLDEST_FIRST if version not in wanted)
