"""What requests at the driver agent's sockets have in common: records with an id, and the answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from hydria.model import kinds
from hydria.model.errors import Unavailable
from hydria.model.resource import IDENTIFIER
from hydria.store import Store

LOG = logging.getLogger(__name__)
T = TypeVar("T")

DONE = msgspec.json.encode({"status_code": 200})
# A client waits for half a minute altogether, and a status that is lost here nobody repeats.
_PATIENCE = 20.0
_PAUSE = 0.5


class Fault(Exception):  # noqa: N818  (contract 3.4: fault_string)
    """Why a request is refused, and at which of its records: ``words`` is the key of its list."""

    def __init__(
        self, text: str, words: str | None = None, identifier: object = None, record: object = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.words = words
        self.identifier = identifier
        self.record = record


def decode(body: bytes) -> dict[str, Any]:
    """A request's JSON object; Fault when it is none."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Fault(f"The request is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise Fault("The request is not a JSON object.")
    return decoded


def records(request: Mapping[str, Any], words: str) -> list[Mapping[str, Any]]:
    """The records of one kind; Fault unless each is an object with an id."""
    listed = request.get(words)
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise Fault(f"'{words}' is not a list.", words)
    for record in listed:
        if not isinstance(record, dict):
            raise Fault(f"A record of '{words}' is not an object.", words, None, record)
        if not isinstance(record.get("id"), str):
            raise Fault(f"A record of '{words}' has no id.", words, record.get("id"), record)
    return listed


def known_id(identifier: str) -> str:
    """An id as the store keeps it; one that cannot be an id stays as it is, cut to what can be looked up."""
    try:
        return IDENTIFIER.parse(identifier)
    except kinds.BadValue:
        return kinds.shown(identifier)


def transact(store: Store, work: Callable[[sa.Connection], T], stopping: threading.Event) -> T:
    """Run ``work`` in a transaction, once the database is back; Unavailable when that takes long."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return store.transact(work)
        except Unavailable as error:
            if time.monotonic() > deadline or stopping.is_set():
                raise
            LOG.warning("A report waits for the database: %s", error)
        stopping.wait(_PAUSE)
