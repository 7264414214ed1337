"""What an amphora is born with: a directory of files that the compute driver writes before the agent starts.

``boot.json`` is :class:`Boot`; beside it lie ``server.pem`` (the agent's certificate and key) and
``client_ca.pem`` (who signs for those that may give it orders, by the name of ``CONTROLLER``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from hydria.wire.encoding import encode

CONFIG = "boot.json"
SERVER_PEM = "server.pem"
CLIENT_CA_PEM = "client_ca.pem"
PORT = 9443
CONTROLLER = "hydria-controller"  # the name that the controllers' certificate is for, in every deployment


@dataclass(frozen=True, slots=True)
class Boot:
    """The agent's own settings.

    bind_host, bind_port: where it listens for controllers, on the LB network.
    controllers: ``host:port`` of every health manager that gets its heartbeats.
    heartbeat_key: hex, of this amphora alone. heartbeat_interval: seconds.
    user: the numeric user and group id of everything that needs no root; 0 keeps root (not for production).
    hard_stop_after: seconds that a retiring HAProxy process may live on for its last connections.
    retired_limit: how many of them may live at a time.
    haproxy: the HAProxy program.
    closed: networks that nothing in the amphora may begin to talk to; opened: the addresses in them of
    controllers and receivers of logs.
    memory_mb: what the compute driver lets the amphora have; 0: all of the machine's.
    """

    amphora_id: str
    bind_host: str
    heartbeat_key: str = field(repr=False)
    bind_port: int = PORT
    controllers: tuple[str, ...] = ()
    heartbeat_interval: float = 10.0
    user: int = 0
    hard_stop_after: int = 60
    retired_limit: int = 16
    haproxy: str = "haproxy"
    closed: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    memory_mb: int = 0

    def write(self, directory: Path) -> None:
        """Write it to ``directory``, readable by its owner alone."""
        path = directory / CONFIG
        path.touch(mode=0o600)
        path.write_bytes(encode(self))

    @classmethod
    def read(cls, directory: Path) -> Boot:
        """Read what :meth:`write` wrote."""
        fields = json.loads((directory / CONFIG).read_text())
        lists = {name: tuple(fields[name]) for name in ("controllers", "closed", "opened") if name in fields}
        return cls(**{**fields, **lists})
