"""Talks to the agent in an amphora: HTTPS with certificates on both sides, on the LB network.

The agent shows a certificate in its amphora's id, so that whoever has inherited an address is not taken for
the amphora that had it. One connection to each amphora is kept for the next request.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import NoReturn

from hydria.drivers.amphora.connections import Connection, Connections, Gone
from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError, Lacking, Outdated, Refused, Superseded, Unreachable
from hydria.model.statuses import Topology
from hydria.settings import Settings
from hydria.wire import capabilities
from hydria.wire.capabilities import Capabilities
from hydria.wire.encoding import encode
from hydria.wire.state import Applied, DesiredState, decode_applied, decode_lacking, decode_superseded

_STATE = "/v1/state"
_INFO = "/v1/info"
# While an amphora boots: a SYN that meets nobody is lost for a second unless somebody asks again.
_BOOTING_CONNECT = 0.15
_BOOTING_ANSWER = 2.0
# Between questions: a tenth of how long it has taken so far is what may be lost at the end.
_SHORTEST_PAUSE, _LONGEST_PAUSE, _SHARE = 0.003, 0.1, 0.1
# The last question before an amphora is given up: a lost packet must not decide it.
_ALIVE_CONNECT = 1.0
_ALIVE_ANSWER = 2.0
_ALIVE_ATTEMPTS = 3


class RestAmphoraDriver:
    """Amphora agents of this deployment; every method may be called from any thread."""

    topologies = frozenset({Topology.SINGLE})

    def __init__(self, settings: Settings, authority: CertificateAuthority) -> None:
        self._options = settings.haproxy_amphora
        self._connections = Connections(
            authority, self._options.bind_port, silence=self._options.rest_request_conn_timeout
        )
        # Where silence of a few seconds is news already, the answer must not take as long again.
        self._alive_connect = min(_ALIVE_CONNECT, settings.health_manager.heartbeat_timeout / 8)

    def await_ready(self, amphora: Amphora, timeout: float) -> None:
        """Ask again and again until the agent answers; that connection serves the next request."""
        began = time.monotonic()
        deadline = began + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                patience = max(0.01, min(_BOOTING_ANSWER, left))
                connection = self._connections.open(
                    amphora, connect=min(_BOOTING_CONNECT, patience), handshake=patience
                )
                status, _ = connection.ask("GET", _INFO, b"", patience)
                self._connections.keep(connection)
                reason = f"answer {status}"
                if status == 200:
                    return
            except (Gone, OSError) as error:
                reason = str(error)
            pause = min(max(_SHORTEST_PAUSE, _SHARE * (time.monotonic() - began)), _LONGEST_PAUSE)
            if time.monotonic() + pause > deadline:
                raise Unreachable(f"{_whom(amphora)} did not answer within {timeout:g} s: {reason}.")
            time.sleep(pause)

    def capabilities(self, amphora: Amphora) -> Capabilities:
        """As its agent reports them; an agent from before they were reported has none."""
        status, answer = self._ask(amphora, "GET", _INFO, b"")
        if status != 200:
            _unexpected(amphora, status, answer)
        try:
            return capabilities.known(json.loads(answer).get("haproxy_capabilities", ()))
        except (ValueError, TypeError, AttributeError) as error:
            raise DriverError(f"{_whom(amphora)} reports something strange of itself: {error}.") from error

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        """Put the desired state."""
        status, answer = self._ask(amphora, "PUT", _STATE, encode(state))
        if status == 400 and state.term:
            status, answer = self._ask(amphora, "PUT", _STATE, _without_term(state))
        kept = [file.name for file in state.files if file.content is None]
        if status == 400 and kept:  # an agent of an earlier release has no word for it
            raise Lacking(f"Amphora {amphora.id} cannot go on with {', '.join(kept)}.", kept)
        if status not in (200, 409, 412, 422, 424):
            _unexpected(amphora, status, answer)
        try:
            if status == 412:
                met = decode_superseded(answer).term
                raise Superseded(f"{_whom(amphora)} has met term {met}, {state.term} is over.", met)
            if status == 424:
                names = decode_lacking(answer).lacks
                raise Lacking(f"Amphora {amphora.id} does not have {', '.join(names)}.", names)
            applied = decode_applied(answer)
        except (ValueError, KeyError, TypeError) as error:
            raise DriverError(
                f"{_whom(amphora)} answered {status} with something strange: {error}."
            ) from error
        if status == 409:
            raise Outdated(
                f"{_whom(amphora)} has generation {applied.generation}, younger than {state.generation}:"
                f" {applied.fault}",
                applied.generation,
            )
        if status == 422:
            # The owner gets to read this one, to whom the LB network is nothing.
            raise Refused(f"Amphora {amphora.id} refused generation {state.generation}: {applied.fault}")
        return applied

    def alive(self, amphora: Amphora) -> bool:
        """Ask over a new connection: an old one would wait long for an amphora that is gone."""
        for _ in range(_ALIVE_ATTEMPTS):
            try:
                connection = self._connections.open(
                    amphora, connect=self._alive_connect, handshake=_ALIVE_ANSWER
                )
                status, _ = connection.ask("GET", _INFO, b"", _ALIVE_ANSWER)
                connection.close()
            except (Gone, OSError, DriverError):
                continue
            return status == 200
        return False

    def _ask(self, amphora: Amphora, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """One request, over the kept connection, or a new one when the agent has closed that."""
        kept = self._connections.take(amphora)
        try:
            if kept is not None:
                try:
                    return self._through(kept, method, path, body)
                except Gone:
                    pass  # idle for too long, or the agent was started anew: nothing is wrong yet
            patience = self._options.rest_request_conn_timeout
            fresh = self._connections.open(amphora, connect=patience, handshake=patience)
            return self._through(fresh, method, path, body)
        except (Gone, OSError) as error:
            raise Unreachable(f"{_whom(amphora)} does not answer: {error}.") from error

    def _through(self, connection: Connection, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        answer = connection.ask(method, path, body, self._options.rest_request_read_timeout)
        self._connections.keep(connection)
        return answer


def _whom(amphora: Amphora) -> str:
    return f"Amphora {amphora.id} at {amphora.lb_network_ip}"


def _without_term(state: DesiredState) -> bytes:
    """For an agent of an earlier release, which knows no terms; any other takes it for the lowest."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return encode({name: value for name, value in fields.items() if name != "term"})


def _unexpected(amphora: Amphora, status: int, answer: bytes) -> NoReturn:
    try:
        detail = str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        detail = answer[:200].decode(errors="replace")
    raise DriverError(f"{_whom(amphora)} answered {status}: {detail}")
