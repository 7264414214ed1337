"""The statistics socket: providers report what their listeners have counted (contract 3.4).

The counters are absolute, so that a report which is lost costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.driver_agent import requests
from hydria.driver_agent.requests import DONE, Fault
from hydria.model.errors import Unavailable
from hydria.model.listener import Listener
from hydria.store import Store, reports
from hydria.store.reports import Refused, Report, Reports
from hydria.store.tables import COUNTERS

LOG = logging.getLogger(__name__)
_LISTENERS = "listeners"
_NAMES = ("active_connections", *COUNTERS)
_MOST = 2**63 - 1


class Statistics:
    """Answers statistics reports. ``may_report``: of which providers."""

    def __init__(self, store: Store, may_report: Reports, stopping: threading.Event) -> None:
        self._store = store
        self._may_report = may_report
        self._stopping = stopping

    def answer(self, body: bytes) -> bytes:
        """Carry out one request, all of it or nothing."""
        try:
            counted = {
                requests.known_id(record["id"]): _counters(record)
                for record in requests.records(requests.decode(body), _LISTENERS)
            }
            requests.transact(self._store, lambda tx: self._write(tx, counted), self._stopping)
        except Fault as fault:
            LOG.warning("Statistics are refused: %s", fault.text)
            return _refusal(fault)
        except Unavailable as error:
            return apology(error.message)
        return DONE

    def _write(self, tx: sa.Connection, counted: Mapping[str, Mapping[str, int]]) -> None:
        providers = reports.providers_of(tx, Listener, counted)
        for listener_id, counters in sorted(counted.items()):
            if listener_id not in providers:
                raise Fault(f"{Listener.label} {listener_id} not found.", _LISTENERS, listener_id)
            try:
                reports.check_provider(
                    Report(Listener, listener_id), providers[listener_id], self._may_report
                )
            except Refused as refused:
                raise Fault(str(refused), _LISTENERS, listener_id) from refused
            reports.count(tx, listener_id, counters)


def apology(text: str) -> bytes:
    """The answer to a request that could not be read, or not be carried out."""
    return _refusal(Fault(text, _LISTENERS))


def _counters(record: Mapping[str, Any]) -> dict[str, int]:
    for name in _NAMES:
        value = record.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
            raise Fault(f"{name} is {value!r}, not a counter.", _LISTENERS, record["id"], record)
    return {name: record[name] for name in _NAMES}


def _refusal(fault: Fault) -> bytes:
    return msgspec.json.encode(
        {
            "status_code": 500,
            "fault_string": fault.text,
            "stats_object": fault.words,
            "stats_object_id": fault.identifier,
            "stats_record": fault.record,
        }
    )
