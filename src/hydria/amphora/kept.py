"""The applied state on disk, sealed: HAProxy is of the agent's user, and may write where the agent does.

Whoever breaks into it cannot make the agent's next life believe in other addresses: it does not have the key,
which is derived from that of the heartbeats and is in the agent's memory alone.
"""

from __future__ import annotations

import hmac

from hydria.amphora import files, workdir
from hydria.amphora.faults import Malformed
from hydria.amphora.log import log
from hydria.amphora.payload import decode
from hydria.wire.encoding import encode
from hydria.wire.state import DesiredState

_DIGEST = "sha256"


class Kept:
    """``key``: the amphora's own."""

    def __init__(self, key: str) -> None:
        self._key = hmac.digest(key.encode(), b"hydria-kept-state", _DIGEST)

    def stage(self, state: DesiredState) -> None:
        """Write it beside the one that is kept; of its files, which may be secret, the names."""
        body = encode(files.without_contents(state))
        workdir.write(workdir.STAGED_STATE, self._seal(body) + b"\n" + body)

    @staticmethod
    def commit() -> None:
        """Keep the staged one from now on."""
        workdir.rename(workdir.STAGED_STATE, workdir.STATE)

    @staticmethod
    def give_up() -> None:
        """Stay with the one that is kept; its files are those of before again."""
        files.switch_back()
        workdir.remove(workdir.STAGED_STATE)

    def read(self) -> DesiredState | None:
        """What was kept last; None, and a word in the log, when nothing of it can be used."""
        if workdir.read(workdir.STAGED_STATE) is not None:
            self.give_up()
        kept = workdir.read(workdir.STATE)
        if kept is None:
            return None
        seal, _, body = kept.partition(b"\n")
        if not hmac.compare_digest(seal, self._seal(body)):
            log("agent", "the kept state is not what this agent wrote, waiting for a controller")
            return None
        try:
            state = files.with_contents(decode(body))
        except Malformed as error:
            log("agent", f"the kept state is unreadable, waiting for a controller: {error}")
            return None
        if state is None:
            log("agent", "the certificates of the kept state are gone, waiting for a controller")
        return state

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, _DIGEST).hex().encode()
