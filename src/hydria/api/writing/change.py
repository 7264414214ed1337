"""A change of one load balancer's desired state, from the lock to the wake-up."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from hydria.api import conditions, policy, views
from hydria.api.call import Call
from hydria.model import kinds
from hydria.model.amphora import Amphora
from hydria.model.errors import Busy, NotFound, Unavailable
from hydria.model.flavor import Flavor, allows_member_sriov
from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.resource import IDENTIFIER, Declared, Resource, build
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.providers import tls
from hydria.providers.registry import Completion, Provider
from hydria.store import changes, handovers, locking, offers, relations, rows, trees
from hydria.store.locking import PoolInUse

LOG = logging.getLogger(__name__)
R = TypeVar("R", bound=Resource)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """One request's change, within its transaction, of a load balancer that is locked until it ends.

    ``generation`` is the load balancer's once the change is made.
    """

    call: Call
    tx: sa.Connection
    balancer: LoadBalancer
    generation: int
    chosen: list[Provider] = field(default_factory=list)
    deferred: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    @property
    def provider(self) -> Provider:
        """Who builds the load balancer. Raises Unsupported when that driver is not installed any more."""
        if not self.chosen:
            self.chosen.append(self.call.services.providers.get(self.balancer.provider))
        return self.chosen[0]

    @property
    def classic(self) -> bool:
        """Whether the provider counts on Octavia's lock: one change at a time (contract 1.20)."""
        return self.provider.completion is Completion.REPORTED

    # --- what is there

    def find(self, resource: type[R], identifier: str) -> R:
        """An object of this load balancer; NotFound when it has none of that id."""
        item = rows.load_one(self.tx, resource, known_id(resource, identifier))
        if item is None or getattr(item, "load_balancer_id", None) != self.balancer.id:
            raise NotFound(resource.label, identifier)
        return item

    def find_tree(self) -> Tree:
        """The load balancer with everything below it, as the change has made it so far."""
        tree = trees.load_tree(self.tx, self.balancer.id)
        if tree is None:
            raise NotFound(LoadBalancer.label, self.balancer.id)
        return tree

    def find_pool(self, identifier: str) -> PoolInUse:
        """A pool of this load balancer with what a change of it affects."""
        found = locking.pool_in_use(self.tx, known_id(Pool, identifier))
        if found is None or found.pool.load_balancer_id != self.balancer.id:
            raise NotFound(Pool.label, identifier)
        return found

    def choices(self) -> dict[str, Any]:
        """What the load balancer's flavor and availability zone say, for its provider."""
        return offers.expanded(self.tx, self.balancer)

    def member_sriov(self) -> bool:
        """Whether the load balancer's flavor lets members ask for SR-IOV."""
        return allows_member_sriov(offers.chosen(self.tx, self.balancer, Flavor) or {})

    # --- whether it may change

    def authorize(self, rule: str) -> None:
        """Raise Forbidden unless the caller may do this to what is on this load balancer."""
        policy.authorize(self.call, rule, self.balancer.project_id)

    def admit(self, *parents: Resource) -> None:
        """Raise Busy unless objects below the load balancer, and below these, may change now."""
        for item in (self.balancer, *parents):
            if not self._open(item):
                raise immutable(item)

    def admit_update(self, item: Resource, *parents: Resource) -> None:
        """Raise Busy unless this object may change now."""
        self.admit(*parents)
        if not item.desired:
            raise immutable(item)
        self.require_match(item)

    def require_match(self, item: Resource) -> None:
        """Raise Changed unless the object is what the request's If-Match has, if it has one."""
        conditions.require(self.call, self.tx, item)

    def admit_families(self, pool: Pool, members: Iterable[Member]) -> None:
        """Raise Unsupported for members of a listener's pool that no VIP can send to."""
        vips = Tree(self.balancer).vip_addresses()
        self.provider.admit_families(pool.protocol, vips, (each.address for each in members if each.desired))

    def gone(self, item: Resource, *parents: Resource) -> bool:
        """Whether the object's deletion was asked for before; Busy unless it may be deleted now."""
        self.admit()
        if not item.desired:
            return True
        self.admit(*parents)
        self.require_match(item)
        return False

    def _open(self, item: Resource) -> bool:
        if self.classic:
            return item.provisioning_status is ProvisioningStatus.ACTIVE
        return item.desired

    # --- making it

    def update_balancer(self, values: Mapping[str, Any]) -> LoadBalancer:
        """Write a PUT's changes of the load balancer itself; what it has become."""
        self.provider.admit_extensions(LoadBalancer, values)
        self.touch(own_generation=self.generation, **values)
        self.tag(self.balancer, values)
        written = rows.load_one(self.tx, LoadBalancer, self.balancer.id)
        if written is None:
            raise NotFound(LoadBalancer.label, self.balancer.id)
        return written

    def update(self, item: R, values: Mapping[str, object]) -> R:
        """Write a PUT's changes; the object as it has become."""
        self.provider.admit_extensions(type(item), values)
        written = changes.update_object(self.tx, item, values, self.generation)
        self.tag(item, values)
        return build(type(item), msgspec.structs.asdict(item) | written)

    def tag(self, item: Resource, values: Mapping[str, Any]) -> None:
        """Replace the object's tags if the request has some."""
        if "tags" in values:
            changes.set_tags(self.tx, item.id, values["tags"])

    def touch(self, used: PoolInUse | None = None, **values: Any) -> None:
        """Raise the load balancer's generation and write what else changes of it.

        Marks a pool and the listeners that use it as affected.
        """
        # Where the provider reports by itself there is nothing for our workers to apply.
        applied = {"applied_generation": self.generation} if self.classic else {}
        changes.touch(self.tx, self.balancer, request_id=self.call.request_id, **applied, **values)
        if used is not None:
            changes.touch_objects(self.tx, Pool, [used.pool.id], self.generation)
            self.touch_listeners(used)

    def touch_listeners(self, used: PoolInUse) -> None:
        """Mark the listeners that use a pool as affected."""
        changes.touch_objects(self.tx, Listener, used.listener_ids, self.generation)

    def touch_above(self, policy: L7Policy | RateLimitPolicy, *, rules: bool = False) -> None:
        """Mark a policy's listener as affected, and where its ``rules`` change, the policy itself too."""
        self.touch()
        changes.touch_objects(self.tx, Listener, [policy.listener_id], self.generation)
        if rules:
            changes.touch_objects(self.tx, type(policy), [policy.id], self.generation)

    def hand_over(self, method: str, *arguments: Any) -> None:
        """Call the provider, as the very last step; what is done when it returns is marked so.

        One that reports by itself is called once the change is committed: see :func:`carry_out`.
        """
        if self.classic:
            services = self.call.services
            owner = services.settings.controller_name
            handovers.begin(self.tx, services.store, self.balancer.id, self.generation, owner)
            self.deferred.append((method, arguments))
            return
        self.provider.call(method, *arguments)
        if self.provider.completion is not Completion.IMMEDIATE:
            return
        tree = self.find_tree()
        if tree.load_balancer.desired:
            trees.mark_applied(self.tx, tree, self.generation)
        else:
            trees.mark_deleted(self.tx, tree, rows.now())

    def deliver(self) -> None:
        """Call the provider for what was committed; the change is taken back when the call fails."""
        store, key = self.call.services.store, (self.balancer.id, self.generation)
        try:
            for method, arguments in self.deferred:
                self._add_certificates(method, arguments)
                self.provider.call(method, *arguments)
        except BaseException:
            self._take_back()
            raise
        if self.deferred:
            store.transact(lambda tx: handovers.end(tx, *key))

    def _add_certificates(self, method: str, arguments: Collection[Any]) -> None:
        """What the references in the objects stand for; of the latest object, it must be there."""
        for number, given in enumerate(arguments, start=1):
            needed = number == len(arguments) and not method.endswith("_delete")
            tls.fill(given, self.call.services.certificates, self.balancer.project_id, needed=needed)

    def _take_back(self) -> None:
        store, key = self.call.services.store, (self.balancer.id, self.generation)
        try:
            if not store.transact(lambda tx: handovers.undo(tx, *key)):
                LOG.warning(
                    "Load balancer %s: the provider has failed after it had reported that generation %d is"
                    " done, which therefore stays", *key,
                )  # fmt: skip
        except Unavailable as error:
            LOG.warning("Load balancer %s: housekeeping has to take generation %d back: %s", *key, error)

    def shown(self, item: Resource) -> dict[str, object]:
        """A changed object as the response shows it."""
        return views.body(item, relations.of(self.tx, type(item), [item.id])[item.id])


