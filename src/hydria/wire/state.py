"""The desired state of one amphora, and what became of it.

A controller puts the whole of it to ``PUT /v1/state`` of the agent; the agent applies it atomically or
refuses it and keeps the previous one. Nothing in it depends on what was sent before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hydria.wire.logs import Syslog


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of the amphora, found by its MAC address.

    addresses: the amphora's own, with prefix length (``10.0.0.5/24``).
    vips: service addresses with prefix length. All are announced to the network when they are added.
    gateway4, gateway6: next hop of the default route, "" for none.
    """

    mac: str
    mtu: int
    addresses: tuple[str, ...]
    vips: tuple[str, ...] = ()
    gateway4: str = ""
    gateway6: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A member in an HAProxy backend, so described that HAProxy's runtime API can make it.

    backend, name: HAProxy's names, safe tokens. address: ``192.0.2.1`` or ``2001:db8::1``.
    weight: 0 to 256; 0 drains. enabled: False is administratively down (maintenance).
    options: further ``server`` keywords, each a safe token: ``("check", "inter", "5s", …)``.
    check_address, check_port: where checks go if not where the traffic goes, "" and 0.
    drain: seconds that its connections may go on when it gets no new ones any more; None: as long as they
    like while it stays, and until the agent's own limit when it is removed.
    pinged: the address that the agent pings when HAProxy asks it to, "" for none.
    """

    backend: str
    name: str
    address: str
    port: int
    weight: int = 1
    enabled: bool = True
    options: tuple[str, ...] = ()
    check_address: str = ""
    check_port: int = 0
    pinged: str = ""
    drain: int | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file that HAProxy's configuration names as ``tls/NAME``: certificates, keys, lists of them.

    name: one path component; its suffix says what it is: ``.pem`` certificate and key, ``.ca``, ``.crl``,
    ``.list`` of certificates, ``.acl`` what an ACL compares with, one each line,
    ``.map`` keys with a value each, ``.lua`` a program. content: a secret, mostly; None: as the amphora has
    it, since the controller cannot read it now. To one that it does not have it answers :class:`Lacking`.
    """

    name: str
    content: str | None = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """Where an agent's heartbeats go, and how often: ``host:port`` of every health manager, and seconds."""

    controllers: tuple[str, ...]
    interval: float


@dataclass(frozen=True, slots=True)
class Probe:
    """How the agent asks whether a target serves; HAProxy asks its servers itself.

    kind: UDP-CONNECT, TCP, HTTP, SCTP. delay, timeout: seconds. rise, fall: answers in a row that change its
    mind. The rest is of HTTP: ``codes`` are the good ones; ``version`` "" is HTTP/1.0 without a host.
    """

    kind: str
    delay: int
    timeout: int
    rise: int
    fall: int
    method: str = "GET"
    path: str = "/"
    codes: tuple[int, ...] = (200,)
    version: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A member of a datagram service. name: its id. weight 0 takes no new flows, but those it is used to."""

    name: str
    address: str
    port: int
    weight: int = 1
    backup: bool = False
    enabled: bool = True
    probe_address: str = ""
    probe_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A UDP or SCTP listener, which the kernel's packet filter serves.

    listener, pool: ids. protocol: ``udp`` or ``sctp``. vips: the addresses it is reached at. allowed: the
    networks of clients, all when empty. limit: flows at a time, 0 for no limit. balance: ``turn``,
    ``least`` (flows for its weight), ``source`` (address) or ``flow`` (address and port). sticky: seconds
    that a client goes to the same target after its last new flow, 0 for not at all; mask4, mask6: how many
    leading bits tell clients apart. preserve: targets see the client's address instead of the amphora's, so
    their answers have to be routed by way of the amphora.
    """

    listener: str
    pool: str
    protocol: str
    vips: tuple[str, ...]
    port: int
    targets: tuple[Target, ...]
    allowed: tuple[str, ...] = ()
    limit: int = 0
    balance: str = "turn"
    sticky: int = 0
    mask4: int = 32
    mask6: int = 128
    preserve: bool = False
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything one amphora shall do.

    generation: the load balancer's; an agent refuses one older than what it has.
    term: of the lease under which it is sent (``Lease.term``); an agent refuses one below the highest that it
    has met, whatever the generation. 0, also when it is absent, is below all others.
    haproxy: the whole configuration, "" when nothing shall run.
    structure: digest of the configuration without its servers and connection limits: while it stays the
    same, a change of these, and of files, is made through the runtime API, without a reload.
    nftables: the whole ruleset of the amphora's own table, as ``nft -f`` reads it; "" for none.
    services: the listeners that HAProxy does not serve.
    files: what the configuration refers to.
    heartbeats: in the place of what the agent was born with; None: as it is.
    logs: where the agent's own log goes besides its disk; None: nowhere.
    """

    generation: int
    interfaces: tuple[Interface, ...] = ()
    haproxy: str = ""
    structure: str = ""
    servers: tuple[Server, ...] = ()
    nftables: str = ""
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()
    heartbeats: Heartbeats | None = None
    logs: Syslog | None = None
    term: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a desired state.

    generation: the one that serves now. reloaded: whether HAProxy was reloaded (or started) for it.
    fault: why the state was refused, "" when it was applied.
    """

    generation: int
    reloaded: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Superseded:
    """The answer to a state whose term is below ``term``, the highest that the agent has met."""

    term: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Files without content in a desired state that the amphora does not have either; nothing was applied."""

    lacks: tuple[str, ...]


def decode_state(body: bytes) -> DesiredState:
    """Of the JSON of one (:mod:`.encoding`); ValueError, KeyError or TypeError on anything else."""
    fields: dict[str, Any] = json.loads(body)
    interfaces = tuple(
        Interface(**{**item, "addresses": tuple(item["addresses"]), "vips": tuple(item["vips"])})
        for item in fields.pop("interfaces")
    )
    servers = tuple(Server(**{**item, "options": tuple(item["options"])}) for item in fields.pop("servers"))
    files = tuple(File(**item) for item in fields.pop("files", ()))
    told = fields.pop("heartbeats", None)
    heartbeats = told and Heartbeats(tuple(told["controllers"]), told["interval"])
    logs = fields.pop("logs", None)
    services = tuple(service(item) for item in fields.pop("services", ()))
    return DesiredState(
        interfaces=interfaces,
        servers=servers,
        files=files,
        heartbeats=heartbeats,
        services=services,
        logs=logs and Syslog(**{**logs, "targets": tuple(logs["targets"])}),
        **fields,
    )


def service(item: dict[str, Any]) -> Service:
    """A service from its JSON; KeyError or TypeError on anything else."""
    probe = item.get("probe")
    return Service(
        **{
            **item,
            "vips": tuple(item["vips"]),
            "allowed": tuple(item["allowed"]),
            "targets": tuple(Target(**target) for target in item["targets"]),
            "probe": None if probe is None else Probe(**{**probe, "codes": tuple(probe["codes"])}),
        }
    )


def decode_lacking(body: bytes) -> Lacking:
    """Of its JSON; ValueError, KeyError or TypeError on anything else."""
    return Lacking(tuple(str(name) for name in json.loads(body)["lacks"]))


def decode_superseded(body: bytes) -> Superseded:
    """Of its JSON; ValueError, KeyError or TypeError on anything else."""
    fields: dict[str, Any] = json.loads(body)
    return Superseded(int(fields["term"]), str(fields.get("fault", "")))


def decode_applied(body: bytes) -> Applied:
    """The inverse of :func:`encode`; ValueError or TypeError on anything else."""
    return Applied(**json.loads(body))
