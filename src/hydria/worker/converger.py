"""One pass after another over one load balancer, under its lease."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import msgspec
import sqlalchemy as sa
from taskflow import engines
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow

from hydria.model import faults
from hydria.model.errors import Busy, DriverError, HydriaError, Outdated, Refused, Superseded, Unavailable
from hydria.model.load_balancer import LoadBalancer
from hydria.model.statuses import ProvisioningStatus
from hydria.model.tree import Tree
from hydria.planner import convergence
from hydria.planner.convergence import Build, Configure, Kind, Plan
from hydria.store import changes, events, leases, rows, trees
from hydria.store.events import What
from hydria.store.leases import Lease
from hydria.worker import flows, secrets, unkept
from hydria.worker.findings import Findings
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.outcomes import Outcomes
from hydria.worker.steps.serve import Activate as Activated
from hydria.worker.steps.serve import Configure as Configured
from hydria.worker.steps.step import Step
from hydria.worker.tools import Interrupted, Notes, Tools, Write
from hydria.worker.unkept import Unkept

LOG = logging.getLogger(__name__)

# A fault that can pass by itself is shown as ERROR only once it has repeated.
_PATIENCE = 3
# Passes under one lease, before others get their turn.
_ROUNDS = 10
# No amphora's word is taken for a generation, or a term, that could not be counted up to.
_MOST_CHANGES = 2**53
_UNKEPT = Unkept({})


class Result(StrEnum):
    """How a visit to a load balancer ended."""

    DONE = "done"
    IDLE = "idle"
    AGAIN = "again"
    LATER = "later"
    UNDER_WAY = "under way"
    FAILED = "failed"


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
        self._settings = tools.settings.controller_worker
        self._executor = ThreadPoolExecutor(2 * self._settings.workers, thread_name_prefix="amphora")

    def warm_up(self) -> None:
        """Have ready what the first create would wait for longer than for all else."""
        try:
            self._tools.compute.prepare()
        except HydriaError as error:
            LOG.warning("The compute driver is not ready to build yet: %s", error)
        first = linear_flow.Flow("warm up")  # TaskFlow looks for its engines
        engines.run(first, engine="serial", backend=_UNKEPT, flow_detail=unkept.detail(first))

    def converge(self, load_balancer_id: str) -> Outcome:
        """Work on a load balancer until nothing newer is wanted; never raises a HydriaError."""
        try:
            lease = self._tools.store.transact(lambda tx: self._acquire(tx, load_balancer_id))
        except (Unavailable, Busy) as error:
            return Outcome(Result.FAILED, str(error))
        if lease is None:
            return Outcome(Result.IDLE, "there is nothing to do now, or another worker has it")
        return self.carry_on(lease)

    def _acquire(self, tx: sa.Connection, load_balancer_id: str) -> Lease | None:
        seconds, horizon = self._settings.lease_seconds, 2 * self._settings.retry_max
        return leases.acquire(
            tx, load_balancer_id, self._owner, moment=time.time(), seconds=seconds, horizon=horizon
        )

    def carry_on(self, lease: Lease) -> Outcome:
        """The same, once the lease is taken."""
        try:
            with self._keeper.keep(lease):
                try:
                    return self._rounds(lease)
                except Superseded as error:
                    return self._surpass(lease, error)
        except (Unavailable, Busy) as error:
            return Outcome(Result.FAILED, str(error))

    def _surpass(self, lease: Lease, error: Superseded) -> Outcome:
        """End a pass that an amphora takes for one whose lease is over; Busy when it is."""
        self._tools.store.transact(lambda tx: leases.surpass(tx, lease, error.term))
        # The lease is ours all the same: the database is of a backup. The next look goes on above that term.
        said = "Load balancer %s: the database is behind its amphora, as after a restore: %s"
        LOG.warning(said, lease.load_balancer_id, error)
        return Outcome(Result.LATER, str(error))

    def _rounds(self, lease: Lease) -> Outcome:
        outcome = Outcome(Result.AGAIN, "")
        for _ in range(_ROUNDS):
            outcome = self._pass(lease)
            if outcome.result is not Result.AGAIN:
                return outcome
            LOG.info("Load balancer %s: %s", lease.load_balancer_id, outcome.sentence)
        self._release(lease)
        return Outcome(Result.AGAIN, f"it has changed {_ROUNDS} times meanwhile: others first")

    def _pass(self, lease: Lease) -> Outcome:
        started = time.monotonic()
        with self._tools.store.read() as tx:
            found = trees.load_whole(tx, lease.load_balancer_id)
        if found is None:
            return Outcome(Result.DONE, "it is gone")
        tree, amphorae, vip_ports = found
        plan = convergence.plan(tree, amphorae)
        tools = dataclasses.replace(
            self._tools,
            lease=lease,
            notes=Notes(),
            findings=Findings(),
            outcomes=Outcomes(),
            vip_ports=vip_ports,
        )
        try:
            self._run(plan, tree, tools)
        except Interrupted as interruption:
            return self._interrupted(lease, tools, plan, interruption)
        except Superseded as error:
            if error.term < _MOST_CHANGES:
                raise
            return self._failed(lease, tools, tree, plan, error)
        except Exception as error:
            if not isinstance(error, HydriaError):
                LOG.exception("Load balancer %s: %s failed unexpectedly", tree.load_balancer.id, plan.kind)
            return self._failed(lease, tools, tree, plan, error)
        errors = tools.outcomes.errors
        if plan.condition:
            errors.append(DriverError(plan.condition))
        if not _is_served(plan, tools.outcomes):
            if errors:
                return self._failed(lease, tools, tree, plan, _most_telling(errors))
            if tools.outcomes.look_again is not None:
                return self._under_way(lease, tools, tree, plan)
        finished = tools.transact(
            lambda tx, notes: self._record(tx, notes, lease, tree, plan, tools, failed=bool(errors))
        )
        took = (time.monotonic() - started) * 1000
        sentence = f"{plan.kind}{_origin(tree.load_balancer)} in {took:.0f} ms, because {plan.reason}"
        sentence += _unserved(tools.findings)
        if errors:
            sentence += f"; it serves with fewer amphorae: {faults.for_operator(_most_telling(errors))}"
        if not finished:
            return Outcome(Result.AGAIN, f"{sentence}; it has changed meanwhile")
        return Outcome(Result.IDLE if plan.kind is Kind.NOTHING else Result.DONE, sentence)

    def _run(self, plan: Plan, tree: Tree, tools: Tools) -> None:
        flow = flows.build(plan, tree.desired(), tools)
        if not len(flow):
            return
        # A flow of one step, as most are, needs no engine, which takes longer than a step's own share.
        first, *more = flow
        if not more and isinstance(first, Step) and first.stands_alone:
            first.execute()
            return
        several = len(plan.of(Build)) + len(plan.of(Configure)) > 1
        # One executor for all passes: TaskFlow takes a second to end one of its own.
        kind = {"engine": "parallel", "executor": self._executor} if several else {"engine": "serial"}
        try:
            engines.run(flow, backend=_UNKEPT, flow_detail=unkept.detail(flow), **kind)
        except WrappedFailure as failures:
            raise _first(failures) from failures

    def _record(
        self,
        tx: sa.Connection,
        notes: Write,
        lease: Lease,
        tree: Tree,
        plan: Plan,
        tools: Tools,
        *,
        failed: bool,
    ) -> bool:
        """Write down what the pass achieved; True, and the lease given back, when nothing newer is wanted.

        failed: the load balancer is served, but something has failed that is to be tried again.
        """
        generation, findings = tree.load_balancer.generation, tools.findings
        wanted = trees.lock_generation(tx, tree.load_balancer.id)
        finished = plan.kind is Kind.DELETE or wanted == generation
        leases.confirm(tx, lease, release=finished)
        notes(tx)
        if plan.kind is Kind.DELETE:
            trees.mark_deleted(tx, tree, rows.now())
            return finished
        retry_at = look_at = None
        if failed or findings.passing:
            retry_at = rows.now() + timedelta(seconds=self._delay(tree.load_balancer.attempts + 1))
        if tools.outcomes.look_again is not None:
            look_at = rows.now() + timedelta(seconds=tools.outcomes.look_again)
        if findings.faults is None:
            trees.mark_unchanged(tx, tree, retry_at=retry_at, look_at=look_at)
        else:
            trees.mark_applied(tx, tree, generation, findings.faults, retry_at=retry_at, look_at=look_at)
            if plan.kind is Kind.REPLACE and look_at is None and not failed:
                events.note(tx, tree.load_balancer, What.FAILOVER_END)
            self._note_secrets(tx, tree, findings)
        return finished

    @staticmethod
    def _note_secrets(tx: sa.Connection, tree: Tree, findings: Findings) -> None:
        """Write down what amphorae have of secrets, where this pass has read any."""
        balancer, versions = tree.load_balancer, findings.versions
        if versions is None:
            return
        references = secrets.digest(tree.desired()) if findings.complete else ""
        known = versions, references, balancer.generation if references else 0
        before = balancer.secret_versions, balancer.secret_references, balancer.secret_generation
        # With the same secrets as before all amphorae that had them still do.
        if known[:2] != before[:2] or bool(known[2]) != bool(before[2]):
            trees.note_secrets(tx, balancer.id, *known)

    def _under_way(self, lease: Lease, tools: Tools, tree: Tree, plan: Plan) -> Outcome:
        """Give the lease back while something boots; whoever comes next goes on with it."""
        balancer, wait = tree.load_balancer, tools.outcomes.look_again or 0.0

        def record(tx: sa.Connection, notes: Write) -> bool:
            finished = trees.lock_generation(tx, balancer.id) == balancer.generation
            leases.confirm(tx, lease, release=finished)
            notes(tx)
            if finished:
                trees.mark_under_way(tx, balancer.id, rows.now() + timedelta(seconds=wait))
            return finished

        sentence = f"{plan.kind}{_origin(balancer)} is under way, because {plan.reason}"
        if tools.transact(record):
            return Outcome(Result.UNDER_WAY, f"{sentence}; the next look is in {wait:.1f} s")
        return Outcome(Result.AGAIN, f"{sentence}; it has changed meanwhile")

    def _delay(self, attempts: int) -> float:
        return convergence.retry_delay(attempts, self._settings.retry_initial, self._settings.retry_max)

    def _failed(self, lease: Lease, tools: Tools, tree: Tree, plan: Plan, error: BaseException) -> Outcome:
        balancer = tree.load_balancer
        attempts = balancer.attempts + 1
        delay = self._delay(attempts)
        fault = faults.for_operator(error)
        show = isinstance(error, Refused) or attempts >= _PATIENCE

        def record(tx: sa.Connection, notes: Write) -> bool:
            """Whether to go on at once, since what is wanted now is something else than what has failed."""
            newest = changes.lock(tx, balancer.id)
            changed = newest is not None and newest.generation != balancer.generation
            ahead = newest is not None and _overtake(tx, newest, error)
            leases.confirm(tx, lease, release=not (changed or ahead))
            notes(tx)
            trees.mark_failed(
                tx,
                tree,
                balancer.generation,
                fault=faults.for_owner(error),
                retry_at=None if changed or ahead else rows.now() + timedelta(seconds=delay),
                show=show and not (changed or ahead),
            )
            return changed or ahead

        if tools.transact(record):
            said = f"{plan.kind}{_origin(balancer)} failed, on to what is wanted by now: {fault}"
            return Outcome(Result.AGAIN, said)
        said = f"{plan.kind}{_origin(balancer)} failed (try {attempts}, next in {delay:.0f} s): {fault}"
        return Outcome(Result.FAILED, said)

    @staticmethod
    def _interrupted(lease: Lease, tools: Tools, plan: Plan, interruption: Interrupted) -> Outcome:
        ends = tools.stopping.is_set()

        def record(tx: sa.Connection, notes: Write) -> None:
            leases.confirm(tx, lease, release=ends)
            notes(tx)

        tools.transact(record)
        return Outcome(Result.LATER if ends else Result.AGAIN, f"{plan.kind} ended early: {interruption}")

    def _release(self, lease: Lease) -> None:
        self._tools.store.transact(lambda tx: leases.confirm(tx, lease, release=True))


def _origin(balancer: LoadBalancer) -> str:
    """Which state of the load balancer it is, and the request that the API's log has under it."""
    asked_for = f" ({balancer.request_id})" if balancer.request_id else ""
    return f" of generation {balancer.generation}{asked_for}"


