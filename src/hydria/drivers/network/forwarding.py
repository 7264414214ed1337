"""The host's forwarding: as much of it as Hydria needs, while it needs it, and afterwards as it was.

IPv4 is turned on for single interfaces, so that ``net.ipv4.ip_forward`` goes on saying what others want of
this host. IPv6 has one switch for all of them. Either way the host would forward between networks that have
nothing to do with Hydria: its table drops that (:mod:`.firewall`), unless the host is a router anyway.

The values from before are kept below state_dir, valid for this boot and this network namespace alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from hydria.drivers import state_dir
from hydria.model.errors import DriverError

_log = logging.getLogger(__name__)
_NET = Path("/proc/sys/net")
_IPV4 = "ipv4/ip_forward"
_IPV6 = "ipv6/conf/all/forwarding"
_INTERFACE = "ipv4/conf/{}/forwarding"
# Not interfaces of their own; what Hydria has made, of which only the VIP bridge is routed through; loopback.
_NO_INTERFACES = ("all", "default", "lo")
OURS = "hy"
# What the kernel changes along with the switches, and what router advertisements need then.
_ALONG = ("ipv4/conf/*/forwarding", "ipv4/conf/all/accept_redirects", "ipv6/conf/*/forwarding")
_ACCEPT_RA = "ipv6/conf/{}/accept_ra"

Values = Mapping[str, str]


def is_on(bridge: str) -> bool:
    """Whether the host forwards what comes from a bridge, IPv4 and (where there is one) IPv6."""
    return of(bridge) and _read(_IPV6) != "0"


def of(interface: str) -> bool:
    """Whether the host forwards IPv4 that comes by an interface."""
    return _read(_INTERFACE.format(interface)) != "0"


def read() -> Values:
    """Every value that turning on may change, those that change others first."""
    patterns = (_IPV4, _IPV6, *_ALONG, _ACCEPT_RA.format("*"))
    names = [str(path.relative_to(_NET)) for pattern in patterns for path in sorted(_NET.glob(pattern))]
    return {name: value for name in dict.fromkeys(names) if (value := _read(name)) is not None}


def interfaces() -> tuple[str, ...]:
    """The host's interfaces that packets to and from amphorae may come by."""
    found = sorted(path.name for path in (_NET / "ipv4" / "conf").iterdir())
    return tuple(name for name in found if name not in _NO_INTERFACES and not name.startswith(OURS))


def routers(before: Values) -> frozenset[int]:
    """The IP versions in which this host is to be a router for others than Hydria.

    IPv4's switch is never ours, so it is always theirs; of IPv6's the value from before tells.
    """
    wanted = {4: _read(_IPV4), 6: before.get(_IPV6, "0")}
    return frozenset(version for version, value in wanted.items() if value not in (None, "0"))


def glance(bridge: str) -> object:
    """What to compare with later, to know whether to turn on anew; cheap enough to be asked every second."""
    return interfaces(), _read(_IPV4), _read(_IPV6), _read(_INTERFACE.format(bridge))


def turn_on(advertised: Iterable[str], bridge: str, others: Iterable[str]) -> None:
    """Let the host forward what comes by these interfaces.

    advertised: interfaces whose default route comes from router advertisements, which a host that forwards
    would no longer listen to (accept_ra 2 does). bridge: the VIP network's.
    """
    for interface in advertised:
        name = _ACCEPT_RA.format(interface)
        if _read(name) == "1":
            _write(name, "2")
    for name in (*(_INTERFACE.format(interface) for interface in (bridge, *others)), _IPV6):
        if _read(name) == "0":
            _write(name, "1")


def turn_off(bridge: str) -> None:
    """Have nothing forwarded that comes from a bridge, whatever the host does otherwise."""
    name = _INTERFACE.format(bridge)
    if _read(name) != "0":
        _write(name, "0")


def restore(before: Values) -> None:
    """Write back what differs; interfaces that have gone since are left out."""
    values = dict(before)
    # Who has turned the switch meanwhile has set all interfaces along with it.
    if values.pop(_IPV4, "0") == _read(_IPV4) == "0":
        usual = before.get(_INTERFACE.format("default"), "0")
        values = {_INTERFACE.format(name): usual for name in interfaces()} | values
    else:
        values = {name: value for name, value in values.items() if not name.startswith("ipv4/")}
    for name, value in values.items():
        if _read(name) not in (None, value):
            _write(name, value)


def pack(values: Values) -> str:
    """The two switches, short enough for a comment."""
    return " ".join(f"{name}={values[name]}" for name in (_IPV4, _IPV6) if name in values)


def unpack(text: str) -> Values:
    """The inverse of :func:`pack`; what else it holds is ignored."""
    pairs = (item.partition("=") for item in text.split())
    return {name: value for name, _, value in pairs if name in (_IPV4, _IPV6) and value.isdigit()}


def remember(path: Path, values: Values) -> None:
    """Keep the values from before, unless some of this boot are kept already."""
    if recall(path) is None:
        state_dir.replace(path, json.dumps({"epoch": _epoch(), "values": values}).encode(), mode=0o644)


def recall(path: Path) -> Values | None:
    """The values from before, None when there are none of this boot and this network namespace."""
    kept = state_dir.read_json(path)
    if not isinstance(kept, dict) or kept.get("epoch") != _epoch():
        return None
    return {str(name): str(value) for name, value in kept["values"].items()}


def _epoch() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/net').stat().st_ino}"


def _read(name: str) -> str | None:
    try:
        return (_NET / name).read_text().strip()
    except OSError:  # not there, or not for reading (stable_secret and its like)
        return None


def _write(name: str, value: str) -> None:
    try:
        (_NET / name).write_text(value)
        if (found := _read(name)) not in (None, value):
            raise DriverError(f"{_NET / name} is {found}, though {value} was just written to it.")
    except FileNotFoundError:
        _log.info("%s has gone with its interface.", name)
    except OSError as error:
        raise DriverError(
            f"Cannot set {_NET / name} to {value}: {error.strerror}. Set it on the host"
            f" (sysctl {name.replace('/', '.')}={value}) if Hydria may not."
        ) from error
