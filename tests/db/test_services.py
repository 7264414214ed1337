"""The servers that the other tests stand on: they answer, keep their data, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import amqp
import pytest
import sqlalchemy

from tests import services
from tests.services import Service, ServiceError

pytestmark = pytest.mark.db

BUILDERS = [services.mariadb, services.postgresql, services.rabbitmq]
DATABASES = ["mariadb", "postgresql"]
Builder = Callable[[], AbstractContextManager[Service]]


def address(rabbitmq: Service) -> str:
    return rabbitmq.url.removeprefix("rabbit://guest:guest@").rstrip("/")


def execute(url: str, *statements: str) -> list[tuple]:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def gone(pid: int) -> bool:
    """Dead, or a zombie that nobody has fetched yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_every_engine_gives_an_empty_database(database_url: str) -> None:
    execute(database_url, "CREATE TABLE t (x INTEGER)", "INSERT INTO t VALUES (1)")
    assert execute(database_url, "SELECT x FROM t") == [(1,)]


@pytest.mark.parametrize("name", DATABASES)
def test_a_fresh_database_is_dropped_although_a_client_is_still_connected(
    name: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    with services.fresh_database(server) as url:
        engine = sqlalchemy.create_engine(url)
        engine.connect()
    engine.dispose()
    with pytest.raises(sqlalchemy.exc.OperationalError):
        execute(url, "SELECT 1")


@pytest.mark.parametrize("end", [Service.stop, Service.kill])
@pytest.mark.parametrize("name", DATABASES)
def test_a_database_keeps_its_data_and_port_over_a_restart(
    name: str, end: Callable[[Service], None], request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    with services.fresh_database(server) as url:
        execute(url, "CREATE TABLE t (x INTEGER)", "INSERT INTO t VALUES (7)")
        before = server.pid
        end(server)
        assert gone(before)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            execute(url, "SELECT 1")
        server.start()
        assert server.pid != before
        assert execute(url, "SELECT x FROM t") == [(7,)]


def test_rabbitmq_answers_again_after_kill_9(rabbitmq: Service) -> None:
    rabbitmq.kill()
    rabbitmq.start()
    with amqp.Connection(address(rabbitmq)) as connection:
        connection.channel().queue_declare("anew", durable=False)


def test_rabbitmq_keeps_a_durable_queue_over_a_restart(rabbitmq: Service) -> None:
    with amqp.Connection(address(rabbitmq), confirm_publish=True) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False)
        channel.basic_publish(amqp.Message("still here", delivery_mode=2), routing_key="kept")
    rabbitmq.stop()
    rabbitmq.start()
    with amqp.Connection(address(rabbitmq)) as connection:
        channel = connection.channel()
        assert channel.basic_get("kept").body == "still here"
        channel.queue_delete("kept")


@pytest.mark.parametrize("build", BUILDERS)
def test_nothing_is_left_after_a_test_that_failed(build: Builder) -> None:
    started = []

    def fails() -> None:
        with build() as server:
            started.append((server.pid, server.directory))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    [(pid, directory)] = started
    assert gone(pid)
    assert not directory.exists()
    assert not processes_of(directory)


@pytest.mark.parametrize("build", BUILDERS)
def test_nothing_runs_on_after_the_test_process_was_killed(build: Builder, tmp_path: Path) -> None:
    program = (
        f"from tests.services import {build.__name__} as build\n"
        "import time\n"
        "with build() as server:\n"
        "    print(server.directory, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TMPDIR": "/tmp"},
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        directory = Path(owner.stdout.readline().strip())
        assert processes_of(directory)
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_of(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(directory)
    subprocess.run(["rm", "-rf", directory], check=True)  # the one thing that a killed process leaves


def processes_of(directory: Path) -> list[str]:
    """The processes, epmd among them, that have the service's directory as their home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={directory}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended while we looked
            continue
    return found


def test_a_server_outlives_the_thread_that_started_it(postgresql: Service) -> None:
    postgresql.stop()
    starter = Thread(target=postgresql.start)
    starter.start()
    starter.join()
    time.sleep(0.2)
    assert postgresql.running


def test_a_missing_program_says_which_package_to_install() -> None:
    with pytest.raises(ServiceError, match=r"no-such-server is missing: install the package some-package"):
        services._program("no-such-server", "some-package")


def test_a_server_that_cannot_start_says_what_it_wrote(tmp_path: Path) -> None:
    def refused() -> None:
        raise ConnectionRefusedError

    server = Service("x://", tmp_path, ["sh", "-c", "echo disk is full >&2; exit 1"], refused)
    with pytest.raises(ServiceError, match="disk is full"):
        server.start()
