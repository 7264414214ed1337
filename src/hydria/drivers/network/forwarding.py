"""The host's forwarding: turned on while Hydria needs it, and afterwards as it was.

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
# What the kernel changes along with the two above, and what router advertisements need then.
_ALONG = ("ipv4/conf/*/forwarding", "ipv4/conf/all/accept_redirects", "ipv6/conf/*/forwarding")
_ACCEPT_RA = "ipv6/conf/{}/accept_ra"

Values = Mapping[str, str]


def is_on() -> bool:
    """Whether the host forwards, IPv4 and (where there is one) IPv6."""
    return all(_read(name) != "0" for name in (_IPV4, _IPV6))


def read() -> Values:
    """Every value that turning on may change, those that change others first."""
    patterns = (_IPV4, _IPV6, *_ALONG, _ACCEPT_RA.format("*"))
    names = [str(path.relative_to(_NET)) for pattern in patterns for path in sorted(_NET.glob(pattern))]
    return {name: value for name in dict.fromkeys(names) if (value := _read(name)) is not None}


def turn_on(advertised: Iterable[str]) -> None:
    """Let the host forward.

    advertised: interfaces whose default route comes from router advertisements, which a host that forwards
    would no longer listen to (accept_ra 2 does).
    """
    for interface in advertised:
        name = _ACCEPT_RA.format(interface)
        if _read(name) == "1":
            _write(name, "2")
    for name in (_IPV4, _IPV6):
        if _read(name) == "0":
            _write(name, "1")


def restore(before: Values) -> None:
    """Write back what differs; interfaces that have gone since are left out."""
    for name, value in before.items():
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
    except FileNotFoundError:
        _log.info("%s has gone with its interface.", name)
    except OSError as error:
        raise DriverError(
            f"Cannot set {_NET / name} to {value}: {error.strerror}. Set it on the host"
            f" (sysctl {name.replace('/', '.')}={value}) if Hydria may not."
        ) from error
