"""TLS towards clients and towards members: words of bind and server lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.token import plain
from hydria.model.ciphers import Ciphers
from hydria.model.errors import Invalid
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.statuses import ALPNProtocol, ClientAuthentication, ListenerProtocol, TLSVersion

_OLDEST_FIRST = tuple(TLSVersion)
_NAMES = {version: "TLSv1.0" if version is TLSVersion.TLS_V1 else str(version) for version in TLSVersion}
_WORDS = {version: name.lower().replace(".", "") for version, name in _NAMES.items()}
_USUAL = (TLSVersion.TLS_V1_2, TLSVersion.TLS_V1_3)  # what HAProxy speaks unless it is told otherwise
# OpenSSL speaks them at the lowest of its levels of security alone (SSL_CTX_set_security_level).
_OLD = {TLSVersion.TLS_V1, TLSVersion.TLS_V1_1}
_SECURITY_LEVEL = "@SECLEVEL="
_LOWEST_LEVEL = f"{_SECURITY_LEVEL}0"
_SPEAKS_HTTP = (ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS)
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

    With a CA a member has to show a certificate of it, in the name that the client asked for. A choice of
    protocols is left to members where HAProxy speaks what they choose. Clients of other listeners speak what
    they like and hear of no choice, so there one protocol can be asked for, or none.
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
    protocols = set(pool.alpn_protocols or ())
    chosen = listener.protocol in _SPEAKS_HTTP or len(protocols) == 1
    yield from _spoken(pool.tls_ciphers, pool.tls_versions, pool.alpn_protocols if chosen else None)


def _spoken(
    ciphers: str | None, versions: Sequence[TLSVersion] | None, alpn: Sequence[ALPNProtocol] | None
) -> Iterator[str]:
    """Ciphers, versions and protocols. A version that no cipher in the list is for is not spoken.

    Without a list OpenSSL's default holds.
    """
    listed = Ciphers.of(ciphers) if ciphers else None
    wanted = versions or _USUAL
    spoken = [version for version in wanted if listed is None or listed.serve(version)]
    spoken = [version for version in spoken if version != TLSVersion.SSL_V3]
    if not spoken:
        raise Invalid(
            f"None of the TLS versions {', '.join(wanted)} can be spoken with the ciphers "
            f"{(ciphers or 'of OpenSSL')[:100]!r}: change tls_versions or tls_ciphers."
        )
    yield from _ciphers(listed, spoken)
    if versions or len(spoken) < len(wanted):
        yield from _range(spoken)
    if alpn:
        yield from ("alpn", ",".join(dict.fromkeys(alpn)))


def _ciphers(listed: Ciphers | None, spoken: Sequence[TLSVersion]) -> Iterator[str]:
    """The two lists of ciphers; neither for a half that is empty, since its versions are not spoken."""
    words, commands = (listed.words, listed.commands) if listed else ((), ())
    if not _OLD.isdisjoint(spoken) and not any(each.startswith(_SECURITY_LEVEL) for each in commands):
        commands = (_LOWEST_LEVEL,)
        words = (*words, _LOWEST_LEVEL)
    if listed is None or not listed.serve(TLSVersion.TLS_V1_2):
        # A level is part of a list, so it takes one, and this is what holds without any.
        words = ("DEFAULT", *words) if commands else ()
    if words:
        yield from ("ciphers", plain(":".join(words)))
    if listed and listed.suites:
        yield from ("ciphersuites", plain(":".join(listed.suites)))


def _range(versions: Sequence[TLSVersion]) -> Iterator[str]:
    wanted = sorted(set(versions), key=_OLDEST_FIRST.index)
    first, last = _OLDEST_FIRST.index(wanted[0]), _OLDEST_FIRST.index(wanted[-1])
    if last - first + 1 == len(wanted):
        yield from ("ssl-min-ver", _NAMES[wanted[0]], "ssl-max-ver", _NAMES[wanted[-1]])
    else:  # a hole, which HAProxy warns of, and has other words for
        yield from (f"no-{_WORDS[version]}" for version in _OLDEST_FIRST if version not in wanted)
