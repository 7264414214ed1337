"""The API's own WSGI server: waitress, in a thread of this process (docs/adr/0002-wsgi-server.md).

Where strangers can reach it, HAProxy is in front of it (front.py).
"""

from __future__ import annotations

import gc
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer, create_server
from waitress.utilities import RequestEntityTooLarge

from hydria.api import front
from hydria.api.caller import HTTP_BASIC, NOAUTH, is_loopback
from hydria.api.front_config import CLIENT_HEADER
from hydria.api.malformed import MalformedTask
from hydria.model.errors import Forbidden, Unavailable
from hydria.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

_EVERYWHERE = "*"


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    _unwanted = 0  # bytes of a body that is too long, still to come

    def received(self, data: bytes) -> int:
        """As inherited; of a body that says that it is a bit too long the rest is read before it is refused.

        A connection that is closed with something unread is reset, and the client may not see the answer. A
        body in chunks does not say how long it is, so nothing more of it is read.
        """
        if self._unwanted:
            taken = min(len(data), self._unwanted)
            self._unwanted -= taken
            self.completed = not self._unwanted
            return taken
        taken = super().received(data)
        too_long = isinstance(self.error, RequestEntityTooLarge) and not self.chunked
        if too_long and self.content_length <= _READ_OUT and not self.expect_continue:
            self._unwanted, self.completed = self.content_length, False
        return int(taken)

    def parse_header(self, header_plus: bytes) -> None:
        """As inherited; refuses what two readers may take for two things (RFC 9112, 3.2 and 6.3).

        What Python cannot split (``http://[``) is the client's error, not the server's.
        """
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            raise ParsingError("Bad URI") from error
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding say both how long the body is")
        if "TRANSFER_ENCODING" in self.headers:  # of HTTP/1.0, which does not know it
            raise ParsingError("Transfer-Encoding is of HTTP/1.1")
        host = self.headers.get("HOST")
        if host is None and self.version == "1.1":
            raise ParsingError("A request of HTTP/1.1 has a Host header")
        if host is not None and "," in host:
            raise ParsingError("There is more than one Host header")


class _BehindParser(_Parser):
    def parse_header(self, header_plus: bytes) -> None:
        """As inherited; refuses bodies in chunks.

        HAProxy drops the length of one that has both, so nobody here can tell whether it could be understood
        in two ways (RFC 9112, section 6.1).
        """
        super().parse_header(header_plus)
        if self.chunked:
            raise ParsingError("Its body has to come with a Content-Length, and without Transfer-Encoding")


_READ_OUT = 512 * 1024
_REQUEST_SECONDS = 20.0  # from its first byte to its last
_IDLE_SECONDS = 60.0
_ANSWER_SECONDS = 120.0  # for reading what is ready


class _Channel(HTTPChannel):  # type: ignore[misc]  # the same
    """A client's connection. Its times are for a request and an answer as wholes, however they drip."""

    is_kept = False  # however long nothing is said
    parser_class = _Parser
    error_task_class = MalformedTask

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._free_since = time.monotonic()  # of requests and answers
        self._request_since: float | None = None
        self._answer_since: float | None = None
        super().__init__(*arguments, **options)

    def received(self, data: bytes) -> bool:
        """As inherited; notes when a request begins."""
        before = self.request
        more = super().received(data)
        if self.request is not before:
            self._request_since = None if self.request is None else time.monotonic()
        return bool(more)

    def service(self) -> None:
        """As inherited; from then on it is the client's turn."""
        super().service()
        self._free_since, self._answer_since = time.monotonic(), None

    def overdue(self, now: float) -> bool:
        """Whether the client has had its time. To be asked every second or so."""
        if self.total_outbufs_len:
            self._answer_since = self._answer_since or now
            return now - self._answer_since > _ANSWER_SECONDS
        self._answer_since = None
        if self.requests:
            return False  # it is our turn
        if self._request_since is not None:
            return now - self._request_since > _REQUEST_SECONDS
        return not self.is_kept and now - self._free_since > _IDLE_SECONDS


class _BehindChannel(_Channel):
    """A connection of the HAProxy in front, which keeps some for later, and has its own times for clients."""

    is_kept = True
    parser_class = _BehindParser


# Requests beyond the threads wait in line; clients that wait to be read cost nothing but a socket each.
_CONNECTIONS = 1000
_LOOP_SECONDS = 1.0
_CLIENT = f"HTTP_{CLIENT_HEADER.upper().replace('-', '_')}"
_STOP_SECONDS = 5.0


