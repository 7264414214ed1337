"""One pass after another over one load balancer, under its lease."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from taskflow import engines
from taskflow.exceptions import WrappedFailure

from hydria.model.amphora import Amphora
from hydria.model.errors import Busy, HydriaError, Refused, Unavailable
from hydria.model.tree import Tree
from hydria.planner import convergence
from hydria.planner.convergence import Kind, Plan
from hydria.store import leases, rows, trees
from hydria.store.leases import Lease
from hydria.worker import flows
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)

# A fault that can pass by itself is shown as ERROR only once it has repeated.
_PATIENCE = 3
# Passes under one lease, before others get their turn.
_ROUNDS = 10


class Result(StrEnum):
    """How a visit to a load balancer ended."""

    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result, and the sentence that explains it."""

    result: Result
    sentence: str


class Converger:
    """Brings one load balancer at a time to its desired state; one object serves all threads of a worker."""

    def __init__(self, tools: Tools, owner: str, keeper: LeaseKeeper) -> None:
        self._tools = tools
        self._owner = owner
        self._keeper = keeper
        self._seconds = tools.settings.controller_worker.lease_seconds

    def converge(self, load_balancer_id: str) -> Outcome:
        """Work on a load balancer until nothing newer is wanted; never raises a HydriaError."""
        try:
            lease = self._tools.store.transact(
                lambda tx: leases.acquire(
                    tx, load_balancer_id, self._owner, moment=time.time(), seconds=self._seconds
                )
            )
            if lease is None:
                return Outcome(Result.ELSEWHERE, "another worker has it, or it is gone")
            with self._keeper.keep(lease):
                return self._rounds(lease)
        except (Unavailable, Busy) as error:
            return Outcome(Result.FAILED, str(error))

    def _rounds(self, lease: Lease) -> Outcome:
        outcome = Outcome(Result.AGAIN, "")
        for _ in range(_ROUNDS):
            outcome = self._pass(lease)
            if outcome.result is not Result.AGAIN:
                return outcome
        self._tools.store.transact(lambda tx: leases.confirm(tx, lease, release=True))
        return outcome

    def _pass(self, lease: Lease) -> Outcome:
        started = time.monotonic()
        with self._tools.store.read() as tx:
            tree = trees.load_tree(tx, lease.load_balancer_id)
            amphorae = trees.load_amphorae(tx, lease.load_balancer_id)
        if tree is None:
            return Outcome(Result.DONE, "it is gone")
        plan = convergence.plan(tree, amphorae)
        try:
            self._run(plan, tree, amphorae)
        except Exception as error:  # noqa: BLE001  (whatever fails, the load balancer must say so)
            return self._failed(lease, tree, plan, error)
        finished = self._tools.store.transact(lambda tx: self._record(tx, lease, tree, plan))
        took = (time.monotonic() - started) * 1000
        sentence = f"{plan.kind} in {took:.0f} ms, because {plan.reason}"
        return Outcome(Result.DONE if finished else Result.AGAIN, sentence)

    def _run(self, plan: Plan, tree: Tree, amphorae: tuple[Amphora, ...]) -> None:
        flow = flows.build(plan, tree.desired(), self._tools)
        if not len(flow):
            return
        # A thread per amphora pays only where there is more than one.
        kind = (
            "parallel" if len(amphorae) + len(plan.build) > 1 and plan.kind is not Kind.REPLACE else "serial"
        )
        try:
            engines.run(flow, engine=kind)
        except WrappedFailure as several:
            raise _most_telling(several) from several

    def _record(self, tx: sa.Connection, lease: Lease, tree: Tree, plan: Plan) -> bool:
        """Write down what the pass achieved; True, and the lease given back, when nothing newer is wanted."""
        generation = tree.load_balancer.generation
        wanted = trees.lock_generation(tx, tree.load_balancer.id)
        finished = plan.kind is Kind.DELETE or wanted == generation
        leases.confirm(tx, lease, release=finished)
        if plan.kind is Kind.DELETE:
            trees.mark_deleted(tx, tree, rows.now())
        else:
            trees.mark_applied(tx, tree, generation)
        return finished

    def _failed(self, lease: Lease, tree: Tree, plan: Plan, error: BaseException) -> Outcome:
        balancer, settings = tree.load_balancer, self._tools.settings.controller_worker
        attempts = balancer.attempts + 1
        delay = convergence.retry_delay(attempts, settings.retry_initial, settings.retry_max)
        fault = str(error) or type(error).__name__
        show = isinstance(error, Refused) or attempts >= _PATIENCE
        if not isinstance(error, HydriaError):
            LOG.error("Load balancer %s: %s failed unexpectedly", balancer.id, plan.kind, exc_info=error)

        def record(tx: sa.Connection) -> None:
            trees.lock_generation(tx, balancer.id)
            leases.confirm(tx, lease, release=True)
            trees.mark_failed(
                tx,
                tree,
                balancer.generation,
                fault=fault,
                retry_at=rows.now() + timedelta(seconds=delay),
                show=show,
            )

        self._tools.store.transact(record)
        return Outcome(Result.FAILED, f"{plan.kind} failed (try {attempts}, next in {delay:.0f} s): {fault}")


def _most_telling(several: Any) -> BaseException:
    """Of several failures, the one that the owner can do something about."""
    errors = [found.exception for found in several if found.exception is not None]
    return next((error for error in errors if isinstance(error, Refused)), errors[0])
