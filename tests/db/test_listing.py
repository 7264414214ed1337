"""Lists and totals are the same on every engine: null first, whole seconds shown, the order total."""

import pytest

from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Resource
from hydria.store import Store, relations, tables, totals
from hydria.store.tables import RESOURCES
from hydria.testing import trees
from tests.unit.api_reading import (
    Api,
    api_name,
    in_order,
    insert_variety,
    joined,
    listed,
    query_text,
    url_of,
    walk,
)


def test_every_list_on_every_engine(store: Store) -> None:
    for resource in RESOURCES:
        items = insert_variety(store, resource)
        api = Api(store)
        _orders(api, resource, items)
        _filters(api, resource, items)
        with store.writer.begin() as tx:
            for table in reversed(tables.metadata.sorted_tables):
                tx.execute(table.delete())


def _orders(api: Api, resource: type[Resource], items: list[Resource]) -> None:
    for field in listed(resource):
        for descending in (False, True):
            # PostgreSQL orders text by the database's collation: that pages fit together is what counts.
            text = isinstance(getattr(items[0], field) or getattr(items[1], field), str)
            params = {"sort_key": api_name(resource, field), "sort_dir": "desc" if descending else "asc"}
            whole = joined(walk(api, url_of(resource), params, "next"))
            if not text:
                assert whole == in_order(items, (field, descending)), (resource, field, descending)
            params["limit"] = "5"
            assert joined(walk(api, url_of(resource), params, "next")) == whole
            back = walk(api, url_of(resource), params | {"page_reverse": "True"}, "previous")
            assert joined(reversed(back)) == whole, (resource, field, descending)


def _filters(api: Api, resource: type[Resource], items: list[Resource]) -> None:
    for field in listed(resource):
        for value in {getattr(item, field) for item in items} - {None}:
            text = query_text(value)
            expected = {item.id for item in items if query_text(getattr(item, field)) == text}
            answer = api.get(url_of(resource), params={api_name(resource, field): text})
            found = {item["id"] for item in answer[resource.plural]}
            assert found == expected, (resource, field, text)


def test_totals_are_whole_numbers(store: Store) -> None:
    api = Api(store)
    api.insert(trees.load_balancer(), trees.listener(1), trees.listener(2))
    with store.writer.begin() as tx:
        for number in (1, 2):
            counters = dict.fromkeys((*tables.COUNTERS, "active_connections"), 2**60)
            bases = {f"base_{name}": number for name in tables.COUNTERS}
            listener_id = trees.identifier(trees.Listener, number)
            tx.execute(
                tables.listener_statistics.insert().values(
                    listener_id=listener_id, amphora_id="a", epoch=1, **counters, **bases
                )
            )
    with store.read() as tx:
        assert totals.of_load_balancer(tx, trees.BALANCER) == {
            **dict.fromkeys(tables.COUNTERS, 2**61 + 3),
            "active_connections": 2**61,
        }
        assert set(totals.of_listener(tx, "none").values()) == {0}


@pytest.mark.parametrize("count", [1, 12_001])
def test_relations_of_any_number_of_objects(store: Store, count: int) -> None:
    Api(store).insert(trees.load_balancer(tags=("b", "a")), trees.pool(1), trees.pool(2), trees.listener())
    ids = [trees.identifier(LoadBalancer, number) for number in range(1, count + 1)]
    with store.read() as tx:
        found = relations.of(tx, LoadBalancer, ids)
    assert list(found) == ids
    assert found[trees.BALANCER] == relations.Relations(
        tags=("a", "b"), listeners=(trees.LISTENER,), pools=(trees.POOL, trees.identifier(trees.Pool, 2))
    )
    assert all(found[identifier] == relations.NONE for identifier in ids[1:])


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_what_comes_and_goes_between_pages_moves_nothing(store: Store, direction: str) -> None:
    """Who is there all the time is on one page exactly, whatever is made or deleted meanwhile."""
    api = Api(store)
    staying = [trees.load_balancer(number, name=f"n{number % 3}", tags=("t",)) for number in range(1, 20, 2)]
    leaving = [trees.load_balancer(number, name=f"n{number % 3}", tags=("t",)) for number in range(2, 20, 2)]
    api.insert(*staying, *leaving)
    url, seen = "/v2/lbaas/loadbalancers", []
    query = f"limit=3&sort_key=name,admin_state_up&sort_dir={direction},asc&tags=t&fields=id&fields=name"
    for turn in range(100, 200):
        answer = api.get(url, query_string=query)
        seen += [item["id"] for item in answer["loadbalancers"]]
        following = {link["rel"]: link["href"] for link in answer["loadbalancers_links"]}.get("next")
        if following is None:
            break
        query = following.partition("?")[2]
        api.insert(trees.load_balancer(turn, name=f"n{turn % 3}", tags=("t",)))
        if leaving:
            gone = leaving.pop(turn % len(leaving)).id
            with store.writer.begin() as tx:
                tx.execute(
                    tables.load_balancers.update()
                    .where(tables.load_balancers.c.id == gone)
                    .values(provisioning_status="DELETED")
                )
    assert len(seen) == len(set(seen))
    assert {item.id for item in staying} <= set(seen)
