"""The order of L7 policies in the database."""

import random

import pytest
import sqlalchemy as sa

from hydria.model.l7policy import L7Policy
from hydria.store import Store, changes, positions, rows, tables
from hydria.testing import trees


@pytest.fixture
def store(store: Store) -> Store:
    """With two listeners."""
    listener = trees.listener()
    store.transact(lambda tx: changes.add_load_balancer(tx, trees.load_balancer()))
    store.transact(lambda tx: rows.insert(tx, [listener, trees.listener(2)]))
    return store


def order(store: Store) -> list[tuple[str, int]]:
    columns = tables.l7policies.c
    query = sa.select(columns.name, columns.position).where(columns.listener_id == trees.LISTENER)
    with store.read() as tx:
        return [tuple(row) for row in tx.execute(query.order_by(columns.position))]


def test_whatever_is_inserted_moved_and_removed_there_are_no_gaps(store):
    model: list[str] = []
    policies: dict[str, L7Policy] = {}
    chance = random.Random(7)
    for number in range(1, 40):
        what = chance.choice(["insert", "insert", "move", "remove"]) if model else "insert"
        wanted = chance.randint(1, 12)
        if what == "insert":
            place = store.transact(lambda tx, wanted=wanted: positions.make_room(tx, trees.LISTENER, wanted))
            policy = trees.policy(number, position=place)
            store.transact(lambda tx, policy=policy: rows.insert(tx, [policy]))
            policies[policy.name] = policy
            model.insert(place - 1, policy.name)
            assert place == min(wanted, len(model))
        else:
            name = chance.choice(model)
            with store.read() as tx:
                policy = rows.load_one(tx, L7Policy, policies[name].id)
            model.remove(name)
            if what == "move":
                place = store.transact(lambda tx, p=policy, w=wanted: move(tx, p, w))
                model.insert(place - 1, name)
            else:
                store.transact(lambda tx, p=policy: remove(tx, p))
        assert order(store) == [(name, place) for place, name in enumerate(model, start=1)]


def move(tx, policy, wanted):
    place = positions.move(tx, policy, wanted)
    table = tables.l7policies
    tx.execute(sa.update(table).where(table.c.id == policy.id).values(position=place))
    return place


def remove(tx, policy):
    tx.execute(sa.delete(tables.l7policies).where(tables.l7policies.c.id == policy.id))
    positions.close_gap(tx, policy)


def test_renumbering_closes_gaps_and_parts_those_that_share_a_place(store):
    other = trees.identifier(type(trees.listener()), 2)
    made = [trees.policy(number, position=place) for number, place in enumerate([7, 3, 3, 9], start=1)]
    made.append(trees.policy(5, listener_id=other, position=4))
    store.transact(lambda tx: rows.insert(tx, made))
    store.transact(lambda tx: positions.renumber(tx, trees.LISTENER))
    assert order(store) == [("policy-2", 1), ("policy-3", 2), ("policy-1", 3), ("policy-4", 4)]
    with store.read() as tx:
        assert rows.load_one(tx, L7Policy, made[-1].id).position == 4
