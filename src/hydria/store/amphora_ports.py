"""Rows of the ports of amphorae: what the network service said of them when they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.model.amphora import AmphoraPort, PortAddress, Purpose
from hydria.store.tables import amphora_ports

_Addresses = tuple[PortAddress, ...]


def record(tx: sa.Connection, amphora_id: str, ports: Sequence[AmphoraPort]) -> None:
    """Write down what is known of an amphora's ports, in the place of what was."""
    forget(tx, amphora_id)
    found = [
        asdict(port)
        | {"purpose": str(port.purpose), "addresses": msgspec.json.encode(port.addresses).decode()}
        for port in ports
    ]
    if found:
        tx.execute(amphora_ports.insert(), found)


def secure(tx: sa.Connection, port_id: str, security: str) -> None:
    """Write down which groups and policy a port has been given."""
    tx.execute(sa.update(amphora_ports).where(amphora_ports.c.id == port_id).values(security=security))


def forget(tx: sa.Connection, amphora_id: str) -> None:
    """Remove the rows of an amphora that has no ports any more."""
    tx.execute(sa.delete(amphora_ports).where(amphora_ports.c.amphora_id == amphora_id))


def from_row(row: Sequence[Any]) -> AmphoraPort:
    """The port that a row of the table holds."""
    values = dict(zip(amphora_ports.columns.keys(), row, strict=True))
    addresses = msgspec.json.decode(values.pop("addresses"), type=_Addresses)
    return AmphoraPort(**values | {"purpose": Purpose(values["purpose"]), "addresses": addresses})