def carry_out(call: Call, work: Callable[[sa.Connection], tuple[T, Change | None]]) -> T:
    """Run ``work`` in a transaction, then have a worker look at what it changed; its answer.

    ``work`` may run again after a lost race, so it changes nothing but the database, until it hands over.

    A provider that reports by itself is called when the change is committed. Its driver may be slow, which
    keeps nobody from the database then, and may look up and report while it is called. Meanwhile the classic
    lock keeps the tree as it is, so that the change can be taken back when the call fails.
    """
    answer, change = call.services.store.transact(work)
    if change is not None:
        change.deliver()
    if change is not None:
        balancer = change.balancer
        LOG.info(
            "Load balancer %s: %s asks for generation %d", balancer.id, call.request_id, change.generation
        )
    if change is not None and change.provider.completion is Completion.CONVERGED:
        call.services.wakeups.wake(change.balancer.id)
    return answer


def open_balancer(call: Call, tx: sa.Connection, identifier: str) -> Change:
    """Lock a load balancer to change it; NotFound when it does not exist or is deleted."""
    balancer = changes.lock(tx, known_id(LoadBalancer, identifier))
    if balancer is None or balancer.provisioning_status is ProvisioningStatus.DELETED:
        raise NotFound(LoadBalancer.label, identifier)
    return Change(call, tx, balancer, balancer.generation + 1)


