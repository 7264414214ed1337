"""The five controller programs, put together from their parts; the command line only says which."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hydria import messages, notifications
from hydria.drivers import host, instances, loading, secret_files, state_dir
from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.ending import Ending
from hydria.model.errors import Conflict, DriverError, Invalid
from hydria.settings import Settings
from hydria.store import Store, collection, schema

LOG = logging.getLogger(__name__)
_TRIES, _SHOWN = 3, 20  # of deletions before an operator has to know; of amphorae in a list of them
# Options with a password in them: ours, and keystonemiddleware's.


class Program(Protocol):
    """A controller program, or a part of one."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """End what :meth:`start` began."""


@dataclass(frozen=True)
class Parts:
    """What programs are made of, each made when the first program needs it."""

    settings: Settings

    @cached_property
    def store(self) -> Store:
        """The database, whose schema is right."""
        options = self.settings.database
        store = Store(
            self.settings.database_url,
            pool_size=options.max_pool_size,
            max_overflow=options.max_overflow,
            pool_timeout=options.pool_timeout,
            recycle=options.connection_recycle_time,
        )
        schema.check(store)
        notifications.connect(self.settings, store)
        return store

    @cached_property
    def network(self) -> NetworkDriver:
        """The network driver, with its networks there."""
        driver = loading.network_driver(self.settings)
        driver.prepare()
        return driver

    @cached_property
    def compute(self) -> ComputeDriver:
        """The compute driver."""
        return loading.compute_driver(self.settings)

    @cached_property
    def authority(self) -> LocalCertificateAuthority:
        """The CA of amphora certificates."""
        return LocalCertificateAuthority(self.settings)

    @cached_property
    def certificates(self) -> CertificateManager:
        """The store of tenants' certificates."""
        return loading.certificate_manager(self.settings)

    @cached_property
    def amphorae(self) -> AmphoraDriver:
        """The amphora driver."""
        return loading.amphora_driver(self.settings, self.authority)

    @cached_property
    def wakeups(self) -> messages.Wakeups:
        """Where wake-ups go."""
        return messages.connect(self.settings)

    @cached_property
    def heartbeat_key(self) -> str:
        """The secret that amphorae's keys are derived from."""
        return self.settings.health_manager.heartbeat_key or kept_secret(
            self.settings.state_dir / "heartbeat.key"
        )

    @property
    def heartbeat_host(self) -> str:
        """The address for heartbeats of this host."""
        return self.settings.health_manager.bind_ip or self.network.controller_address()

    @property
    def heartbeat_targets(self) -> tuple[str, ...]:
        """``host:port`` of every health manager."""
        configured = self.settings.health_manager.controller_ip_port_list
        return configured or (f"{self.heartbeat_host}:{self.settings.health_manager.bind_port}",)


def api(parts: Parts) -> Program:
    """The API controller."""
    from hydria.api import program  # noqa: PLC0415  (each program imports its own room)

    return program.make(parts.settings, parts.store, parts.network, parts.wakeups)


def worker(parts: Parts) -> Program:
    """The controller worker."""
    from hydria.worker.program import Worker  # noqa: PLC0415
    from hydria.worker.tools import Tools  # noqa: PLC0415
    from hydria.worker.tuning import tuning  # noqa: PLC0415

    tools = Tools(
        settings=parts.settings,
        store=parts.store,
        network=parts.network,
        compute=parts.compute,
        amphorae=parts.amphorae,
        authority=parts.authority,
        certificates=parts.certificates,
        tuning=tuning(parts.settings),
        controllers=parts.heartbeat_targets,
        heartbeat_key=parts.heartbeat_key,
    )
    return Worker(tools, parts.wakeups)


def health_manager(parts: Parts) -> Program:
    """The health manager."""
    from hydria.health_manager.program import HealthManager  # noqa: PLC0415

    return HealthManager(
        parts.settings,
        parts.store,
        parts.amphorae,
        parts.wakeups,
        host=parts.heartbeat_host,
        key=parts.heartbeat_key,
    )


def housekeeping(parts: Parts) -> Program:
    """The housekeeping manager."""
    from hydria.housekeeping.program import Housekeeping  # noqa: PLC0415
    from hydria.housekeeping.renewals import Renewals  # noqa: PLC0415

    interval = parts.settings.certificates.renewal_interval
    renewals = Renewals(parts.store, parts.certificates, parts.wakeups, interval)
    return Housekeeping(parts.settings, parts.store, parts.compute, parts.network, renewals)


def driver_agent(parts: Parts) -> Program:
    """The driver agent."""
    from hydria.driver_agent.program import DriverAgent  # noqa: PLC0415

    return DriverAgent(parts.settings, parts.store, parts.network)


PROGRAMS: dict[str, Callable[[Parts], Program]] = {
    "api": api,
    "worker": worker,
    "health-manager": health_manager,
    "housekeeping": housekeeping,
    "driver-agent": driver_agent,
}


