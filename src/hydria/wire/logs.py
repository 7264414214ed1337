"""Where log lines leave an amphora for: what the agent and HAProxy's configuration have in common.

Records are of RFC 3164's form, one per datagram, or one per line over TCP (RFC 6587, section 3.4.2).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

UDP, TCP = "UDP", "TCP"
LONGEST = 4096  # bytes of a record, which is cut there

# Octavia's record: project, load balancer, listener, client's address and port, time, request, status, bytes
# read and uploaded, whether the client's certificate is one, its name, pool and listener, member,
# milliseconds, how it ended.
LOG_FORMAT = (
    "{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U "
    "%[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc"
)


@dataclass(frozen=True, slots=True)
class Syslog:
    """Receivers and how to reach them.

    targets: ``address:port``, ``[address]:port``; the first one gets everything. Over TCP, which notices when
    it fails, the next one that answers does so meanwhile. facility: the number of syslog's local0 to local7.
    queue: lines that may wait for a receiver. retry_interval: seconds between attempts to reach one.
    retry_count: failed attempts in a row after which the next one's turn has come. keep: whether the
    amphora's own log is written on its disk, too.
    """

    targets: tuple[str, ...]
    protocol: str = UDP
    facility: int = 0
    queue: int = 10_000
    retry_interval: int = 2
    retry_count: int = 5
    keep: bool = True


def endpoint(target: str) -> tuple[str, int]:
    """Address and port of a target; ValueError says what is wrong with it."""
    host, _, port = target.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{target!r} does not begin with an IP address") from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError(f"{target!r} does not end with a port")
    return str(address), int(port)
