"""PyMySQL, which reads what a column is once.

MariaDB and MySQL describe all columns of a result with every result, and to take a description apart costs
PyMySQL more than a row of values: a fifth of a whole GET. They are the same each time, byte for byte.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pymysql
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

_COLUMNS = 4096  # of all statements that a program has; Hydria's have some five hundred


class Connection(pymysql.connections.Connection):
    """As PyMySQL's own. What is overridden is not public; without it all would be slower, no less right."""

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        kind = column if packet_type is FieldDescriptorPacket else packet_type
        return super()._read_packet(kind)  # type: ignore[no-untyped-call]  # as all that is not public


class Column(FieldDescriptorPacket):
    """One that has been taken apart; nobody changes it, so many results can share it."""

    def __init__(self, packet: bytes, encoding: str) -> None:
        super().__init__(packet, encoding)
        self._description: tuple[Any, ...] = super().description()  # type: ignore[no-untyped-call]

    def description(self) -> tuple[Any, ...]:
        """As DB-API has it."""
        return self._description


column = lru_cache(_COLUMNS)(Column)


def connect(_dialect: object, _record: object, arguments: Any, named: Any) -> Connection:
    """What SQLAlchemy's event ``do_connect`` asks for."""
    return Connection(*arguments, **named)
