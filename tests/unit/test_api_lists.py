"""Filters, order, pages, fields and tags of every list (contract 1.7)."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.resource import Resource
from hydria.store import rows
from hydria.store.tables import RESOURCES
from hydria.testing import trees
from tests.databases import new_store
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

EVERY = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.root)
UNCLEAR = "One or more arguments are either duplicate or invalid"
BALANCERS = "/v2/lbaas/loadbalancers"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def three(api: Api) -> list[str]:
    """Three load balancers with tags; their ids in the order of creation."""
    tags = [("red", "big"), ("red",), ()]
    api.insert(*(trees.load_balancer(number, tags=tags[number - 1]) for number in (1, 2, 3)))
    return [trees.identifier(LoadBalancer, number) for number in (1, 2, 3)]


def ids(answer: dict[str, Any]) -> list[str]:
    root = next(key for key in answer if not key.endswith("_links"))
    return [item["id"] for item in answer[root]]


def refusal(api: Api, url: str, **params: Any) -> str:
    fault = api.get(url, 400, params=params, params_csv=False)
    assert (fault["faultcode"], fault["debuginfo"]) == ("Client", None)
    return fault["faultstring"]


# --- every attribute of every resource


@EVERY
def test_every_listed_attribute_filters(api: Api, resource: type[Resource]) -> None:
    items = insert_variety(api.store, resource)
    for field in listed(resource):
        values = {getattr(item, field) for item in items} - {None}
        assert values, field
        for value in values:
            text = query_text(value)
            expected = {item.id for item in items if query_text(getattr(item, field)) == text}
            found = ids(api.get(url_of(resource), params={api_name(resource, field): text}))
            assert set(found) == expected, (field, text)


@EVERY
def test_every_order_pages_forth_and_back(api: Api, resource: type[Resource]) -> None:
    items = insert_variety(api.store, resource)
    url = url_of(resource)
    for field in listed(resource):
        for descending in (False, True):
            expected = in_order(items, (field, descending))
            name = api_name(resource, field)
            params = {"sort_key": name, "sort_dir": "desc" if descending else "asc", "limit": "5"}
            assert joined(walk(api, url, params, "next")) == expected, (
                field,
                descending,
            )
            pages = walk(api, url, params | {"page_reverse": "True"}, "previous")
            assert joined(reversed(pages)) == expected, (
                field,
                descending,
                "back",
            )


def text_of(resource: type[Resource]) -> str:
    """An attribute with free text; rules have no name."""
    return "value" if resource is L7Rule else "name"


@EVERY
def test_the_previous_page_is_the_preceding_one(api: Api, resource: type[Resource]) -> None:
    items = insert_variety(api.store, resource)
    name = text_of(resource)
    expected = in_order(items, (name, True))
    for start in range(len(expected)):
        params = {"sort": f"{name}:desc", "limit": "4", "marker": expected[start], "page_reverse": "true"}
        assert ids(api.get(url_of(resource), params=params)) == expected[max(0, start - 4) : start]


@EVERY
def test_several_sort_keys(api: Api, resource: type[Resource]) -> None:
    items = insert_variety(api.store, resource)
    name = text_of(resource)
    expected = in_order(items, ("provisioning_status", True), ("operating_status", False), (name, True))
    first = {"sort": f"provisioning_status:desc,operating_status,{name}:desc"}
    second = {
        "sort_key": f"provisioning_status,operating_status,{name}", "sort_dir": "desc,asc,desc",
    }  # fmt: skip
    for params in (first, second):
        assert ids(api.get(url_of(resource), params=params, params_csv=True)) == expected
        assert joined(walk(api, url_of(resource), params | {"limit": "3"}, "next")) == expected


@EVERY
def test_fields_reduce_lists_and_objects(api: Api, resource: type[Resource]) -> None:
    items = insert_variety(api.store, resource, 3)
    query = "fields=id&fields=tenant_id&fields=tags&fields=nonsense"
    for shown in api.get(url_of(resource), query_string=query)[resource.plural]:
        assert set(shown) == {"id", "tenant_id", "tags"}
    name = text_of(resource)
    for item in items:
        shown = api.get(f"{url_of(resource)}/{item.id}", query_string=f"fields=id,{name}")[resource.root]
        assert shown == {"id": item.id, name: getattr(item, name)}


@EVERY
def test_a_list_is_two_statements(api: Api, resource: type[Resource]) -> None:
    insert_variety(api.store, resource)
    with api.statements() as seen:
        api.get(url_of(resource))
    assert len(seen) == 2


@EVERY
def test_what_an_attribute_cannot_be_matches_nothing_or_is_refused(
    api: Api, resource: type[Resource]
) -> None:
    insert_variety(api.store, resource, 3)
    url = url_of(resource)
    assert ids(api.get(url, params={"provisioning_status": "active"})) == []
    assert ids(api.get(url, params={"id": "x'; drop table members; --"})) == []
    assert ids(api.get(url, params={text_of(resource): "a\x00b"})) == []
    key = api_name(resource, "admin_state_up")
    if "admin_state_up" in listed(resource):
        assert refusal(api, url, **{key: "maybe"}).startswith(
            f"Invalid input for field/attribute {key}. Value: 'maybe'."
        )
    assert "created_at" in refusal(api, url, created_at="yesterday")
    for name in ("nonsense", "generation", "children", "vip_sg_ids", "insert_headers", "sort_by", ""):
        assert refusal(api, url, **{name: "x"}) == UNCLEAR


# --- filters


def test_spellings_of_values(api: Api, three: list[str]) -> None:
    api.insert(trees.load_balancer(4, admin_state_up=False))
    assert len(ids(api.get(BALANCERS, params={"admin_state_up": "YES"}))) == 3
    assert ids(api.get(BALANCERS, params={"id": three[0].upper().replace("-", "")})) == three[:1]
    assert ids(api.get(BALANCERS, params={"tenant_id": trees.PROJECT, "name": "lb-2"})) == three[1:2]
    assert ids(api.get(BALANCERS, params={"project_id": "another"})) == []
    assert ids(api.get(BALANCERS, params={"vip_address": ""})) == []


def test_one_value_per_name(api: Api, three: list[str]) -> None:
    for query in ("name=a&name=a", "limit=1&limit=1", "marker=a&marker=b", "project_id=a&tenant_id=a"):
        assert api.get(BALANCERS, 400, query_string=query)["faultstring"] == UNCLEAR


def test_the_load_balancer_has_two_names_in_filters(api: Api, three: list[str]) -> None:
    """openstacksdk filters listeners by ``load_balancer_id``, other clients by the attribute's own name."""
    api.insert(trees.pool(1), trees.pool(2, load_balancer_id=three[1]))
    for name in ("loadbalancer_id", "load_balancer_id"):
        assert len(ids(api.get("/v2/lbaas/pools", params={name: three[1]}))) == 1
    both = {"loadbalancer_id": three[0], "load_balancer_id": three[0]}
    assert refusal(api, "/v2/lbaas/pools", **both) == UNCLEAR


