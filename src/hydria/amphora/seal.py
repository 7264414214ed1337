"""Seals on what the agent keeps on disk: HAProxy is of the agent's user, and may write where the agent does.

Whoever breaks into it does not have the key, which is derived from that of the heartbeats and is in the
agent's memory alone. So it can take away what is kept, or bring back what was kept earlier, and make up
nothing.
"""

from __future__ import annotations

import hmac

from hydria.amphora import workdir
from hydria.amphora.log import log

_DIGEST = "sha256"


class Seal:
    """``key``: the amphora's own. ``purpose``: what is sealed; what was sealed for another one is not
    taken.
    """

    def __init__(self, key: str, purpose: str) -> None:
        self._key = hmac.digest(key.encode(), purpose.encode(), _DIGEST)

    def write(self, name: str, body: bytes, *, durable: bool = False) -> None:
        """Replace a file as a whole (:func:`.workdir.write`)."""
        workdir.write(name, self._of(body) + b"\n" + body, durable=durable)

    def read(self, name: str) -> bytes | None:
        """What was written last; None where nothing is, and, with a word in the log, where others wrote
        it.
        """
        kept = workdir.read(name)
        if kept is None:
            return None
        seal, _, body = kept.partition(b"\n")
        if hmac.compare_digest(seal, self._of(body)):
            return body
        log("agent", f"the kept {name} is not what this agent wrote, going on without it")
        return None

    def _of(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, _DIGEST).hex().encode()
