"""Root part: the closed set of things that it does for the unprivileged agent.

Asked for by :class:`hydria.amphora.root_part.RootPart`, in JSON lines over a socket pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from hydria.amphora import announcement, firewall, kernel, links
from hydria.amphora.faults import Failed, Malformed, Refused
from hydria.amphora.forwarding import Forwarding


class Commands:
    """Carries out requests. ``agent_address``: where controllers reach the agent; left alone."""

    def __init__(self, agent_address: str) -> None:
        self._reserved = kernel.interface_of(agent_address)
        self._forwarding = Forwarding(self._reserved)
        self._added: frozenset[tuple[str, str]] = frozenset()
        self.known: Mapping[str, Callable[[object], object]] = {
            "interfaces": self._interfaces,
            "announce": self._announce,
            "nftables": firewall.apply,
            "datagrams": self._forwarding.apply,
            "datagram_levels": self._forwarding.level,
            "datagram_counters": self._forwarding.counters,
        }

    def answer(self, line: bytes) -> bytes:
        """Carry out one request and say what became of it, as a line."""
        try:
            request = json.loads(line)
            reply = {"result": self.known[request["command"]](request["arguments"])}
        except (Refused, Malformed) as error:
            reply = {"fault": str(error)}
        except (Failed, OSError) as error:
            reply = {"failure": str(error)}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reply = {"fault": f"malformed request: {str(error)[:200]!r}"}
        return json.dumps(reply).encode() + b"\n"

    def _interfaces(self, arguments: object) -> list[list[str]]:
        added = links.apply(arguments, self._reserved)
        self._added = frozenset((mac, address) for mac, address in added)
        return added

    def _announce(self, arguments: object) -> None:
        announcement.send(arguments, self._added)
