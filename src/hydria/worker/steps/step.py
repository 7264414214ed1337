"""What every step is: a TaskFlow task with the worker's tools."""

from __future__ import annotations

from collections.abc import Sequence

from taskflow import task

from hydria.worker.tools import Tools


class Step(task.Task):
    """One effect. ``subject`` (an amphora's or load balancer's id) makes its name unique in a flow."""

    def __init__(self, tools: Tools, subject: str, *, provides: str | None = None,
                 rebind: Sequence[str] | None = None) -> None:  # fmt: skip
        name = f"{type(self).__name__}:{subject}"
        super().__init__(name=name, provides=provides, rebind=rebind)
        self.tools = tools

    @property
    def stands_alone(self) -> bool:
        """Whether it needs nothing of other steps, and nothing of it is ever reverted."""
        return not self.requires and type(self).revert is task.Task.revert
