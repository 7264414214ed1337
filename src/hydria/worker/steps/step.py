"""What every step is: a TaskFlow task with the worker's tools, which ends in an outcome."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from taskflow import task

from hydria.model.errors import Busy, HydriaError
from hydria.worker.outcomes import DONE, SKIPPED, Outcome, State
from hydria.worker.tools import Interrupted, Tools

LOG = logging.getLogger(__name__)


class Step(task.Task):
    """One effect, safe to repeat.

    ``subject`` (an amphora's or load balancer's id) makes its name unique in a flow. after: the names of
    steps that must be done; it is skipped when one of them is not. What fails is an outcome, too: only what
    ends the whole pass is raised.
    """

    def __init__(self, tools: Tools, subject: str, *, after: Sequence[str] = ()) -> None:
        name = self.named(subject)
        super().__init__(name=name, provides=name, requires=list(after))
        self.tools = tools
        self.subject = subject

    @classmethod
    def named(cls, subject: str) -> str:
        """The name of a step of this kind."""
        return f"{cls.__name__}:{subject}"

    def execute(self, **before: Outcome) -> Outcome:
        """Act, if all that it depends on is done, and note what became of it."""
        outcome = self._outcome() if all(each.done for each in before.values()) else SKIPPED
        self.tools.outcomes.note(self.name, outcome)
        return outcome

    def act(self) -> Outcome | None:
        """Do it; None when it is done. Raises what it failed of."""
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """Note what follows for the next pass from a failure of this step."""

    def _outcome(self) -> Outcome:
        try:
            return self.act() or DONE
        except (Interrupted, Busy):
            raise
        except HydriaError as error:
            return self._failed(error)
        except Exception as error:
            LOG.exception("%s failed unexpectedly", self.name)
            return self._failed(error)

    def _failed(self, error: BaseException) -> Outcome:
        self.failed(error)
        return Outcome(State.FAILED, error)

    @property
    def stands_alone(self) -> bool:
        """Whether it needs nothing of other steps."""
        return not self.requires
