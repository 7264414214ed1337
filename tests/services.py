"""Real servers for tests and benchmarks: MariaDB, PostgreSQL and RabbitMQ from the distribution's packages.

Each listens on a port of its own on 127.0.0.1, keeps its data in a temporary directory, and ends with the
process that started it, also when that is killed. Nothing here knows pytest:

    with mariadb() as server, fresh_database(server) as url:
        ...
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp
import psycopg
import pymysql
import sqlalchemy

HOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 60
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])

# What a client raises while its server is still coming up.
NOT_YET = (OSError, pymysql.MySQLError, psycopg.Error, amqp.exceptions.AMQPError)

# The kernel delivers a parent-death signal when the *thread* that started the child ends: one thread, which
# lives as long as the process, starts them all, so that a test may call start() from a short-lived one.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="services")


class ServiceError(Exception):
    """A server is not installed or did not start; the message says what to do or what it wrote."""


@dataclass(slots=True)
class Service:
    """A server: the command that starts it, the probe that tells that it answers, and its life in between."""

    url: str
    directory: Path  # its data, configuration and log
    command: list[str]
    probe: Callable[[], object]  # a round trip through a real client; raises one of NOT_YET until it works
    user: str | None = None  # the unprivileged user it runs as when we are root
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's own process, also of a stopped one (its last)."""
        if self._process is None:
            raise ServiceError(f"{self.command[0]} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> None:
        """Start it with the data and port it had before, and wait until it answers; nothing if it runs."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = spawn(
                self.command,
                user=self.user,
                cwd=self.directory,
                env=_environment(self.directory, self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop us in order
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it in order: clients are disconnected, data is written."""
        if self._process and self.running:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it as a crash would: kill -9, with the processes it forked, which hold the data directory."""
        if self._process and self.running:
            family = [self.pid, *_children(self.pid)]
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.probe()
            except NOT_YET as error:
                if not self.running or time.monotonic() > deadline:
                    self.kill()
                    raise ServiceError(f"{self.command[0]} did not start: {error}\n{self._said()}") from error
                time.sleep(0.05)
            else:
                return

    def _said(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


def spawn(command: list[str], *, user: str | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one ends, however that is; ``options`` are Popen's."""
    lethal = _unprivileged(user, "--pdeathsig", "KILL", "--", *command)
    process: subprocess.Popen[bytes] = _spawner.submit(subprocess.Popen, lethal, **options).result()
    return process


@contextmanager
def mariadb(*, durable: bool = False) -> Iterator[Service]:
    """MariaDB with an empty root password. Not durable: survives kill -9 of the server, not a power cut."""
    server = _program("mariadbd", "mariadb-server")
    install = _program("mariadb-install-db", "mariadb-server")
    user, port = _user("mysql"), _free_port()
    with _directory(user) as directory:
        data = f"--datadir={directory / 'data'}"
        plain_root = "--auth-root-authentication-method=normal"
        _run(user, directory, install, "--no-defaults", data, plain_root, "--skip-test-db")
        command = [server, "--no-defaults", data, f"--port={port}", f"--bind-address={HOST}"]
        command += [f"--socket={directory / 'sock'}", f"--pid-file={directory / 'pid'}"]
        # Of two servers that share /tmp, one removes the other's temporary tables.
        command += ["--skip-name-resolve", "--skip-log-bin", "--max-connections=500", f"--tmpdir={directory}"]
        if not durable:
            command += ["--innodb-flush-log-at-trx-commit=2", "--skip-innodb-doublewrite"]
        service = Service(
            url=f"mysql+pymysql://root@{HOST}:{port}/",
            directory=directory,
            command=command,
            probe=lambda: pymysql.connect(host=HOST, port=port, user="root").close(),
            user=user,
        )
        with _running(service):
            yield service


@contextmanager
def mysql() -> Iterator[Service]:
    """MySQL, which Debian 12 does not have: its mysqld is what ``HYDRIA_MYSQLD`` names (CONTRIBUTING.md)."""
    server = os.environ["HYDRIA_MYSQLD"]
    user, port = _user("mysql"), _free_port()
    with _directory(user) as directory:
        let_in = directory / "users.sql"
        let_in.write_text(f"CREATE USER root@'{HOST}';\nGRANT ALL ON *.* TO root@'{HOST}';\n")
        command = [server, "--no-defaults", f"--datadir={directory / 'data'}", "--secure-file-priv=NULL"]
        _run(user, directory, *command, "--initialize-insecure", f"--init-file={let_in}")
        command += [f"--port={port}", f"--bind-address={HOST}", f"--socket={directory / 'sock'}"]
        command += [f"--pid-file={directory / 'pid'}", "--mysqlx=OFF", "--skip-log-bin"]
        command += ["--skip-name-resolve", "--max-connections=500", "--innodb-flush-log-at-trx-commit=2"]
        service = Service(
            url=f"mysql+pymysql://root@{HOST}:{port}/",
            directory=directory,
            command=command,
            probe=lambda: pymysql.connect(host=HOST, port=port, user="root").close(),
            user=user,
        )
        with _running(service):
            yield service


@contextmanager
def postgresql(*, durable: bool = False) -> Iterator[Service]:
    """PostgreSQL with trusted connections. Not durable: survives kill -9 of the server, not a power cut."""
    server, initdb = _program("postgres", "postgresql"), _program("initdb", "postgresql")
    user, port = _user("postgres"), _free_port()
    with _directory(user) as directory:
        data = str(directory / "data")
        _run(user, directory, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        command = [server, "-D", data, "-h", HOST, "-p", str(port), "-k", str(directory)]
        command += ["-c", "max_connections=500"]
        if not durable:
            command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        service = Service(
            url=f"postgresql+psycopg://postgres@{HOST}:{port}/postgres",
            directory=directory,
            command=command,
            probe=lambda: psycopg.connect(host=HOST, port=port, user="postgres", dbname="postgres").close(),
            user=user,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for the clients to leave
        )
        with _running(service):
            yield service


@contextmanager
def rabbitmq() -> Iterator[Service]:
    """RabbitMQ with its default user and virtual host, a single node with an epmd of its own."""
    # Not the wrapper on the PATH, which insists on the system's directories.
    server = str(Path(_program("rabbitmq-server", "rabbitmq-server")).resolve().with_name("rabbitmq-server"))
    epmd = _program("epmd", "rabbitmq-server")
    user, port, epmd_port = _user("rabbitmq"), _free_port(), _free_port()
    with _directory(user) as directory:
        config = directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = {HOST}:{port}\ndisk_free_limit.absolute = 1MB\n")
        names = {"ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": HOST}
        environment = names | {
            "RABBITMQ_NODENAME": f"hydria-{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_DIST_PORT": str(_free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "no-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "no-advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "no-plugins"),
            "RABBITMQ_ALLOW_INPUT": "1",  # makes the start script exec the server: its pid is then ours
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-noinput -kernel inet_dist_use_interface {127,0,0,1}"
                " +sbwt none +sbwtdcpu none +sbwtdio none"  # idle schedulers sleep rather than spin
            ),
        }
        port_mapper = Service(
            url=f"epmd://{HOST}:{epmd_port}",
            directory=directory,
            command=[epmd],
            probe=lambda: socket.create_connection((HOST, epmd_port), timeout=1).close(),
            user=user,
            environment=names,
        )
        service = Service(
            url=f"rabbit://guest:guest@{HOST}:{port}/",
            directory=directory,
            command=[server],
            probe=lambda: _amqp_round_trip(port),
            user=user,
            environment=environment,
        )
        with _running(port_mapper), _running(service):
            yield service


@contextmanager
def fresh_database(server: Service, *, driver: str | None = None) -> Iterator[str]:
    """The URL of a new, empty database on the server; dropped in the end.

    driver: SQLAlchemy's name of it, such as ``mysql+mysqldb``, where it is not the server's usual one.
    """
    server.start()  # a test before may have left it stopped
    name = f"hydria_{random.getrandbits(48):012x}"
    _administer(server, f"CREATE DATABASE {name}")
    try:
        url = sqlalchemy.make_url(server.url).set(database=name)
        yield url.set(drivername=driver or url.drivername).render_as_string(hide_password=False)
    finally:
        server.start()
        if server.url.startswith("postgresql"):
            _administer(server, f"DROP DATABASE {name} WITH (FORCE)")
        else:  # a transaction that a test left open fails the drop rather than hanging it
            _administer(server, "SET lock_wait_timeout = 10", f"DROP DATABASE {name}")


def _administer(server: Service, *statements: str) -> None:
    engine = sqlalchemy.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _amqp_round_trip(port: int) -> None:
    with amqp.Connection(f"{HOST}:{port}", connect_timeout=5, read_timeout=5):
        pass


@contextmanager
def _running(service: Service) -> Iterator[None]:
    try:
        service.start()
        yield
    finally:
        service.stop()


@contextmanager
def _directory(user: str | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hydria-", ignore_cleanup_errors=True) as name:
        if user:
            shutil.chown(name, user)
        yield Path(name)


def _user(name: str) -> str | None:
    return name if os.geteuid() == 0 else None


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([*_postgresql_directories(), SEARCH_PATH]))
    if not found:
        raise ServiceError(f"{name} is missing: install the package {package} (`scripts/setup test` does)")
    return found


def _postgresql_directories() -> list[str]:
    """Debian keeps each major version's servers apart and off the PATH; the newest comes first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return [str(path) for path in sorted(found, key=lambda path: float(path.parent.name), reverse=True)]


def _run(user: str | None, directory: Path, *command: str) -> str:
    done = subprocess.run(
        _unprivileged(user, "--", *command),
        cwd=directory,
        env=_environment(directory, {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _unprivileged(user: str | None, *options: str) -> list[str]:
    """An argument list that runs a command as that user, with setpriv, which execs: the pid stays."""
    identity = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    return [_program("setpriv", "util-linux"), *identity, *options]


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    """Nothing of the caller's: no PG* or RABBITMQ_* of a developer's shell reaches a server."""
    return {"PATH": SEARCH_PATH, "HOME": str(home), "LANG": "C.UTF-8"} | more


def _free_port() -> int:
    """A port that nobody listens on, below the range from which the kernel takes clients' ports.

    A port from that range (binding port 0 gives one) could be lost to some client's socket while the server
    is stopped, even to one that tries to reach the server and so connects to itself.
    """
    clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10000, clients), k=50) if clients > 10050 else [0]:
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError(f"no free port on {HOST}")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
