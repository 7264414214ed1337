"""Root part: the closed set of things that it does for the unprivileged agent.

Asked for by :class:`hydria.amphora.root_part.RootPart`, in JSON lines over a socket pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from hydria.amphora import announcement, firewall, links
from hydria.amphora.faults import Malformed, Refused

_COMMANDS: Mapping[str, Callable[[object], object]] = {
    "interfaces": links.apply,
    "announce": announcement.send,
    "nftables": firewall.apply,
}


def answer(line: bytes) -> bytes:
    """Carry out one request and say what became of it, as a line."""
    try:
        request = json.loads(line)
        reply = {"result": _COMMANDS[request["command"]](request["arguments"])}
    except (Refused, Malformed, OSError) as error:
        reply = {"fault": str(error)}
    except (ValueError, KeyError, TypeError) as error:
        reply = {"fault": f"malformed request: {error!r}"}
    return json.dumps(reply).encode() + b"\n"