def open_child(call: Call, tx: sa.Connection, resource: type[Declared], identifier: str) -> Change:
    """Lock the load balancer that an object is on; NotFound when there is no such object."""
    balancer = locking.lock_owner(tx, resource, known_id(resource, identifier))
    if balancer is None:
        raise NotFound(resource.label, identifier)
    return Change(call, tx, balancer, balancer.generation + 1)


def new(
    balancer: LoadBalancer,
    resource: type[R],
    values: Mapping[str, object],
    generation: int,
    operating_status: OperatingStatus = OperatingStatus.OFFLINE,
) -> R:
    """A new object below a load balancer, of its project; the values may have its id already."""
    return build(
        resource,
        {
            **values,
            "id": values.get("id") or str(uuid.uuid4()),
            "project_id": balancer.project_id,
            "load_balancer_id": balancer.id,
            "provisioning_status": ProvisioningStatus.PENDING_CREATE,
            "operating_status": operating_status,
            "created_at": rows.now(),
            "generation": generation,
        },
    )


def known_id(resource: type[Declared], identifier: str) -> str:
    """An id from a URL as the store keeps it; NotFound when it is none."""
    try:
        return IDENTIFIER.parse(identifier)
    except kinds.BadValue:
        raise NotFound(resource.label, kinds.shown(identifier)) from None


def immutable(item: Resource | Amphora) -> Busy:
    """The error for an object that is locked, or on its way out."""
    label = "L7Policy" if isinstance(item, L7Policy) else item.label  # as clients know it (contract 1.20)
    return Busy(f"{label} {item.id} is immutable and cannot be updated.")
