"""Where TaskFlow keeps what it knows of a flow: nowhere but in the flow's own objects.

No pass goes on with another one's flow: each begins from the rows, whatever became of the one before. So
nothing asks for a kept state, and TaskFlow's store in memory, a file system in dictionaries with locks around
each path, costs a third of what running a flow does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

from taskflow.exceptions import NotFound
from taskflow.persistence import base, models


class Unkept(base.Backend):
    """A backend of TaskFlow for flows that nobody resumes; one serves all threads."""

    def get_connection(self) -> UnkeptConnection:
        """There is nothing to connect to."""
        return UnkeptConnection(self)

    def close(self) -> None:
        """Nothing is open."""


def detail(flow: Any) -> Any:
    """Where TaskFlow notes what becomes of a flow; without one it makes a logbook, and warns that it does."""
    return models.FlowDetail(flow.name, str(uuid.uuid4()))


class UnkeptConnection(base.Connection):
    """Gives back what it is told, as if it had been written and read."""

    def __init__(self, backend: Unkept) -> None:
        self._backend = backend

    @property
    def backend(self) -> Unkept:
        """Whose connection it is."""
        return self._backend

    def close(self) -> None:
        """Nothing is open."""

    def upgrade(self) -> None:
        """There is no schema."""

    def validate(self) -> None:
        """There is no schema."""

    def clear_all(self) -> None:
        """There is nothing."""

    def update_atom_details(self, atom_detail: Any) -> Any:
        """What becomes of a step."""
        return atom_detail

    def update_flow_details(self, flow_detail: Any) -> Any:
        """What becomes of a flow."""
        return flow_detail

    def save_logbook(self, book: Any) -> Any:
        """Several flows together."""
        return book

    def destroy_logbook(self, book_uuid: str) -> None:
        """None is kept."""

    def get_logbooks(self, lazy: bool = False) -> Iterator[Any]:  # noqa: ARG002  (as inherited)
        """None is kept."""
        return iter(())

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> NoReturn:  # noqa: ARG002  (as inherited)
        """Raise NotFound."""
        raise NotFound(f"No logbook is kept, {book_uuid} is not, either.")

    def get_flows_for_book(self, book_uuid: str) -> Iterator[Any]:  # noqa: ARG002  (as inherited)
        """None is kept."""
        return iter(())

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> NoReturn:  # noqa: ARG002  (as inherited)
        """Raise NotFound."""
        raise NotFound(f"No flow is kept, {fd_uuid} is not, either.")

    def get_atom_details(self, ad_uuid: str) -> NoReturn:
        """Raise NotFound."""
        raise NotFound(f"No step is kept, {ad_uuid} is not, either.")

    def get_atoms_for_flow(self, fd_uuid: str) -> Iterator[Any]:  # noqa: ARG002  (as inherited)
        """None is kept."""
        return iter(())
