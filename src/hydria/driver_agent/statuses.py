"""The status socket: providers report how far their objects are, and how they do (contract 3.4).

A request is one transaction: 200 says that all of it is written, 500 that nothing is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from hydria.driver_agent import requests
from hydria.driver_agent.requests import DONE, Fault
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import HydriaError, Unavailable
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.store import Store, reports, rows, tables
from hydria.store.reports import Report, Reports

LOG = logging.getLogger(__name__)
S = TypeVar("S", bound=StrEnum)

# In the order in which they are processed: children first.
RESOURCES: Mapping[str, type[Resource]] = {
    "members": Member,
    "healthmonitors": HealthMonitor,
    "pools": Pool,
    "l7rules": L7Rule,
    "l7policies": L7Policy,
    "listeners": Listener,
    "loadbalancers": LoadBalancer,
}
_WORDS = {resource: words for words, resource in RESOURCES.items()}
_REPORTED = (ProvisioningStatus.ACTIVE, ProvisioningStatus.DELETED, ProvisioningStatus.ERROR)


class Statuses:
    """Answers status reports. ``may_report``: of which providers."""

    def __init__(
        self, store: Store, network: NetworkDriver, may_report: Reports, stopping: threading.Event
    ) -> None:
        self._store = store
        self._network = network
        self._may_report = may_report
        self._stopping = stopping

    def answer(self, body: bytes) -> bytes:
        """Carry out one request."""
        try:
            self.record(_parsed(requests.decode(body)))
        except Fault as fault:
            LOG.warning("A status report is refused: %s", fault.text)
            return _refusal(fault)
        except Unavailable as error:
            return apology(error.message)
        return DONE

    def record(self, given: list[Report]) -> None:
        """Write what was reported; Fault, and nothing written, when something of it cannot be."""
        leaving = [
            report.id
            for report in given
            if report.resource is LoadBalancer and report.provisioning is ProvisioningStatus.DELETED
        ]
        for port_id in self._ports_of(leaving) if leaving else ():
            # First, so that nothing of a load balancer is left once it is seen to be gone.
            self._release(port_id)
        try:
            requests.transact(
                self._store, lambda tx: reports.record(tx, given, self._may_report), self._stopping
            )
        except reports.Refused as refused:
            report = refused.report
            raise Fault(str(refused), _WORDS[report.resource], report.id) from refused

    def _ports_of(self, load_balancer_ids: list[str]) -> list[str]:
        """The VIP ports that are Hydria's to remove with these load balancers.

        Housekeeping removes that of one whose deletion nobody has asked for.
        """
        table = tables.load_balancers

        def read(tx: sa.Connection) -> list[str]:
            found = rows.load(tx, LoadBalancer, table.c.id.in_(load_balancer_ids))
            return [
                balancer.vip_port_id
                for balancer in found
                if balancer.vip_port_id
                and balancer.vip_port_owned
                and balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE
                and self._may_report(balancer.provider)
            ]

        return requests.transact(self._store, read, self._stopping)

    def _release(self, port_id: str) -> None:
        try:
            self._network.delete_port(port_id)
        except HydriaError as error:
            LOG.warning("VIP port %s is left for housekeeping: %s", port_id, error)


def apology(text: str) -> bytes:
    """The answer to a request that could not be read, or not be carried out."""
    return _refusal(Fault(text))


def _parsed(request: Mapping[str, Any]) -> list[Report]:
    strangers = sorted(set(request) - set(RESOURCES))
    if strangers:
        LOG.warning("A status report has parts that nobody knows, which are ignored: %s", strangers)
    return [
        Report(
            resource,
            requests.known_id(record["id"]),
            _status(words, record, "provisioning_status", ProvisioningStatus, _REPORTED),
            _status(words, record, "operating_status", OperatingStatus, tuple(OperatingStatus)),
        )
        for words, resource in RESOURCES.items()
        for record in requests.records(request, words)
    ]


def _status(
    words: str, record: Mapping[str, Any], name: str, declared: type[S], allowed: tuple[S, ...]
) -> S | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(allowed)
        raise Fault(f"{name} {value!r} cannot be reported; one of: {listed}.", words, record["id"], record)
    return declared(value)


def _refusal(fault: Fault) -> bytes:
    return msgspec.json.encode(
        {
            "status_code": 500,
            "fault_string": fault.text,
            "status_object": fault.words,
            "status_object_id": fault.identifier,
            "status_record": fault.record,
        }
    )
