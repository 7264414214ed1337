"""What the store makes of errors and of other writers, on SQLite and without any database."""

import sqlite3
import sys
import threading
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from hydria.model.errors import Invalid, Unavailable
from hydria.store import Store, connections, engine, failures


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(f"sqlite:///{tmp_path / 'hydria.db'}")
    made.transact(lambda tx: tx.execute(sa.text("CREATE TABLE t (x INTEGER UNIQUE)")))
    return made


def insert(tx: sa.Connection, number: int = 1) -> None:
    tx.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": number})


def count(store: Store) -> int:
    with store.read() as tx:
        return int(tx.execute(sa.text("SELECT count(*) FROM t")).scalar_one())


def error(
    original: Exception, kind: type[exc.DBAPIError] = exc.OperationalError, *, lost: bool = False
) -> exc.DBAPIError:
    return kind("SELECT 1", {}, original, connection_invalidated=lost)


def of_sqlite(name: str) -> Exception:
    made = sqlite3.OperationalError("whatever")
    made.sqlite_errorcode = getattr(sqlite3, name)
    return made


LOST_RACES = [
    pymysql.err.OperationalError(1213, "Deadlock gefunden"), pymysql.err.OperationalError(1205, "..."),
    pymysql.err.OperationalError(1305, "SAVEPOINT does not exist"),
    psycopg.errors.DeadlockDetected("Verklemmung entdeckt"), psycopg.errors.SerializationFailure(),
    psycopg.errors.LockNotAvailable(), of_sqlite("SQLITE_BUSY"), of_sqlite("SQLITE_BUSY_SNAPSHOT"),
    of_sqlite("SQLITE_LOCKED"),
]  # fmt: skip
AWAY = [
    pymysql.err.OperationalError(2003, "Can't connect to a server named deadlock"), pymysql.err.OperationalError(2013, "Lost"),
    pymysql.err.OperationalError(1053, "Server shutdown in progress"), pymysql.err.OperationalError(1040, "Too many"),
    psycopg.OperationalError("connection refused"), psycopg.errors.AdminShutdown(), psycopg.errors.CannotConnectNow(),
    psycopg.errors.DiskFull(), of_sqlite("SQLITE_CANTOPEN"), of_sqlite("SQLITE_FULL"), of_sqlite("SQLITE_IOERR_READ"),
]  # fmt: skip
MISTAKES = [
    pymysql.err.OperationalError(1054, "Unknown column"), of_sqlite("SQLITE_ERROR"),
]  # fmt: skip


@pytest.mark.parametrize("original", LOST_RACES, ids=repr)
def test_lost_races(original: Exception) -> None:
    assert failures.is_lost_race(error(original))


@pytest.mark.parametrize("original", AWAY, ids=repr)
def test_a_database_that_is_away(original: Exception) -> None:
    assert failures.is_away(error(original))
    assert not failures.is_lost_race(error(original))


@pytest.mark.parametrize("original", MISTAKES, ids=repr)
def test_mistakes(original: Exception) -> None:
    assert not failures.is_away(error(original))
    assert not failures.is_lost_race(error(original))


def test_a_connection_that_was_lost_is_away_whatever_the_error() -> None:
    assert failures.is_away(error(psycopg.InternalError(), exc.InternalError, lost=True))
    assert not failures.is_away(error(psycopg.ProgrammingError(), exc.ProgrammingError))
    assert not failures.is_away(error(pymysql.err.DataError(1406, "Data too long"), exc.DataError))


def test_a_lost_race_is_run_again(store: Store) -> None:
    runs = []

    def work(tx: sa.Connection) -> str:
        insert(tx, len(runs))
        runs.append(len(runs))
        if len(runs) < 4:
            raise error(of_sqlite("SQLITE_BUSY"))
        return "answer"

    assert store.transact(work) == "answer"
    assert runs == [0, 1, 2, 3]
    assert count(store) == 1


def test_who_loses_for_too_long_hears_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 0.05)

    def work(_: sa.Connection) -> None:
        raise error(of_sqlite("SQLITE_BUSY"))

    with pytest.raises(Unavailable, match="too busy"):
        store.transact(work)
    with pytest.raises(Unavailable, match="too busy"), store.read():
        raise error(of_sqlite("SQLITE_BUSY"))


def test_rules_of_the_tables_are_their_callers_business(store: Store) -> None:
    store.transact(insert)
    with pytest.raises(exc.IntegrityError):
        store.transact(insert)
    assert count(store) == 1


def test_writers_of_one_process_take_turns(store: Store) -> None:
    """SQLite alone would have them sleep and ask again, for longer and longer."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: sa.Connection) -> None:
        insert(tx, 1)
        begun.set()
        assert go_on.wait(10)

    first = threading.Thread(target=store.transact, args=(slow,))
    second = threading.Thread(target=store.transact, args=(lambda tx: insert(tx, 2),))
    first.start()
    assert begun.wait(10)
    second.start()
    assert count(store) == 0, "readers wait for nobody"
    go_on.set()
    first.join(10)
    second.join(10)
    assert count(store) == 2


def test_a_writer_that_waits_for_its_turn_in_vain(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 0.05)

    def nested(_: sa.Connection) -> None:
        store.transact(insert)

    with pytest.raises(Unavailable, match="too busy"):
        store.transact(nested)
    store.transact(insert)


def test_references_are_kept_and_the_log_is_written_ahead(store: Store) -> None:
    for found in (store.writer, store.reader):
        with found.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_nobody_else_reads_the_files(store: Store, tmp_path: Path) -> None:
    store.transact(insert)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"hydria.db": 0o600, "hydria.db-wal": 0o600, "hydria.db-shm": 0o600}


def test_a_reader_holds_no_transaction(store: Store) -> None:
    with store.read() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0
        store.transact(insert)
        assert tx.execute(sa.text("SELECT count(*) FROM t")).scalar() == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="name a file"):
        Store(url)


def test_an_url_may_say_otherwise() -> None:
    made = connections.reader(
        sa.make_url("postgresql+psycopg://h/d?connect_timeout=1"), connections.Pooling()
    )
    assert made.dialect.create_connect_args(made.url)[1]["connect_timeout"] == "1"
    seen: dict[str, object] = {}

    @sa.event.listens_for(made, "do_connect")
    def _(_dialect: object, _record: object, _positional: object, named: dict[str, object]) -> None:
        seen.update(named)
        raise psycopg.OperationalError

    with pytest.raises(exc.OperationalError):
        made.connect()
    assert (seen["connect_timeout"], seen["keepalives_idle"]) == ("1", 10)


def test_the_password_is_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    secret = Store("mysql+pymysql://user:geheim@127.0.0.1:1/hydria")
    with pytest.raises(Unavailable) as raised:
        secret.ping()
    assert "does not answer" in caplog.text
    assert "geheim" not in caplog.text + str(raised.value)


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(Invalid, match=r"a driver that is not there: .*MySQLdb.* mysql\+pymysql://") as raised:
        Store("mysql+mysqldb://user:geheim@127.0.0.1:1/hydria")
    assert "geheim" not in str(raised.value)