# --- tags


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tags=red", [1, 2]),
        ("tags=red,big", [1]),
        ("tags=red&tags=big", [1]),
        ("tags-any=big,blue", [1]),
        ("tags-any=red&tags-any=blue", [1, 2]),
        ("not-tags=red", [3]),
        ("not-tags=red,big", [2, 3]),
        ("not-tags-any=red,big", [3]),
        ("not-tags-any=big,blue", [2, 3]),
        ("tags=red&not-tags=big", [2]),
        ("tags=red&tags-any=red,blue&not-tags=big,red&not-tags-any=blue", [2]),
        ("tags=Red", []),
        ("tags=", [1, 2, 3]),
        ("tags=red&name=lb-1", [1]),
    ],
)
def test_tags(api: Api, three: list[str], query: str, expected: list[int]) -> None:
    assert ids(api.get(BALANCERS, query_string=query)) == [three[number - 1] for number in expected]


@EVERY
def test_every_resource_has_tags(api: Api, resource: type[Resource]) -> None:
    item = insert_variety(api.store, resource, 3)[0]
    with api.store.writer.begin() as tx:
        tx.execute(rows.tags.insert(), {"resource_id": item.id, "tag": "blue"})
    (shown,) = api.get(url_of(resource), params={"tags": "blue"})[resource.plural]
    assert (shown["id"], shown["tags"]) == (item.id, ["blue"])


