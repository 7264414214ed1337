"""Amphorae are replaced before their certificates end."""

from __future__ import annotations

import functools
import logging
import math
from datetime import timedelta

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.errors import HydriaError
from hydria.model.statuses import AmphoraStatus
from hydria.settings import HouseKeepingSettings
from hydria.store import Store, changes, events, rows, upkeep
from hydria.store.amphorae import request_failover
from hydria.store.events import What

LOG = logging.getLogger(__name__)

# Of those that are due, as many are begun as would take an eighth of the time that is left. Of any number
# that is due at once, all are begun before two thirds of it have passed, and the first are not a storm.
_EIGHTH = 8
_MOST = 1000


def renew(store: Store, settings: HouseKeepingSettings) -> tuple[int, int]:
    """Have amphorae replaced whose certificates end soon: how many, and how many more are due.

    Those that end first go first. A load balancer that is in ERROR has its turn as well: a failover needs no
    ACTIVE one.
    """
    if not settings.cert_expiry_buffer:
        return 0, 0
    soon = rows.now() + timedelta(seconds=settings.cert_expiry_buffer)
    with store.read() as tx:
        due = upkeep.count_expiring(tx, soon)
        limit = share(
            due, settings.cleanup_interval, settings.cert_expiry_buffer, settings.cert_rotate_threads
        )
        found = upkeep.expiring(tx, soon, limit) if due else ()
    renewed = sum(_tried(store, amphora_id, balancer_id) for amphora_id, balancer_id in found)
    return renewed, max(len(found), due) - renewed if found else 0


def share(due: int, interval: float, buffer: float, least: int) -> int:
    """How many of those that are due one pass begins with.

    interval, buffer: seconds between passes, and before the end of a certificate from which on it is due.
    """
    return min(_MOST, max(least, math.ceil(due * _EIGHTH * interval / buffer)))


def _tried(store: Store, amphora_id: str, load_balancer_id: str) -> bool:
    """Whether another amphora is wanted now; what goes wrong with one keeps nobody else from it."""
    try:
        return store.transact(
            functools.partial(_request, amphora_id=amphora_id, load_balancer_id=load_balancer_id)
        )
    except HydriaError as error:
        LOG.warning(
            "Load balancer %s: amphora %s cannot be replaced before its certificate ends: %s",
            load_balancer_id, amphora_id, error,
        )  # fmt: skip
    except Exception:
        LOG.exception(
            "Load balancer %s: amphora %s cannot be replaced before its certificate ends",
            load_balancer_id, amphora_id,
        )  # fmt: skip
    return False


def _request(tx: sa.Connection, amphora_id: str, load_balancer_id: str) -> bool:
    """Want another amphora in the place of this one; traffic moves when it is ready."""
    balancer = changes.lock(tx, load_balancer_id)
    if balancer is None or not balancer.desired:
        return False
    amphora = rows.load_one(tx, Amphora, amphora_id)
    if amphora is None or amphora.status is not AmphoraStatus.ALLOCATED or amphora.failover_requested:
        return False  # another housekeeping, or a worker, was first
    request_failover(tx, amphora_id=amphora_id)
    changes.touch(tx, balancer)
    events.note(tx, balancer, What.FAILOVER_START, amphora_id=amphora_id)
    return True
