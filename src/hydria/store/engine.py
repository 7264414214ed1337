"""Connections and transactions."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from hydria.model.errors import Invalid, Unavailable
from hydria.store import connections, events, failures
from hydria.store.connections import Pooling
from hydria.store.events import Event

LOG = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds for which a transaction that loses races is run again and again.
_PATIENCE = 10.0
_LONGEST_PAUSE = 0.25


class Store:
    """The database of one program.

    Reads run in autocommit mode (no statement but the query itself); writes in one transaction each, under
    READ COMMITTED, or with SQLite's write lock taken at the start. When the database is away, both raise
    Unavailable; once it is back, so are they.
    """

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 20, pool_timeout: int = 10,
                 recycle: int = 3600) -> None:  # fmt: skip
        pooling = Pooling(pool_size, max_overflow, pool_timeout, recycle)
        try:
            self.url = sa.make_url(url)
            self.sqlite = connections.family(self.url) == "sqlite"
            self.writer = connections.writer(self.url, pooling)
            self.reader = connections.reader(self.url, pooling)
        except ImportError as error:
            raise Invalid(
                f"[database] connection asks for a driver that is not there: {error}. Install it, or write"
                " mysql+pymysql:// or postgresql+psycopg://, whose drivers come with Hydria."
            ) from error
        except (exc.ArgumentError, ValueError) as error:
            # Without the URL in the message: it holds a password.
            raise Invalid(
                f"[database] connection is not a URL that SQLAlchemy can use ({type(error).__name__});"
                " write it like mysql+pymysql://user:password@host/hydria."
            ) from error
        self._turn = threading.Lock()
        self._away = False
        self._observer: Callable[[Sequence[Event]], None] | None = None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection whose every statement sees what is committed."""
        try:
            with self._translated(), self.reader.connect() as connection:
                yield connection
        except _LostRace as lost:
            raise _too_busy() from lost

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in a transaction and commit; again from the start when it lost a race.

        ``work`` may therefore run several times, and must change nothing but the database. After Unavailable
        it is unknown whether the last try was committed.
        """
        deadline = time.monotonic() + _PATIENCE
        pause = 0.01
        while True:
            try:
                return self._transact_once(work)
            except _LostRace as lost:
                if time.monotonic() > deadline:
                    raise _too_busy() from lost
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  (spreading, not secrecy)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def observe(self, observer: Callable[[Sequence[Event]], None]) -> None:
        """Have ``observer`` told after each commit what it has changed (store/events.py).

        It is called by the thread whose transaction it was, so it must not wait.
        """
        self._observer = observer

    def _transact_once(self, work: Callable[[sa.Connection], T]) -> T:
        if self._observer is None:
            with self._translated(), self._in_turn(), self.writer.begin() as connection:
                return work(connection)
        with self._translated(), self._in_turn(), self.writer.begin() as connection:
            events.begin(connection)
            try:
                answer = work(connection)
            finally:
                noted = events.end(connection)
        try:
            if noted:
                self._observer(noted)
        except Exception:
            # It is committed, whoever hears of it.
            LOG.exception("%d changes were not told", len(noted))
        return answer

    def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        with self.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close all connections that are not in use; new ones are made when they are needed."""
        self.writer.dispose()
        self.reader.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One transaction of this process at a time on SQLite, which has others poll for its lock."""
        if not self.sqlite:
            yield
            return
        if not self._turn.acquire(timeout=_PATIENCE):
            raise _LostRace
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise  # callers know which rule of theirs it stands for
        except exc.TimeoutError as error:
            raise Unavailable("All database connections are in use. Try again.") from error
        except exc.DBAPIError as error:
            if failures.is_lost_race(error):
                raise _LostRace from error
            if not failures.is_away(error):
                raise
            self._note_away(error)
            raise Unavailable("The database does not answer. Try again.") from error
        if self._away:
            self._away = False
            LOG.info("The database %s answers again", self.url.render_as_string())

    def _note_away(self, error: exc.DBAPIError) -> None:
        # What else lies in the pools is as dead; the next request shall not have to find out.
        self.close()
        if not self._away:
            self._away = True
            LOG.warning("The database %s does not answer: %s", self.url.render_as_string(), error.orig)


class _LostRace(Exception):  # noqa: N818  (caught a few lines above)
    """Another transaction won; this one may start again."""


def _too_busy() -> Unavailable:
    return Unavailable("The database is too busy: the same rows are being changed over and over. Try again.")