class Server:
    """Serves an application on ``[api_settings] bind_host`` and ``bind_port`` (0: any that is free)."""

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        self._app = app
        self._all = settings
        self._settings = settings.api_settings
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._sockets: dict[int, Any] = {}
        self._swept = 0.0
        self._dispatcher: Any = None
        self._listening: list[Any] = []  # one for each address that the host's name has
        self._thread: threading.Thread | None = None
        self._front: front.Front | None = None

    def start(self) -> None:
        """Bind and serve; returns as soon as connections are accepted.

        Raises Forbidden instead of serving without identity beyond loopback, Unavailable when the address
        cannot be bound.
        """
        refuse_open_doors(self._all)
        host, port = self._settings.bind_host, self._settings.bind_port
        app, where = self._app, {"host": host or _EVERYWHERE, "port": port}
        if front.needed(self._all):
            self._front = front.Front(self._all)
            app, where = self._behind(app), {"sockets": [self._front.behind]}
        try:
            made = create_server(
                app,
                map=self._sockets,
                **where,
                threads=self._settings.threads,
                max_request_body_size=self._all.oslo_middleware.max_request_body_size,
                url_scheme="https" if self._settings.tls_certificate_file else "http",
                clear_untrusted_proxy_headers=not self._all.oslo_middleware.enable_proxy_headers_parsing,
                log_socket_errors=self._front is None,
                connection_limit=_connections(),
                asyncore_use_poll=True,
                ident=None,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unavailable(
                f"The API cannot listen on {host}:{port} ([api_settings] bind_host, bind_port): {reason}."
            ) from error
        self._dispatcher = made.task_dispatcher
        self._listening = [each for each in self._sockets.values() if isinstance(each, BaseWSGIServer)]
        for server in self._listening:
            server.channel_class = _Channel if self._front is None else partial(_channel_behind, self._front)
        # It warns of every request that has to wait for a thread.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        # A full collection takes as long as a long list; what is loaded by now is no garbage.
        gc.freeze()
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._thread.start()
        if self._front is not None:
            try:
                self._front.start()
            except BaseException:
                self.stop()
                raise
        LOG.info("The API listens on %s:%d.", host, self.port)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listening[0].effective_port) if self._front is None else self._front.port

    def stop(self) -> None:
        """Accept nothing more, let requests end that have begun, and close; at most some seconds."""
        if self._front is not None:
            self._front.stop()
        if self._thread is not None:
            with self._closing:
                self._stopping.set()
                self._listening[0].pull_trigger()
            self._thread.join(2 * _STOP_SECONDS)
            self._thread = None

    def _behind(self, app: WSGIApplication) -> WSGIApplication:
        """The application, as if clients had come to it themselves."""

        def called(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            client = environ.pop(_CLIENT, "")
            environ.update(REMOTE_ADDR=client, REMOTE_HOST=client, SERVER_PORT=str(self.port))
            environ["SERVER_NAME"] = self._settings.bind_host or "localhost"
            return app(environ, start_response)

        return called

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._turn(_LOOP_SECONDS)
        for server in self._listening:
            wasyncore.dispatcher.close(server)  # the listening socket alone
        deadline = time.monotonic() + _STOP_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._turn(0.05)
        self._dispatcher.shutdown(timeout=0.1)
        with self._closing:  # once stop() has pulled the trigger, whose descriptor is soon somebody else's
            wasyncore.close_all(self._sockets)

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._sockets, count=1)
        now = time.monotonic()
        if now - self._swept < _LOOP_SECONDS:
            return
        self._swept = now
        for channel in self._channels():
            if channel.overdue(now):
                channel.handle_close()

    def _channels(self) -> list[_Channel]:
        return [channel for server in self._listening for channel in list(server.active_channels.values())]

    def _busy(self) -> bool:
        return any(channel.requests or channel.total_outbufs_len for channel in self._channels())


def _connections() -> int:
    """How many clients there may be at a time: the rest of the process needs open files, too."""
    return min(_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def _channel_behind(
    front: front.Front, server: Any, connection: socket.socket, *more: Any, **options: Any
) -> None:
    """Begin to speak with HAProxy, and with nobody else: it is believed who the client is."""
    try:
        known = front.is_client(connection)
    except OSError as error:  # it has gone already
        LOG.debug("A connection of the HAProxy in front went: %s", error)
        known = False
    if known:
        _BehindChannel(server, connection, *more, **options)
    else:
        connection.close()


def refuse_open_doors(everything: Settings) -> None:
    """Raise Forbidden when anybody on the network would be the administrator, or could hear passwords."""
    settings = everything.api_settings
    passwords = settings.auth_strategy == HTTP_BASIC
    behind_proxy = everything.oslo_middleware.enable_proxy_headers_parsing
    if passwords and (settings.tls_certificate_file or behind_proxy):
        return
    if not passwords and settings.auth_strategy != NOAUTH:
        return
    host = "" if settings.bind_host == _EVERYWHERE else settings.bind_host
    try:
        found = socket.getaddrinfo(
            host or None, settings.bind_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise Forbidden(f"[api_settings] bind_host = {host}: {error.strerror}.") from error
    if all(is_loopback(str(address[0])) for *_, address in found):
        return
    if passwords:
        raise Forbidden(
            f"[api_settings] bind_host = {host or '(all addresses)'} with auth_strategy = {HTTP_BASIC}:"
            " passwords would go over the network in the clear. Set tls_certificate_file and tls_key_file,"
            " or bind 127.0.0.1; behind a proxy that speaks TLS, set [oslo_middleware]"
            " enable_proxy_headers_parsing."
        )
    raise Forbidden(
        f"[api_settings] bind_host = {host or '(all addresses)'} with auth_strategy = {NOAUTH}: Hydria"
        " does not serve requests without identity beyond loopback. Bind 127.0.0.1, or choose a strategy"
        " that identifies callers."
    )