def _unserved(findings: Findings) -> str:
    """What the load balancer's owner sees in ERROR."""
    found = findings.faults or {}
    return "".join(f"; not as wanted: {key}: {text}" for key, text in sorted(found.items()))


def _overtake(tx: sa.Connection, balancer: LoadBalancer, error: BaseException) -> bool:
    """Where an amphora is ahead of the database (a backup was restored), have the database be ahead again."""
    if not isinstance(error, Outdated) or not balancer.generation < error.generation < _MOST_CHANGES:
        return False
    if balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE:
        return False
    changes.touch(tx, msgspec.structs.replace(balancer, generation=error.generation))
    return True


def _is_served(plan: Plan, outcomes: Outcomes) -> bool:
    """Whether the users' changes are served, whatever became of the other amphorae.

    Not while somebody waits for an amphora to be replaced that serves.
    """
    if plan.kind is Kind.DELETE:
        return not outcomes.errors
    if plan.replaces_serving:
        return not outcomes.errors and outcomes.look_again is None
    configured = {action.amphora.id for action in plan.of(Configure)}
    serving = [
        one for one in plan.serving if one.id not in configured or outcomes.done(Configured.named(one.id))
    ]
    return bool(serving) or outcomes.any_done(Activated)


def _most_telling(errors: Sequence[BaseException]) -> BaseException:
    """Of several failures, the one that the owner can do something about."""
    return next((error for error in errors if isinstance(error, Refused)), errors[0])


def _first(failures: WrappedFailure) -> BaseException:
    """Of what several steps raised, which all end the pass: that somebody else has it, if one says so."""
    errors: list[BaseException] = [found.exception for found in failures if found.exception is not None]
    superseded = (error for error in errors if isinstance(error, Superseded))
    return next(superseded, errors[0] if errors else failures)
