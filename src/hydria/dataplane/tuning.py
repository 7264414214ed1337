"""What the operator decides about the data plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """Options of ``[haproxy_amphora]``.

    default_connection_limit: connections of a listener without a limit of its own.
    stick_size: entries in the table of a pool with session persistence, as HAProxy writes sizes (``10k``).
    hard_stop_after: seconds that a replaced HAProxy process may live on.
    threads: of HAProxy.
    """

    default_connection_limit: int = 50_000
    stick_size: str = "10k"
    hard_stop_after: int = 60
    threads: int = 1
