"""A member as an HAProxy server, the same in the configuration file and through the runtime API.

Everything about a server is on its own line (no ``default-server``), for ``add server`` knows nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from hydria.dataplane.haproxy import check, persistence, tls
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.frontend import mode
from hydria.dataplane.haproxy.token import plain
from hydria.model.health_monitor import HealthMonitor
from hydria.model.kinds import plain_address
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.statuses import Algorithm, MonitorType, PoolProtocol
from hydria.wire.capabilities import Capabilities
from hydria.wire.state import Server

_HASHED = (Algorithm.SOURCE_IP, Algorithm.SOURCE_IP_PORT)
_SENDS_PROXY: Mapping[PoolProtocol, tuple[str, ...]] = {
    PoolProtocol.PROXY: ("send-proxy",),
    PoolProtocol.PROXYV2: ("send-proxy-v2",),
}


def servers(
    backend: str,
    pool: Pool,
    listener: Listener,
    members: Iterable[Member],
    monitor: HealthMonitor | None,
    files: Files,
    capabilities: Capabilities,
) -> Iterator[Server]:
    """A pool's members in one backend; ``monitor`` is the one that is enabled, if any."""
    slowly = ("slowstart", f"{pool.slow_start}s") if pool.slow_start else ()
    sends = (*_SENDS_PROXY.get(pool.protocol, ()), *tls.server_words(pool, listener, files))
    numbers: set[int] = set()
    pings = monitor is not None and monitor.type is MonitorType.PING
    for member in members:
        checked = _checked(pool, member, monitor, capabilities) if monitor else ()
        cookie = persistence.server_words(pool.session_persistence, mode(listener), member.id, capabilities)
        options = (*_number(pool, member, numbers), *cookie, *sends, *slowly, *checked)
        address, port = (
            (None, None) if pings or not monitor else (member.monitor_address, member.monitor_port)
        )
        yield Server(
            backend=plain(backend),
            name=plain(member.id),
            address=str(plain_address(member.address)),
            port=member.protocol_port,
            weight=member.weight,
            enabled=member.admin_state_up,
            options=(*options, "backup") if member.backup else options,
            check_address=str(plain_address(address)) if address else "",
            check_port=port or 0,
            pinged=_pinged(member) if pings else "",
            drain=pool.drain_timeout,
        )


def words(server: Server) -> Iterator[str]:
    """The server's line in the configuration file."""
    yield from ("server", server.name, f"{_bracketed(server.address)}:{server.port}")
    yield from ("weight", str(server.weight))
    if server.check_address:
        yield from ("addr", _bracketed(server.check_address))
    if server.check_port:
        yield from ("port", str(server.check_port))
    yield from server.options
    if not server.enabled:
        yield "disabled"


def _checked(
    pool: Pool, member: Member, monitor: HealthMonitor, capabilities: Capabilities
) -> tuple[str, ...]:
    return check.server_words(
        monitor,
        encrypted=pool.tls_enabled,
        protocols=pool.alpn_protocols or (),
        introduced=pool.protocol in _SENDS_PROXY,
        elsewhere=bool(member.monitor_address or member.monitor_port),
        capabilities=capabilities,
    )


def _pinged(member: Member) -> str:
    return str(plain_address(member.monitor_address or member.address))


def _number(pool: Pool, member: Member, taken: set[int]) -> tuple[str, ...]:
    """A server's place on the hash ring comes from its number in HAProxy.

    By default that is its position in the backend, so that after a reload, or in another amphora, the same
    client would hash to another member.
    """
    if pool.lb_algorithm not in _HASHED:
        return ()
    number = zlib.crc32(member.id.encode()) & 0x7FFF_FFFF or 1
    if number in taken:
        return ()  # HAProxy finds a free one
    taken.add(number)
    return ("id", str(number))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