# --- order


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sort": "nonsense"}, "Supplied sort key 'nonsense' is not valid."),
        ({"sort_key": "tags"}, "Supplied sort key 'tags' is not valid."),
        ({"sort": "name:up"}, "Supplied sort direction 'up' is not valid; use asc or desc."),
        (
            {"sort_key": "name", "sort_dir": "DESC"},
            "Supplied sort direction 'DESC' is not valid; use asc or desc.",
        ),
        ({"limit": "ten"}, "Supplied pagination limit 'ten' is not valid; use a whole number."),
        ({"marker": "me"}, "Supplied pagination marker 'me' is not valid."),
        ({"marker": trees.POOL}, f"Supplied pagination marker '{trees.POOL}' is not valid."),
    ],
)
def test_wrong_order_and_place(api: Api, three: list[str], params: dict[str, str], message: str) -> None:
    assert refusal(api, BALANCERS, **params) == message


def test_directions_that_are_missing_are_ascending(api: Api, three: list[str]) -> None:
    for query in ("sort_key=name", "sort_key=name&sort_key=id&sort_dir=asc", "sort=name", "sort_dir=desc"):
        assert ids(api.get(BALANCERS, query_string=query)) == three
    assert ids(api.get(BALANCERS, query_string="sort=tenant_id,name:desc,name:asc")) == three[::-1]


# --- pages


