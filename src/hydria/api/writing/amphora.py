"""What operators ask of amphorae (contract 1.19), and the failover of a whole load balancer.

Each is a row that says what is wanted, and a raised generation that has a worker look: nothing is lost with a
message, and a request that is repeated asks for the same.
"""

from __future__ import annotations

import sqlalchemy as sa

from hydria.api.call import Call
from hydria.api.writing.change import Change, carry_out, immutable, open_balancer, open_child
from hydria.api.writing.load_balancer import admit
from hydria.model.amphora import Amphora
from hydria.model.errors import NotFound
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.store import amphorae, events, rows
from hydria.store.events import What

_FAILOVER = (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)


def failover_load_balancer(call: Call, identifier: str) -> None:
    """Have other amphorae in the places of all that serve a load balancer."""

    def work(tx: sa.Connection) -> tuple[None, Change]:
        change = open_balancer(call, tx, identifier)
        change.authorize("loadbalancer:put_failover")
        admit(change, _FAILOVER)
        amphorae.request_failover(tx, load_balancer_id=change.balancer.id)
        change.touch()
        events.note(tx, change.balancer, What.FAILOVER_START)
        change.hand_over("loadbalancer_failover", change.balancer.id)
        return None, change

    carry_out(call, work)


def failover(call: Call, identifier: str) -> None:
    """Have another amphora in the place of this one; traffic moves over once it is ready."""

    def work(tx: sa.Connection) -> tuple[None, Change]:
        change, amphora = _open(call, tx, identifier)
        change.authorize("amphora:put_failover")
        change.admit()
        if amphora.status is AmphoraStatus.PENDING_DELETE:
            raise immutable(amphora)
        amphorae.request_failover(tx, amphora_id=amphora.id)
        change.touch()
        events.note(tx, change.balancer, What.FAILOVER_START, amphora_id=amphora.id)
        return None, change

    carry_out(call, work)


def configure(call: Call, identifier: str) -> None:
    """Have the agent given everything anew, its own settings too, whatever it has confirmed."""

    def work(tx: sa.Connection) -> tuple[None, Change]:
        change, amphora = _open(call, tx, identifier)
        change.authorize("amphora:put_config")
        if not change.balancer.desired:
            raise immutable(change.balancer)
        amphorae.update(tx, amphora.id, applied_generation=0)
        change.touch()
        return None, change

    carry_out(call, work)


def delete(call: Call, identifier: str) -> None:
    """Have an amphora that has failed removed, with its instance and its ports."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change, amphora = _open(call, tx, identifier)
        change.authorize("amphora:delete")
        if amphora.status is not AmphoraStatus.ERROR:
            raise immutable(amphora)
        if change.balancer.provisioning_status is ProvisioningStatus.DELETED:
            # Nobody converges it any more: housekeeping removes what has no owner.
            amphorae.update(tx, amphora.id, status=AmphoraStatus.DELETED)
            return None, None
        amphorae.update(tx, amphora.id, status=AmphoraStatus.PENDING_DELETE)
        change.touch()
        return None, change

    carry_out(call, work)


def _open(call: Call, tx: sa.Connection, identifier: str) -> tuple[Change, Amphora]:
    """Lock the load balancer of an amphora; NotFound when there is no such amphora, or not any more."""
    change = open_child(call, tx, Amphora, identifier)
    amphora = rows.load_one(tx, Amphora, identifier)
    if amphora is None or amphora.status is AmphoraStatus.DELETED:
        raise NotFound(Amphora.label, identifier)
    return change, amphora