def check(settings: Settings) -> None:
    """Raise Invalid for a configuration that cannot work, before anything on the host is touched."""
    from hydria.api import program, serve  # noqa: PLC0415
    from hydria.drivers.compute import netns  # noqa: PLC0415

    loading.check(settings)
    serve.refuse_open_doors(settings)
    program.check(settings)
    if settings.controller_worker.compute_driver == "netns":
        netns.check(settings)
    for warning in weak_places(settings):
        LOG.warning("%s", warning)


def weak_places(settings: Settings) -> list[str]:
    """What is less well closed on this host than it could be, in sentences for the operator.

    Raises Invalid for what makes all other protection worthless.
    """
    found = secret_files.exposed(settings)
    if settings.controller_worker.compute_driver == "netns":
        found += host.weaker(settings.netns.first_user)
    return found


def undeleted(store: Store) -> list[str]:
    """Amphorae that are cut off but cannot be deleted, in sentences for the operator."""
    with store.read() as tx:
        found = collection.overdue(tx, _TRIES, _SHOWN + 1)
    said = [
        f"Amphora {one.id} (instance {one.compute_id or 'unknown'}) of load balancer {one.load_balancer_id}"
        f" is cut off but not deleted after {one.collect_attempts} tries; the next is at"
        f" {one.collect_at:%Y-%m-%d %H:%M:%S} UTC. The worker's log says why."
        for one in found[:_SHOWN]
    ]
    return said + (["There are more of them."] if len(found) > _SHOWN else [])


def run(
    programs: Iterable[Program], ready: Callable[[], None] = lambda: None, ending: Ending | None = None
) -> int:
    """Start programs, wait for the end, and stop them, the last one first; the process's exit status."""
    ending = Ending() if ending is None else ending
    started: list[Program] = []
    try:
        for program in programs:
            if ending:
                break
            program.start()
            started.append(program)
        else:
            ready()
        ending.wait()
    finally:
        for program in reversed(started):
            try:
                program.stop()
            except Exception:
                LOG.exception("%s did not stop in order", type(program).__name__)
    return int(ending.failed)


def require_root(settings: Settings, program: str) -> None:
    """Raise DriverError, before anything is made, when a program has to do what only root may."""
    worker = settings.controller_worker
    amphorae_here = worker.compute_driver == "netns"
    needed = {
        "all": amphorae_here or worker.network_driver == "bridge",
        "worker": amphorae_here,
        "housekeeping": amphorae_here,
        "cleanup": amphorae_here or worker.network_driver == "bridge",
        "instances": True,
    }
    if os.geteuid() != 0 and needed.get(program):
        raise DriverError(
            f"'hydria {program}' needs root, for amphorae on this host are namespaces, bridges and packet"
            " filter rules: start it as root."
        )


def require_state_dir(settings: Settings) -> None:
    """Raise Invalid for a directory that does not say which instance on this host is its own."""
    worker = settings.controller_worker
    if worker.compute_driver != "netns" and worker.network_driver != "bridge":
        return
    if state_dir.existing_instance_id(settings.state_dir) is None:
        raise Invalid(
            f"{settings.state_dir} is no state directory: the file '{state_dir.INSTANCE}' with an"
            " instance's id is not there. 'hydria instances' lists what is on this host, also of lost ones;"
            " 'hydria cleanup --instance ID' ends one instance, 'hydria cleanup --all' every one."
        )


@contextmanager
def announced(settings: Settings) -> Iterator[None]:
    """Have this program be found as one of its instance's, if that has made anything on this host."""
    instance = state_dir.existing_instance_id(settings.state_dir)
    if instance is None:
        yield
        return
    with instances.announce(instance):
        yield


def end_instance(settings: Settings, instance: instances.HostInstance) -> None:
    """End an instance that was found on this host. Raises Conflict while a program of it runs."""
    if instance.programs:
        pids = ", ".join(str(pid) for pid in instance.programs)
        raise Conflict(f"Programs of instance {instance.id} are running (process {pids}): stop them first.")
    directory = instance.found_directory
    held = None if directory is None else hold_state_dir(directory)
    try:
        instances.end(instance, settings)
    finally:
        if held is not None:
            os.close(held)


def hold_state_dir(directory: Path) -> int:
    """Make the state directory and hold it for this process; Conflict when another one does."""
    with state_dir.writing(directory):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(
            f"Another 'hydria all' is running on {directory}; stop it or choose another --state-dir."
        ) from error
    return held


def clean_up(settings: Settings) -> None:
    """End every amphora of a state directory and leave the host as it was; the directory itself stays."""
    loading.compute_driver(settings).cleanup()
    loading.network_driver(settings).cleanup()


def kept_secret(path: Path) -> str:
    """A random secret that is made once and kept in a file, by whichever program comes first."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        staged.touch(mode=0o600, exist_ok=False)
        staged.write_text(secrets.token_hex(32))
        os.link(staged, path)
    except FileExistsError:
        pass  # somebody was first; theirs it is
    finally:
        staged.unlink(missing_ok=True)
    return path.read_text().strip()
