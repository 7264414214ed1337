"""A listener as an HAProxy frontend of the same name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from hydria.dataplane.haproxy import logs, metrics, paths, rate_limit, tls
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.policy import Route, decide, looks_at_paths, send
from hydria.dataplane.haproxy.process import connection_limit
from hydria.dataplane.haproxy.rate_limit import Limit
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.listener import HEADERS, SSL_HEADERS, Listener
from hydria.model.statuses import ListenerProtocol

# What a client's certificate says, and whether it is one.
_OF_TLS = {
    "X-SSL-Client-Verify": "%[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "%[ssl_c_used]",
    "X-SSL-Client-DN": "%{+Q}[ssl_c_s_dn]",
    "X-SSL-Client-CN": "%{+Q}[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "%{+Q}[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "%{+Q}[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "%{+Q}[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "%{+Q}[ssl_c_notafter]",
}
# What gains by it: text. Images, films and archives are compressed already.
_COMPRESSED = (
    "text/html", "text/plain", "text/css", "text/xml", "text/csv", "text/javascript",
    "application/javascript", "application/json", "application/xml", "application/xhtml+xml",
    "application/rss+xml", "application/manifest+json", "application/wasm", "image/svg+xml",
)  # fmt: skip
_HTTP = (ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS, ListenerProtocol.PROMETHEUS)
_EVERYBODY = ("0.0.0.0/0", "::/0")
# Other products' names for the address of the client alone, whatever the client says it is.
_CLIENT_ADDRESS = {"X-Forwarded-IP", "X-Client-IP", "X-Real-IP"}


def mode(listener: Listener) -> str:
    """What HAProxy understands of the listener's traffic; its backends have to have the same mode."""
    return "http" if listener.protocol in _HTTP else "tcp"


def judges_paths(routes: Sequence[Route], limits: Sequence[Limit]) -> bool:
    """Whether something looks at the path of the listener's requests."""
    return looks_at_paths(routes) or rate_limit.looks_at_paths(limits)


def frontend(
    section: Section,
    listener: Listener,
    vip_addresses: Sequence[str],
    backend: str,
    tuning: Tuning,
    files: Files,
    routes: Sequence[Route] = (),
    limits: Sequence[Limit] = (),
) -> None:
    """Fill the listener's section.

    ``backend`` is where all traffic goes; "" refuses it: 503 for HTTP, others are closed.
    routes: the L7 policies that are tried before, on listeners that speak HTTP. limits: the rate limit
    policies, which come before these.
    """
    section.add("mode", mode(listener))
    for address in vip_addresses:
        section.add("bind", *_bind(address, listener.protocol_port), *tls.bind_words(listener, files))
    section.add_live("maxconn", connection_limit(listener, tuning))
    section.add("timeout", "client", f"{listener.timeout_client_data}ms")
    _restrict(section, listener, files)
    logs.offload(section, listener, mode(listener), tuning)
    if listener.timeout_tcp_inspect:
        section.add("tcp-request", "inspect-delay", f"{listener.timeout_tcp_inspect}ms")
    if backend or mode(listener) == "http":
        if judges_paths(routes, limits):
            paths.keep(section)
        rate_limit.limit(section, listener, limits, mode(listener), files, tuning)
    if mode(listener) == "http":
        # A process that retires answers once more on an idle connection, so that it cuts no request short.
        section.add("option", "idle-close-on-response")
        decide(section, routes, files)  # by what the client has sent, so before headers are added
        _insert_headers(section, listener)
        _strict_transport_security(section, listener)
        if listener.compression:
            section.add("compression", "algo", "gzip")
            section.add("compression", "type", *_COMPRESSED)
        send(section, routes)
    if metrics.serves(listener):
        metrics.answer(section)
    elif backend:
        section.add("default_backend", backend)
    elif mode(listener) != "http":
        section.add("tcp-request", "connection", "reject")


def _bind(address: str, port: int) -> tuple[str, ...]:
    if ipaddress.ip_address(address).version == 6:
        return f"[{address}]:{port}", "v6only"
    return (f"{address}:{port}",)


def _restrict(section: Section, listener: Listener, files: Files) -> None:
    """Refuse clients from elsewhere; nftables does so too, where the amphora has it.

    The networks are in a file, with that of everybody where all are allowed, for so they can change live.
    """
    allowed = files.patterns(listener.id, listener.allowed_cidrs or _EVERYBODY)
    section.add("tcp-request", "connection", "reject", "unless", "{", "src", "-f", allowed, "}")


def _insert_headers(section: Section, listener: Listener) -> None:
    given = listener.insert_headers
    wanted = {name for name in (*HEADERS, *SSL_HEADERS) if given.get(name, "").lower() == "true"}
    if wanted:
        section.add("http-request", "del-header", _lookalikes(wanted), "-m", "reg")
    if "X-Forwarded-For" in wanted:
        section.add("option", "forwardfor")
    if "X-Forwarded-Port" in wanted:
        section.add("http-request", "set-header", "X-Forwarded-Port", listener.protocol_port)
    if "X-Forwarded-Proto" in wanted:
        scheme = "https" if tls.terminates(listener) else "http"
        section.add("http-request", "set-header", "X-Forwarded-Proto", scheme)
    for name in sorted(wanted & _CLIENT_ADDRESS):
        section.add("http-request", "set-header", name, "%[src]")
    for name, value in _OF_TLS.items():
        if name in wanted:
            section.add("http-request", "set-header", name, value)


def _lookalikes(names: Iterable[str]) -> str:
    """A regular expression for headers that members may take for these: X_SSL_Client_CN for X-SSL-Client-CN.

    What CGI and WSGI make of the names (RFC 3875, section 4.1.18) is the same, so a client could forge one.
    """
    spelled = "|".join(name.lower().replace("-", "[^0-9a-z]") for name in sorted(names))
    return f"^(?=.*[^-0-9a-z])(?:{spelled})$"


def _strict_transport_security(section: Section, listener: Listener) -> None:
    """RFC 6797, section 6.1; on what the load balancer answers itself, too (section 7.1)."""
    if listener.hsts_max_age is None:
        return
    parts = [f"max-age={listener.hsts_max_age}"]
    if listener.hsts_include_subdomains:
        parts.append("includeSubDomains")
    if listener.hsts_preload:
        parts.append("preload")
    section.add("http-after-response", "set-header", "Strict-Transport-Security", "; ".join(parts))