def links(answer: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {
        link["rel"]: dict(parse_qsl(link["href"].partition("?")[2], keep_blank_values=True))
        for link in answer["loadbalancers_links"]
    }


def test_links_repeat_the_request(api: Api, three: list[str]) -> None:
    query = "limit=1&tags=red&sort_key=name&sort_dir=desc&fields=id&admin_state_up=true&name=lb-2&fields=name"
    answer = api.get("/load-balancer/v2.0/lbaas/loadbalancers", query_string=query)
    (link,) = answer["loadbalancers_links"]
    assert link["href"].startswith("http://localhost/load-balancer/v2.0/lbaas/loadbalancers?limit=1&")
    told = parse_qsl(link["href"].partition("?")[2])
    assert sorted(told) == sorted([*parse_qsl(query), ("marker", three[1])])
    assert api.get(BALANCERS, query_string=link["href"].partition("?")[2])["loadbalancers"] == []


def test_links_at_the_ends(api: Api, three: list[str]) -> None:
    one, two, last = three
    first = links(api.get(BALANCERS, params={"limit": "2"}))
    assert first == {"next": {"limit": "2", "marker": two}}
    second = links(api.get(BALANCERS, params=first["next"]))
    assert second == {"previous": {"limit": "2", "marker": last, "page_reverse": "True"}}
    back = api.get(BALANCERS, params=second["previous"])
    assert ids(back) == [one, two]
    assert links(back)["next"] == {"limit": "2", "marker": two}
    beyond = links(api.get(BALANCERS, params={"limit": "3", "marker": last}))
    assert beyond == {"previous": {"limit": "3", "page_reverse": "True"}}
    assert ids(api.get(BALANCERS, params=beyond["previous"])) == three
    before = links(api.get(BALANCERS, params={"limit": "1", "marker": one, "page_reverse": "True"}))
    assert before == {"next": {"limit": "1"}}


def test_lengths_of_pages(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    api = Api(store, pagination_max_limit="2")
    api.insert(*(trees.load_balancer(number) for number in range(1, 6)))
    for limit in ("2", "100", "2147483648000000000000"):
        assert len(ids(api.get(BALANCERS, params={"limit": limit}))) == 2
    assert len(ids(api.get(BALANCERS))) == 2
    for limit in ("0", "-1", "infinite"):
        answer = api.get(BALANCERS, params={"limit": limit})
        assert (len(ids(answer)), list(links(answer))) == (2, ["next"])
        whole = Api(store, pagination_max_limit="infinite").get(BALANCERS, params={"limit": limit})
        assert (len(ids(whole)), whole["loadbalancers_links"]) == (5, [])
    for longest in ("infinite", "-1"):
        assert len(ids(Api(store, pagination_max_limit=longest).get(BALANCERS))) == 5


def test_a_deleted_load_balancer_still_marks_its_place(api: Api, three: list[str]) -> None:
    api.insert(trees.load_balancer(4, provisioning_status="DELETED", created_at=trees.EPOCH))
    marker = trees.identifier(LoadBalancer, 4)
    assert ids(api.get(BALANCERS, params={"marker": marker})) == three
    assert ids(api.get(BALANCERS)) == three


def test_a_marker_of_another_pool_is_unknown(api: Api) -> None:
    api.insert(trees.load_balancer(), trees.pool(1), trees.pool(2))
    api.insert(trees.member(1), trees.member(2, pool_id=trees.identifier(trees.Pool, 2)))
    marker = trees.identifier(Member, 2)
    assert "marker" in refusal(api, url_of(Member), marker=marker)


def test_configured_base_of_links(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), api_base_uri="https://lb.example:9876/")
    api.insert(trees.load_balancer())
    (link,) = api.get(BALANCERS, params={"limit": "1"})["loadbalancers_links"]
    assert link["href"].startswith("https://lb.example:9876/v2/lbaas/loadbalancers?limit=1&marker=")


# --- the four switches


def test_switched_off(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    api = Api(store)
    api.insert(trees.load_balancer(1, tags=("a",)), trees.load_balancer(2))
    api = Api(store, allow_pagination=False)
    assert set(api.get(BALANCERS, params={"limit": "1", "marker": "x"})) == {"loadbalancers"}
    assert len(ids(api.get(BALANCERS, params={"limit": "1", "page_reverse": "x"}))) == 2
    api = Api(store, allow_sorting=False)
    assert ids(api.get(BALANCERS, params={"sort": "nonsense"})) == [
        trees.identifier(LoadBalancer, number) for number in (1, 2)
    ]
    api = Api(store, allow_filtering=False)
    assert len(ids(api.get(BALANCERS, params={"name": "x", "tags": "b", "nonsense": "x"}))) == 2
    api = Api(store, allow_field_selection=False)
    assert len(api.get(BALANCERS, params={"fields": "id"})["loadbalancers"][0]) > 20


def test_lists_show_what_belongs_to_each(api: Api) -> None:
    api.insert(trees.load_balancer(1), trees.load_balancer(2))
    other = trees.identifier(LoadBalancer, 2)
    api.insert(trees.pool(1), trees.pool(2, load_balancer_id=other))
    api.insert(
        trees.listener(1, default_pool_id=trees.POOL), trees.listener(2), trees.member(1), trees.monitor()
    )
    one, two = api.get(BALANCERS)["loadbalancers"]
    assert one["listeners"] == [{"id": trees.identifier(Listener, number)} for number in (1, 2)]
    assert (one["pools"], two["listeners"]) == ([{"id": trees.POOL}], [])
    one, two = api.get("/v2/lbaas/pools")["pools"]
    assert (one["members"], one["healthmonitor_id"]) == ([{"id": trees.MEMBER}], trees.MONITOR)
    assert (one["listeners"], two["loadbalancers"]) == ([{"id": trees.LISTENER}], [{"id": other}])
    assert "healthmonitor_id" not in two


def test_tags_in_a_filter_are_bounded(api: Api) -> None:
    """A query for each: thousands of them would keep the database, and a thread, busy for long."""
    for name in ("tags", "tags-any", "not-tags", "not-tags-any"):
        assert api.get("/v2/lbaas/pools", params={name: ",".join(map(str, range(100)))})["pools"] == []
        fault = api.get("/v2/lbaas/pools", 400, params={name: ",".join(map(str, range(101)))})
        assert fault["faultstring"] == "A list can be filtered by at most 100 tags."
