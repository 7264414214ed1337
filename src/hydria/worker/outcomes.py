"""What became of the steps of a pass, each by itself: nothing reverts another's success."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How far a step got."""

    DONE = "done"
    UNDER_WAY = "under way"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step's. error: why it failed. look_again: seconds until what is under way is looked at next.

    A step is skipped when one that it depends on is not done.
    """

    state: State
    error: BaseException | None = None
    look_again: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the steps that depend on it can go on."""
        return self.state is State.DONE


DONE = Outcome(State.DONE)
SKIPPED = Outcome(State.SKIPPED)


def under_way(look_again: float) -> Outcome:
    """Ordered, and not there yet."""
    return Outcome(State.UNDER_WAY, look_again=look_again)


class Outcomes:
    """Those of a pass, by the names of its steps; any thread may note one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Outcome] = {}

    def note(self, step: str, outcome: Outcome) -> None:
        """Remember how a step ended."""
        with self._lock:
            self._found[step] = outcome

    @property
    def errors(self) -> list[BaseException]:
        """Why steps failed."""
        with self._lock:
            return [found.error for found in self._found.values() if found.error is not None]

    @property
    def look_again(self) -> float | None:
        """Seconds until something that is under way is to be looked at; None when nothing is."""
        with self._lock:
            waits = [found.look_again for found in self._found.values() if found.state is State.UNDER_WAY]
        return min(waits, default=None)

    def any_done(self, kind: type) -> bool:
        """Whether any step of a kind was done."""
        with self._lock:
            return any(
                found.done for name, found in self._found.items() if name.startswith(f"{kind.__name__}:")
            )

    def done(self, step: str) -> bool:
        """Whether a step was done."""
        with self._lock:
            found = self._found.get(step)
        return found is not None and found.done
