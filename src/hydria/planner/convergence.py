"""What brings a load balancer's amphorae to its desired state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.model.tree import Tree


class Kind(StrEnum):
    """Which flow a plan becomes."""

    NOTHING = "nothing"
    CREATE = "create"
    CONFIGURE = "configure"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Build:
    """An amphora to be built. resumed: the row that an interrupted pass left; None for a new one."""

    role: AmphoraRole
    resumed: Amphora | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one pass, and why.

    build: amphorae to make. retire: amphorae to end. configure: those that serve and get the desired state.
    clear: what failed builds left and never served, to be ended before anything is built, so that it cannot
    pile up. succeed: amphorae that serve until those that are built take over, and end then. keep: those of
    them that may have to serve for longer, and so get the desired state, too. Every built one is configured.
    With nothing built, retired or configured there is nothing to do.
    """

    kind: Kind
    reason: str
    build: tuple[Build, ...] = ()
    configure: tuple[Amphora, ...] = ()
    retire: tuple[Amphora, ...] = ()
    succeed: tuple[Amphora, ...] = ()
    keep: tuple[Amphora, ...] = ()
    clear: tuple[Amphora, ...] = ()


_ROLES = {
    Topology.SINGLE: (AmphoraRole.STANDALONE,),
    Topology.ACTIVE_STANDBY: (AmphoraRole.MASTER, AmphoraRole.BACKUP),
}


def plan(tree: Tree, amphorae: Sequence[Amphora]) -> Plan:
    """The next pass for a load balancer whose amphorae (not the deleted ones) are these."""
    balancer = tree.load_balancer
    if balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE:
        return Plan(
            Kind.DELETE, f"it is being deleted, with {len(amphorae)} amphorae", retire=tuple(amphorae)
        )
    wanted_on = [amphora for amphora in amphorae if not amphora.failover_requested]
    serving = [amphora for amphora in wanted_on if amphora.status is AmphoraStatus.ALLOCATED]
    booting = [amphora for amphora in wanted_on if amphora.status is AmphoraStatus.BOOTING]
    leaving = tuple(
        amphora
        for amphora in amphorae
        if amphora.failover_requested and amphora.status is AmphoraStatus.ALLOCATED
    )
    spent = [amphora for amphora in amphorae if amphora not in (*serving, *booting, *leaving)]
    wanted = list(_ROLES[balancer.topology])
    build: list[Build] = []
    surplus: list[Amphora] = []
    # Of two in one role the one that is ahead stays: both have the VIP, so one of them is in the way.
    for amphora in sorted(serving, key=lambda one: (-one.applied_generation, one.created_at, one.id)):
        if amphora.role in wanted:
            wanted.remove(amphora.role)
        else:
            serving.remove(amphora)
            surplus.append(amphora)
    for role in wanted:
        resumed = next((amphora for amphora in booting if amphora.role is role), None)
        if resumed is not None:
            booting.remove(resumed)
        build.append(Build(role, resumed))
    clear = tuple(one for one in (*spent, *booting) if not one.applied_generation) if build else ()
    retire = tuple(one for one in (*spent, *booting, *surplus) if one not in clear)
    if build and leaving:
        reason = f"{len(leaving)} of its amphorae are to be replaced"
        # They serve until then, and nobody knows how long that is once a pass has failed.
        keep = leaving if balancer.attempts else ()
        return Plan(Kind.REPLACE, reason, tuple(build), tuple(serving), retire, leaving, keep, clear)
    retire += leaving
    if build and (serving or spent):
        reason = f"{len(build)} of its amphorae are missing or dead"
        return Plan(Kind.REPLACE, reason, tuple(build), tuple(serving), retire, clear=clear)
    if build:
        resumed_builds = sum(item.resumed is not None for item in build)
        reason = f"it has no amphora yet{', an earlier pass was interrupted' if resumed_builds else ''}"
        return Plan(Kind.CREATE, reason, tuple(build), (), retire, clear=clear)
    # Where it is not recorded that a generation is applied, nor is what of it could not be: all have to say.
    unrecorded = balancer.applied_generation < balancer.generation or balancer.retry_at is not None
    behind = tuple(one for one in serving if unrecorded or one.applied_generation < balancer.generation)
    if behind or retire:
        reason = f"generation {balancer.generation} is wanted, {balancer.applied_generation} applied"
        if balancer.applied_generation == balancer.generation and behind:
            reason = f"some of generation {balancer.generation} could not be served"
        if retire:
            reason += f", {len(retire)} amphorae are left over"
        return Plan(Kind.CONFIGURE, reason, (), behind, retire)
    return Plan(Kind.NOTHING, f"every amphora already serves generation {balancer.generation}")


def retry_delay(attempts: int, initial: float, longest: float) -> float:
    """Seconds until the next pass after ``attempts`` failed ones in a row (the last included)."""
    return float(min(longest, initial * 2 ** max(0, min(attempts - 1, 30))))
