"""The HAProxy between strangers and the API (docs/adr/0007-haproxy-in-front.md).

The sockets that it listens on are bound here and handed down, so an address that is taken is said at the
start, and no connection is lost where one process follows another (a new certificate, a death). All that it
reads are files in memory, so a process that is killed leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import pwd
import resource
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

from hydria.api import front_config
from hydria.api.caller import NOAUTH
from hydria.api.tls import Certificate
from hydria.model.errors import Invalid, Unavailable
from hydria.settings import Settings

LOG = logging.getLogger(__name__)

_CONNECTIONS = 10_000
_SPARE_FILES = 200
_BACKLOG = 1024
_START_SECONDS = 20.0
_PAUSE_SECONDS = 1.0  # before another is started
_LOOK_SECONDS = 10.0  # at the certificate
_TICK = 0.25
_USERS = ("haproxy", "nobody")  # whom it runs as where this process is root


def needed(settings: Settings) -> bool:
    """Whether strangers can reach the API: everybody on loopback is the administrator without identity."""
    options = settings.api_settings
    return options.auth_strategy != NOAUTH or bool(options.tls_certificate_file)


def check(settings: Settings) -> None:
    """Raise Invalid for what cannot be started."""
    if needed(settings):
        if settings.api_settings.tls_certificate_file:
            Certificate(settings.api_settings)
        for program in ("setpriv", settings.haproxy_amphora.haproxy_cmd):
            if shutil.which(program) is None:
                raise Invalid(
                    f"There is no program {program}, which the API needs ([haproxy_amphora] haproxy_cmd)."
                )


class Front:
    """HAProxy on ``[api_settings] bind_host`` and ``bind_port``; requests go on to ``behind``."""

    def __init__(self, settings: Settings) -> None:
        options = settings.api_settings
        self._settings = settings
        self._certificate = Certificate(options) if options.tls_certificate_file else None
        self._listening: list[socket.socket] = []
        # Abstract, so nothing is left of it; whoever accepts on it closes it. HAProxy fills such names up.
        name = f"hydria-{secrets.token_hex(8)}"
        self.behind = socket.socket(socket.AF_UNIX)
        self.behind.bind(f"\0{name}".ljust(108, "\0"))
        self._name = name
        self._children: list[subprocess.Popen[bytes]] = []  # the last one is to serve
        self._said: dict[int, FileIO] = {}  # process -> what it writes to standard error
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-front", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listening[0].getsockname()[1])

    def start(self) -> None:
        """Bind and serve. Raises Unavailable when the address cannot be bound, or HAProxy does not start."""
        try:
            self._bind()
            self._thread.start()
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Accept nothing more and let requests end that have begun; at most some seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * front_config.STOP_SECONDS)
        for each in self._listening:
            each.close()

    def is_client(self, connection: socket.socket) -> bool:
        """Whether a connection to ``behind`` is HAProxy's; the kernel says so."""
        process, *_ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return any(child.pid == process for child in list(self._children))

    def _bind(self) -> None:
        options = self._settings.api_settings
        host = "" if options.bind_host == "*" else options.bind_host
        port = options.bind_port
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                each = socket.socket(family, socket.SOCK_STREAM)
                self._listening.append(each)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                each.bind((address[0], port, *address[2:]))
                each.listen(_BACKLOG)
                port = each.getsockname()[1]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unavailable(
                f"The API cannot listen on {options.bind_host}:{port} ([api_settings] bind_host, bind_port):"
                f" {reason}."
            ) from error

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            child = self._children[-1] if self._children else None
            ended = child is not None and child.poll() is not None
            if ended or time.monotonic() > deadline:
                raise Unavailable(
                    f"The HAProxy in front of the API does not start: {self._last_words(child)}."
                )

    def _answers(self) -> bool:
        """Whether something takes connections from the queue; what is said is no request and no TLS."""
        with socket.socket(self._listening[0].family) as client:
            client.settimeout(_TICK)
            try:
                client.connect(self._listening[0].getsockname())
                client.sendall(b"?\r\n\r\n")
                client.recv(1)
            except TimeoutError:
                return False
            except OSError as error:
                LOG.debug("HAProxy in front has ended a connection: %s", error)
            return True

    def _run(self) -> None:
        """Start HAProxy, and see that there is one. It ends with this thread (PR_SET_PDEATHSIG)."""
        self._launch()
        looked = time.monotonic()
        while not self._stopping.wait(_TICK):
            if self._children[-1].poll() is not None:
                LOG.error(
                    "The HAProxy in front of the API has ended (%s): %s.",
                    self._children[-1].returncode,
                    self._last_words(self._children[-1]),
                )
                self._stopping.wait(_PAUSE_SECONDS)
                self._launch()
            elif self._certificate and time.monotonic() - looked > _LOOK_SECONDS:
                looked = time.monotonic()
                if self._certificate.renewed():
                    self._launch()
                    self._children[-2].send_signal(signal.SIGUSR1)
            self._forget_dead()
        for each in self._listening:
            each.close()
        for child in self._children:
            child.send_signal(signal.SIGUSR1)
        for child in self._children:
            try:
                child.wait(front_config.STOP_SECONDS + 1)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._forget_dead(keep=0)

    def _forget_dead(self, keep: int = 1) -> None:
        for child in self._children[: len(self._children) - keep]:
            if child.poll() is not None:
                self._children.remove(child)
                self._said.pop(child.pid).close()

    def _launch(self) -> None:
        options, middleware = self._settings.api_settings, self._settings.oslo_middleware
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with _files() as made:
            front = front_config.Front(
                listening=tuple(each.fileno() for each in self._listening),
                behind=self._name,
                certificate=made.add(self._certificate.pem) if self._certificate else "",
                errors={status: made.add(text) for status, text in front_config.errors().items()},
                connections=max(1, min(_CONNECTIONS, (files - _SPARE_FILES) // 2)),
                # Behind a proxy everybody comes from its address.
                per_address=0 if middleware.enable_proxy_headers_parsing else options.connections_per_address,
                longest_body=middleware.max_request_body_size,
            )
            configuration = made.add(front_config.render(front))
            said = FileIO(os.memfd_create("haproxy"), "w+")
            child = subprocess.Popen(
                [*_becoming(), self._settings.haproxy_amphora.haproxy_cmd, "-db", "-f", configuration],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said.fileno(),
                pass_fds=(*front.listening, *made.numbers),
            )
        self._said[child.pid] = said
        self._children.append(child)

    def _last_words(self, child: subprocess.Popen[bytes] | None) -> str:
        if child is None:
            return "it was not started"
        size = 2000
        file = self._said[child.pid].fileno()
        text = os.pread(file, size, max(0, os.fstat(file).st_size - size)).decode(errors="replace")
        return " | ".join(text.split("\n")).strip(" |") or "it says nothing"


class _Files:
    """Files in memory for a child."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def add(self, content: bytes) -> str:
        """The path at which the child finds it."""
        number = os.memfd_create("hydria")
        self.numbers.append(number)
        os.write(number, content)
        return f"/proc/self/fd/{number}"


@contextmanager
def _files() -> Iterator[_Files]:
    made = _Files()
    try:
        yield made
    finally:
        for number in made.numbers:
            os.close(number)


def _becoming() -> list[str]:
    """Who the child is: nobody of importance, and nobody without its parent."""
    command = ["setpriv", "--pdeathsig", "TERM", "--no-new-privs"]
    if os.geteuid() == 0:
        user = next(entry for entry in map(_user, _USERS) if entry is not None)
        command += [
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
            "--bounding-set=-all",
        ]
    return command


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
