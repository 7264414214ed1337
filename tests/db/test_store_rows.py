"""What is stored comes back as it was, is compared exactly, and goes with what it belongs to."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hydria.model.amphora import Amphora
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Configured, Resource, attributes, parse_create
from hydria.store import Store, amphorae, changes, rows, tables, trees
from hydria.testing import bodies
from hydria.testing import trees as make
from tests.db import store_scene as scene

REFERENCES = {
    "load_balancer_id": make.BALANCER, "loadbalancer_id": make.BALANCER, "pool_id": make.POOL,
    "listener_id": make.LISTENER, "l7policy_id": make.POLICY,
}  # fmt: skip
ABOVE = {"pool_id": make.pool, "listener_id": make.listener}
FACTORIES: dict[type[Resource], Any] = {
    LoadBalancer: make.load_balancer, Listener: make.listener, Pool: make.pool, Member: make.member,
    HealthMonitor: make.monitor, L7Policy: make.policy, L7Rule: make.rule,
    RateLimitPolicy: make.limit_policy, RateLimitRule: make.limit_rule,
}  # fmt: skip
# Those that no request decides.
INTERNAL = {
    "created_at": st.datetimes(min_value=make.EPOCH), "updated_at": st.none() | st.datetimes(min_value=make.EPOCH),
    "generation": st.integers(0, 2**62), "provisioning_status": st.sampled_from(["ACTIVE", "PENDING_DELETE"]),
    "operating_status": st.sampled_from(["ONLINE", "NO_MONITOR"]),
}  # fmt: skip
INTERNAL_OF: dict[type[Resource], dict[str, st.SearchStrategy[Any]]] = {
    LoadBalancer: {
        "fault": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2048),
        "retry_at": st.none() | st.datetimes(min_value=make.EPOCH), "vip_port_owned": st.booleans(),
        "attempts": st.integers(0, 2**31), "applied_generation": st.integers(0, 2**62),
    },
}  # fmt: skip


def resources(resource: type[Resource]) -> st.SearchStrategy[Resource]:
    """What a request may have made, whatever its body."""
    declared = attributes(resource)
    usual = FACTORIES[resource]()
    defaults = {
        attribute.default.name: getattr(usual, name)
        for name, attribute in declared.items()
        if isinstance(attribute.default, Configured)
    }
    internal = st.fixed_dictionaries({**INTERNAL, **INTERNAL_OF.get(resource, {})})

    def built(body: dict[str, Any], more: dict[str, Any], number: int) -> Resource:
        values = parse_create(resource, {**body, **references}, defaults)
        if resource is Pool:
            values |= {"listener_id": None}
        if resource is Member:
            values |= {"request_sriov": False}
        own = {name: value for name, value in REFERENCES.items() if name in declared}
        own = {
            name: None if resource is Pool and name == "listener_id" else value for name, value in own.items()
        }
        given = msgspec.structs.asdict(FACTORIES[resource](number)) | values | more | own
        return msgspec.convert(given | {"tags": sorted(set(values["tags"]))}, resource)

    references = {name: value for name, value in REFERENCES.items() if name in _wire(resource)}
    drawn = bodies.valid_bodies(resource, creating=True, without=[*references, "loadbalancer_id"])
    return st.builds(built, drawn, internal, st.integers(2, 10**9))


def _wire(resource: type[Resource]) -> set[str]:
    return {
        attribute.wire or name
        for name, attribute in attributes(resource).items()
        if bodies.accepted(attribute, creating=True)
    }


@pytest.mark.parametrize("resource", FACTORIES)
@given(data=st.data())
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out(store: Store, resource: type[Resource], data: st.DataObject) -> None:
    items = data.draw(
        st.lists(resources(resource), min_size=1, max_size=6, unique_by=(lambda item: item.id, _identity))
    )
    with store.writer.connect() as tx:  # rolled back at the end
        if resource is not LoadBalancer:
            rows.insert(tx, [make.load_balancer()])
        for name, factory in ABOVE.items():
            if name in attributes(resource) and resource is not Pool:
                rows.insert(tx, [factory()])
        if resource is L7Rule:
            rows.insert(tx, [make.listener()])
            rows.insert(tx, [make.policy()])
        if resource is RateLimitRule:
            rows.insert(tx, [make.listener()])
            rows.insert(tx, [make.limit_policy()])
        for item in items if resource is HealthMonitor else ():  # one for each pool
            rows.insert(tx, [make.pool(id=item.id)])
        moved = [
            msgspec.structs.replace(item, pool_id=item.id) if resource is HealthMonitor else item
            for item in items
        ]
        rows.insert(tx, moved)
        for item in moved:
            found = rows.load_one(tx, resource, item.id)
            assert found == msgspec.structs.replace(item, tags=())
            query = sa.select(tables.tags.c.tag).where(tables.tags.c.resource_id == item.id)
            assert sorted(tx.execute(query).scalars()) == sorted(item.tags)
        found_ids = {item.id for item in rows.load(tx, resource)}
        assert {item.id for item in moved} <= found_ids


def _identity(item: Any) -> object:
    key = tables.live_key(type(item), msgspec.structs.asdict(item))
    return item.id if key is None or isinstance(item, HealthMonitor) else key


def test_amphorae_come_out_as_they_went_in(store: Store) -> None:
    scene.add(store)
    full = scene.amphora(
        1, role="BACKUP", compute_id="c" * 255, lb_network_ip="::1", vrrp_ip="192.0.2.1", vrrp_port_id="p", ha_ip="::2",
        ha_port_id="q", cert_expiration=make.EPOCH.replace(microsecond=1), cached_zone="z", image_id="i",
        compute_flavor="f", applied_generation=2**62, updated_at=make.EPOCH,
    )  # fmt: skip
    scene.add_amphora(store, full, scene.amphora(2))
    assert scene.get(store, full) == full
    assert scene.get(store, scene.amphora(2)) == scene.amphora(2)
    store.transact(lambda tx: amphorae.update(tx, full.id, status="ERROR", compute_id=None))
    after = scene.get(store, full)
    assert (after.status, after.compute_id, after.image_id) == ("ERROR", None, "i")
    assert after.updated_at > make.EPOCH


ALIKE = [
    "a",
    "A",
    "a ",
    " a",
    "\u00e4",
    "a\u0308",
    "\u00df",
    "ss",
    "\U0001f600",
    "\U0001f601",
    "1",
    "01",
    "a\t",
]


def test_texts_are_compared_byte_by_byte(store: Store) -> None:
    scene.add(store, make.load_balancer(tags=ALIKE))
    store.transact(
        lambda tx: rows.insert(
            tx, [make.pool(number, name=name) for number, name in enumerate(ALIKE, start=1)]
        )
    )
    for number, name in enumerate(ALIKE, start=1):
        found = scene.column(store, tables.pools.c.id, tables.pools.c.name == name)
        assert found == [make.identifier(Pool, number)], name
        assert scene.column(store, tables.tags.c.tag, tables.tags.c.tag == name) == [name]
    assert scene.column(store, tables.tags.c.tag) == sorted(ALIKE)


def test_one_living_object_in_one_place(store: Store) -> None:
    scene.add(store, make.listener(), make.pool(), make.member(address="2001:db8::1"), make.monitor())
    again = [
        make.listener(2, protocol="TCP", protocol_port=80),
        make.member(2, address="2001:DB8:0::0001"),
        make.monitor(2),
    ]
    for item in again:
        with pytest.raises(sa.exc.IntegrityError, match="live_key"):
            store.transact(lambda tx, item=item: rows.insert(tx, [item]))
    for gone in (make.listener(), make.member(), make.monitor()):
        store.transact(lambda tx, gone=gone: changes.delete_object(tx, gone, 2))
    for item in again:
        store.transact(lambda tx, item=item: rows.insert(tx, [item]))
    # Those that are being deleted are as many as there are.
    for gone in again:
        store.transact(lambda tx, gone=gone: changes.delete_object(tx, gone, 3))


def test_an_address_in_its_mapped_form_is_the_same_member(store: Store) -> None:
    scene.add(store, make.pool(), make.member(address="192.0.2.1"))
    with pytest.raises(sa.exc.IntegrityError):
        store.transact(lambda tx: rows.insert(tx, [make.member(2, address="::ffff:192.0.2.1")]))


def test_udp_and_tcp_share_a_port(store: Store) -> None:
    both = [
        make.listener(number, protocol=protocol, protocol_port=53)
        for number, protocol in ((1, "TCP"), (2, "UDP"))
    ]
    scene.add(store, *both)
    assert len(scene.tree(store).listeners) == 2


@pytest.mark.parametrize(
    "item",
    [make.listener(), make.pool(), make.member(), make.monitor(), scene.amphora()],
    ids=lambda item: item.table,
)
def test_nothing_is_without_what_it_belongs_to(store: Store, item: Any) -> None:
    def orphan(tx: sa.Connection) -> None:
        amphorae.add(tx, item) if isinstance(item, Amphora) else rows.insert(tx, [item])

    with pytest.raises(sa.exc.IntegrityError):
        store.transact(orphan)


def test_a_purged_load_balancer_takes_everything_along(store: Store) -> None:
    scene.add(store, make.load_balancer(tags=("t",)), *make.web().children())
    scene.add_amphora(store)
    store.transact(lambda tx: amphorae.watch(tx, scene.AMPHORA, 1.0))
    store.transact(lambda tx: trees.mark_deleted(tx, make.web(), rows.now()))
    assert scene.column(store, tables.tags.c.tag) == []
    balancers = tables.load_balancers
    store.transact(
        lambda tx: tx.execute(sa.delete(balancers).where(balancers.c.provisioning_status == "DELETED"))
    )
    with store.read() as tx:
        counts = {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
        }
    assert set(counts.values()) == {0}, counts


def test_moments_of_heartbeats_and_leases_keep_their_fractions(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store)
    moment = 1_797_777_777.123456
    store.transact(lambda tx: amphorae.watch(tx, scene.AMPHORA, moment))
    store.transact(lambda tx: tx.execute(sa.update(tables.leases).values(expires_at=moment)))
    assert scene.column(store, tables.amphora_health.c.seen) == [moment]
    assert scene.column(store, tables.leases.c.expires_at, tables.leases.c.expires_at == moment) == [moment]


def test_the_longest_texts_fit(store: Store) -> None:
    longest = "\U0001f600" * 255
    balancer = make.load_balancer(
        name=longest, description=longest, fault="\U0001f600" * 2048, tags=(longest,)
    )
    scene.add(store, balancer, make.listener(insert_headers={f"X-{n}": longest for n in range(300)}))
    assert scene.get(store, balancer) == msgspec.structs.replace(balancer, tags=())
    assert len(scene.tree(store).listeners[0].insert_headers) == 300
