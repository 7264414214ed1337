"""What brings a load balancer's amphorae to its desired state, as actions on single amphorae."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from hydria.model.amphora import Amphora
from hydria.model.load_balancer import LoadBalancer
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.model.tree import Tree

# Amphorae of one load balancer that wait for their deletion; with so many, no other is built.
MOST_UNDELETED = 10
# Seconds between looks at what is under way: a quarter of its age. Heartbeats bring them forward.
_SOONEST, _LATEST, _SHARE = 5.0, 10.0, 0.25


class Kind(StrEnum):
    """What a pass is called in the log."""

    NOTHING = "nothing"
    CREATE = "create"
    CONFIGURE = "configure"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a topology, which one amphora fills."""

    role: AmphoraRole
    index: int = 0


@dataclass(frozen=True, slots=True)
class EnsureVip:
    """Have the VIP's port."""


@dataclass(frozen=True, slots=True)
class ReleaseVip:
    """Give the VIP's port back."""


@dataclass(frozen=True, slots=True)
class Build:
    """Have an amphora boot and take the desired state, all but the VIP.

    amphora: the one whose build goes on; None for a new one.
    alone: nobody else has the VIP, so its port may have it from the start.
    planned: an amphora that serves is to be replaced, so this one can wait until all secrets can be read.
    """

    slot: Slot
    amphora: Amphora | None = None
    alone: bool = True
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Configure:
    """Have an amphora that serves take the desired state.

    best_effort: it is being replaced, so that it fails is no failure.
    """

    amphora: Amphora
    best_effort: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """Cut a dead amphora off from the VIP; whatever is left of it could still answer."""

    amphora: Amphora


@dataclass(frozen=True, slots=True)
class Activate:
    """Have the amphora that was built for a slot take the VIP, once those before it are fenced."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Delete:
    """Give back all that an amphora has. What cannot be deleted now is fenced, and collected later.

    after: the slots of those that replace it; it serves until they have the VIP.
    """

    amphora: Amphora
    after: tuple[Slot, ...] = ()


Action: TypeAlias = EnsureVip | ReleaseVip | Build | Configure | Fence | Activate | Delete
_A = TypeVar("_A", bound=Action)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass does, and why.

    Actions on different amphorae depend on each other only as Activate and Delete say. serving: amphorae that
    serve now and stay. condition: why less is done than is wanted, "" when nothing is left out.
    With no actions there is nothing to do.
    """

    kind: Kind
    reason: str
    actions: tuple[Action, ...] = ()
    serving: tuple[Amphora, ...] = ()
    condition: str = ""

    def of(self, kind: type[_A]) -> tuple[_A, ...]:
        """The actions of one kind."""
        return tuple(action for action in self.actions if isinstance(action, kind))

    @property
    def replaces_serving(self) -> bool:
        """Whether somebody wants an amphora replaced that serves."""
        return any(action.after for action in self.of(Delete))


_SLOTS = {
    Topology.SINGLE: (Slot(AmphoraRole.STANDALONE),),
    Topology.ACTIVE_STANDBY: (Slot(AmphoraRole.MASTER), Slot(AmphoraRole.BACKUP)),
}


@dataclass(frozen=True, slots=True)
class _Present:
    """A load balancer's amphorae, sorted by what is to become of them.

    serving: in their slots, and to stay. replaced: they serve, and others are wanted in their places.
    booting: for empty slots. ended: dead, or of no use; whatever is left of them may still answer.
    surplus: they serve, but their slot is another's. undeleted: fenced, and collected apart from passes.
    """

    serving: tuple[Amphora, ...]
    replaced: tuple[Amphora, ...]
    booting: dict[Slot, Amphora]
    ended: tuple[Amphora, ...]
    surplus: tuple[Amphora, ...]
    undeleted: int
    empty: tuple[Slot, ...]


def plan(tree: Tree, amphorae: Sequence[Amphora]) -> Plan:
    """The next pass for a load balancer whose amphorae (not the deleted ones) are these."""
    balancer = tree.load_balancer
    if balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE:
        gone = [Delete(one) for one in amphorae if not _collected(one)]
        reason = f"it is being deleted, with {len(gone)} amphorae"
        return Plan(Kind.DELETE, reason, (*gone, ReleaseVip()))
    there = _sort(balancer, amphorae)
    left_over = (*there.ended, *there.surplus)
    if there.empty:
        return _fill(balancer, there, left_over)
    # Where it is not recorded that a generation is applied, nor is what of it could not be: all have to say.
    unrecorded = balancer.applied_generation < balancer.generation or balancer.retry_at is not None
    behind = [one for one in there.serving if unrecorded or one.applied_generation < balancer.generation]
    left_over += there.replaced
    actions: tuple[Action, ...] = (*map(Configure, behind), *map(Delete, left_over))
    if not actions:
        return Plan(
            Kind.NOTHING,
            f"every amphora already serves generation {balancer.generation}",
            serving=there.serving,
        )
    reason = f"generation {balancer.generation} is wanted, {balancer.applied_generation} applied"
    if balancer.applied_generation == balancer.generation and behind:
        reason = f"some of generation {balancer.generation} could not be served"
        if balancer.retry_at is None:
            reason = f"{len(behind)} of its amphorae are behind generation {balancer.generation}"
    if left_over:
        reason += f", {len(left_over)} amphorae are left over"
    return Plan(Kind.CONFIGURE, reason, actions, there.serving)


