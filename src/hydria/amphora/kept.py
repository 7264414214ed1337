"""The applied state on disk, sealed (:mod:`.seal`): nobody else says what the agent's next life serves."""

from __future__ import annotations

from hydria.amphora import files, workdir
from hydria.amphora.faults import Malformed
from hydria.amphora.log import log
from hydria.amphora.payload import decode
from hydria.amphora.seal import Seal
from hydria.wire.encoding import encode
from hydria.wire.state import DesiredState


class Kept:
    """``key``: the amphora's own."""

    def __init__(self, key: str) -> None:
        self._seal = Seal(key, "hydria-kept-state")

    def stage(self, state: DesiredState) -> None:
        """Write it beside the one that is kept; of its files, which may be secret, the names."""
        self._seal.write(workdir.STAGED_STATE, encode(files.without_contents(state)), durable=True)

    @staticmethod
    def commit() -> None:
        """Keep the staged one from now on, also when the power goes."""
        workdir.rename(workdir.STAGED_STATE, workdir.STATE)
        workdir.settle(".")

    @staticmethod
    def give_up() -> None:
        """Stay with the one that is kept; its files are those of before again."""
        files.switch_back()
        workdir.remove(workdir.STAGED_STATE)

    def read(self) -> DesiredState | None:
        """What was kept last; None, and a word in the log, when nothing of it can be used."""
        if workdir.read(workdir.STAGED_STATE) is not None:
            self.give_up()
        body = self._seal.read(workdir.STATE)
        if body is None:
            log("agent", "no state to go on with, waiting for a controller")
            return None
        try:
            state = files.with_contents(decode(body))
        except Malformed as error:
            log("agent", f"the kept state is unreadable, waiting for a controller: {error}")
            return None
        if state is None:
            log("agent", "the certificates of the kept state are gone, waiting for a controller")
        return state