def _fill(balancer: LoadBalancer, there: _Present, left_over: Sequence[Amphora]) -> Plan:
    """Have an amphora in each slot, and meanwhile the others serve what is wanted."""
    planned = bool(there.replaced)
    alone = not (there.serving or there.replaced or there.ended or there.surplus)
    builds = tuple(Build(slot, there.booting.get(slot), alone, planned) for slot in there.empty)
    if planned:
        kind, reason = Kind.REPLACE, f"{len(there.replaced)} of its amphorae are to be replaced"
    elif there.serving or any(one.applied_generation for one in there.ended):
        kind, reason = Kind.REPLACE, f"{len(builds)} of its amphorae are missing or dead"
    else:
        interrupted = any(item.amphora for item in builds)
        kind = Kind.CREATE
        reason = f"it has no amphora yet{', one is being built' if interrupted else ''}"
    condition = ""
    if there.undeleted >= MOST_UNDELETED:
        builds = tuple(item for item in builds if item.amphora)
        condition = (
            f"{there.undeleted} of its earlier amphorae cannot be deleted; no other is built before that"
            " ('hydria status check' names them)."
        )
    # Nobody knows how long those that are to be replaced have to serve, once a pass has not been enough.
    kept = there.replaced if balancer.attempts or there.booting else ()
    slots = tuple(item.slot for item in builds)
    actions: list[Action] = [
        EnsureVip(),
        *(Configure(one) for one in there.serving),
        *(Configure(one, best_effort=True) for one in kept),
        *map(Fence, there.ended if slots else ()),
        *builds,
        *map(Activate, slots),
        *map(Delete, left_over),
        *(Delete(one, after=slots) for one in there.replaced if slots),
    ]
    return Plan(kind, reason, tuple(actions), there.serving, condition)


def _sort(balancer: LoadBalancer, amphorae: Sequence[Amphora]) -> _Present:
    """What is to become of each amphora."""
    wanted = [one for one in amphorae if not one.failover_requested]
    allocated = [one for one in wanted if one.status is AmphoraStatus.ALLOCATED]
    booting = [one for one in wanted if one.status is AmphoraStatus.BOOTING]
    replaced = [one for one in amphorae if one.failover_requested and one.status is AmphoraStatus.ALLOCATED]
    undeleted = [one for one in amphorae if _collected(one)]
    ended = [one for one in amphorae if one not in (*allocated, *booting, *replaced, *undeleted)]
    empty = list(_SLOTS[balancer.topology])
    serving: list[Amphora] = []
    surplus: list[Amphora] = []
    # Of two in one slot the one that is ahead stays: both have the VIP, so one of them is in the way.
    for one in sorted(allocated, key=lambda one: (-one.applied_generation, one.created_at, one.id)):
        slot = _slot(empty, one.role)
        if slot is None:
            surplus.append(one)
        else:
            empty.remove(slot)
            serving.append(one)
    resumed: dict[Slot, Amphora] = {}
    for one in booting:
        slot = _slot([each for each in empty if each not in resumed], one.role)
        if slot is None:
            ended.append(one)
        else:
            resumed[slot] = one
    return _Present(
        serving=tuple(serving),
        replaced=tuple(replaced),
        booting=resumed,
        ended=tuple(ended),
        surplus=tuple(surplus),
        undeleted=len(undeleted),
        empty=tuple(empty),
    )


def _slot(slots: Sequence[Slot], role: AmphoraRole) -> Slot | None:
    return next((slot for slot in slots if slot.role is role), None)


def _collected(amphora: Amphora) -> bool:
    """Whether an amphora is cut off and waits for its deletion."""
    return amphora.status is AmphoraStatus.PENDING_DELETE and amphora.collect_at is not None


def look_again(age: float) -> float:
    """Seconds until the next look at something that has been under way for ``age`` seconds."""
    return min(_LATEST, max(_SOONEST, _SHARE * age))


def retry_delay(attempts: int, initial: float, longest: float) -> float:
    """Seconds until the next pass after ``attempts`` failed ones in a row (the last included)."""
    return float(min(longest, initial * 2 ** max(0, min(attempts - 1, 30))))
