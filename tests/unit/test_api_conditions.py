"""ETags, If-Match and If-None-Match: read, change, write, and lose nothing that others wrote meanwhile."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.api import conditions
from hydria.model.errors import Invalid
from hydria.model.l7rule import L7Rule
from hydria.model.resource import name_of
from hydria.store import tables
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import MAKERS, Api, url_of
from tests.unit.api_writing import GRAPH

RESOURCES = {name_of(resource): resource for resource in MAKERS}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(
        new_store(tmp_path),
        default_provider_driver="noop_driver",
        enabled_provider_drivers={"noop_driver": ""},
    )


def existing(api: Api, name: str) -> str:
    """The URL of an object of this kind."""
    resource = RESOURCES[name]
    if not api.get("/v2/lbaas/loadbalancers")["loadbalancers"]:
        parents = (
            trees.load_balancer(provider="noop_driver"),
            trees.pool(),
            trees.listener(),
            trees.member(1),
            trees.monitor(),
        )
        api.insert(*parents)
        api.insert(*(MAKERS[each](1) for each in RESOURCES.values() if each not in map(type, parents)))
    (found,) = api.get(url_of(resource))[resource.plural]
    return f"{url_of(resource)}/{found[resource.key]}"


def change(name: str) -> dict[str, Any]:
    resource = RESOURCES[name]
    fields = resource.__struct_fields__
    if resource is L7Rule:
        return {resource.root: {"value": "/new"}}
    known = {"name": "new"} if "name" in fields and resource.key != "name" else {"description": "new"}
    return {resource.root: known}


@pytest.mark.parametrize("name", RESOURCES)
def test_a_change_of_what_nobody_else_has_changed(api: Api, name: str) -> None:
    url = existing(api, name)
    read = api.ask("GET", url).headers["etag"]
    done = api.ask("PUT", url, json=change(name), headers={"If-Match": read})
    assert done.status_code == 200, done.text
    again = api.ask("PUT", url, json=change(name), headers={"If-Match": done.headers["etag"]})
    assert again.status_code == 200, "the answer to a change has the ETag for the next one"


@pytest.mark.parametrize("name", RESOURCES)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_change_of_what_somebody_else_has_changed(api: Api, name: str, method: str) -> None:
    url = existing(api, name)
    read = api.ask("GET", url).headers["etag"]
    assert api.ask("PUT", url, json=change(name)).status_code == 200
    before = api.ask("GET", url)
    body = change(name) if method == "PUT" else None
    query = "cascade=true" if (method, name) == ("DELETE", "loadbalancer") else ""
    refused = api.ask(method, url, json=body, query_string=query, headers={"If-Match": read})
    assert (refused.status_code, refused.json["faultcode"]) == (412, "Client")
    label, key = RESOURCES[name].label, url.rpartition("/")[2]
    assert refused.json["faultstring"].startswith(f"{label} {key} is not any more as If-Match has it.")
    assert api.ask("GET", url).text == before.text
    if "profile" not in name:  # which flavors and zones use
        done = api.ask(method, url, json=body, query_string=query, headers={"If-Match": "*"})
        assert done.status_code in (200, 204)


@pytest.mark.parametrize("name", RESOURCES)
def test_removing_what_was_read(api: Api, name: str) -> None:
    url = existing(api, name)
    if name in ("flavorprofile", "availability_zone_profile"):
        for offer in ("flavor", "availability_zone"):
            assert api.ask("DELETE", existing(api, offer)).status_code == 204
    query = "cascade=true" if name == "loadbalancer" else ""
    read = api.ask("GET", url).headers["etag"]
    assert api.ask("DELETE", url, query_string=query, headers={"If-Match": read}).status_code == 204


def test_statuses_change_the_tag_but_not_what_if_match_sees(api: Api) -> None:
    """Who waits for a status must see it; who changes the object need not care."""
    url = existing(api, "pool")
    read = api.ask("GET", url).headers["etag"]
    assert api.ask("GET", url, headers={"If-None-Match": read}).status_code == 304
    api.store.transact(lambda tx: tx.execute(sa.update(tables.pools).values(operating_status="DEGRADED")))
    seen = api.ask("GET", url, headers={"If-None-Match": read})
    assert (seen.status_code, seen.json["pool"]["operating_status"]) == (200, "DEGRADED")
    assert seen.headers["etag"] != read
    assert api.ask("PUT", url, json=change("pool"), headers={"If-Match": read}).status_code == 200


def test_every_attribute_that_requests_set_counts(api: Api) -> None:
    url = existing(api, "pool")
    for values in (
        {"tags": ["b", "a"]}, {"session_persistence": {"type": "SOURCE_IP"}}, {"admin_state_up": False},
        {"lb_algorithm": "SOURCE_IP"}, {"description": "d"}, {"session_persistence": None}, {"tags": []},
    ):  # fmt: skip
        read = api.ask("GET", url).headers["etag"]
        assert api.ask("PUT", url, json={"pool": values}).status_code == 200
        assert api.ask("PUT", url, json={"pool": {}}, headers={"If-Match": read}).status_code == 412, values


def test_the_same_state_has_the_same_tag_wherever_it_is_shown(api: Api) -> None:
    """Made, read and changed: what a client got last can always be sent."""
    body = {**GRAPH, "tags": ["z", "a"], "vip_address": "192.0.2.77", "name": "w"}
    network = api.services.network
    body["vip_subnet_id"] = network.add_network("192.0.2.0/24").subnet_ids[0]  # type: ignore[attr-defined]
    made = api.ask("POST", "/v2/lbaas/loadbalancers", json={"loadbalancer": body})
    assert made.status_code == 201, made.text
    url = f"/v2/lbaas/loadbalancers/{made.json['loadbalancer']['id']}"
    listener = {
        "loadbalancer_id": made.json["loadbalancer"]["id"], "protocol": "HTTP", "protocol_port": 81,
        "insert_headers": {"X-Forwarded-Proto": "true", "X-Forwarded-For": "true"}, "tags": ["z", "a"],
        "allowed_cidrs": ["10.1.2.3/8"],
    }  # fmt: skip
    opened = api.ask("POST", "/v2/lbaas/listeners", json={"listener": listener})
    assert opened.status_code == 201, opened.text
    opened_url = f"/v2/lbaas/listeners/{opened.json['listener']['id']}"
    for answer, where, root in ((made, url, "loadbalancer"), (opened, opened_url, "listener")):
        read = api.ask("GET", where)
        assert read.headers["etag"].partition("-")[0] == answer.headers["etag"].partition("-")[0]
        done = api.ask("PUT", where, json={root: {}}, headers={"If-Match": answer.headers["etag"]})
        assert done.status_code == 200, done.text


def test_a_choice_of_keys_has_a_tag_of_its_own_for_the_same_version(api: Api) -> None:
    url = existing(api, "member")
    whole, part = api.ask("GET", url), api.ask("GET", url, params={"fields": "id"})
    assert whole.headers["etag"] != part.headers["etag"]
    assert api.ask("GET", url, headers={"If-None-Match": part.headers["etag"]}).status_code == 200
    assert (
        api.ask("PUT", url, json=change("member"), headers={"If-Match": part.headers["etag"]}).status_code
        == 200
    )


def test_reading_again(api: Api) -> None:
    url = existing(api, "listener")
    read = api.ask("GET", url).headers["etag"]
    for known, status in ((f'"x", {read}', 304), (f"W/{read}", 304), ("*", 304), ('"x"', 200), ("x", 200)):
        again = api.ask("GET", url, headers={"If-None-Match": known})
        assert (again.status_code, bool(again.text)) == (status, status == 200), known
        assert again.headers["etag"] == read


@pytest.mark.parametrize(
    ("text", "tags"),
    [("*", {"*"}), (" * ", {"*"}), ('"a-b"', {"a-b"}), ('"a", "b","c,d" ,', {"a", "b", "c,d"}), ('W/"a", "b"', {"b"}),
     ('W/"a"', set()), ('"*"', {"*"})],
)  # fmt: skip
def test_what_if_match_says(text: str, tags: set[str]) -> None:
    assert conditions.parse(text) == tags


@pytest.mark.parametrize("text", ["", "a", '"a', '"a" "b"', "*, *", '"a", *', 'w/"a"', '"a b"', "\u20ac"])
def test_what_if_match_cannot_say(text: str) -> None:
    with pytest.raises(Invalid, match="The header If-Match is neither"):
        conditions.parse(text)


def test_a_header_that_says_nothing_is_not_taken_for_none(api: Api) -> None:
    url = existing(api, "pool")
    answer = api.ask("DELETE", url, headers={"If-Match": "unquoted"})
    assert answer.status_code == 400
    assert "If-Match" in answer.json["faultstring"]
    assert api.ask("PUT", url, json=change("pool"), headers={"If-Match": 'W/"weak"'}).status_code == 412


def test_lists_have_no_tag(api: Api) -> None:
    existing(api, "member")
    members = f"/v2/lbaas/pools/{trees.POOL}/members"
    answer = api.ask("PUT", members, json={"members": []}, headers={"If-Match": '"x"'})
    assert (answer.status_code, answer.json["faultstring"]) == (
        412, "A list of members has no ETag, so none equals that of If-Match. Leave the header out.",
    )  # fmt: skip
    assert len(api.get(members)["members"]) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_quotas_have_no_tag_either(api: Api, method: str) -> None:
    url = "/v2/lbaas/quotas/p"
    body = {"quota": {"pool": 1}}
    assert api.ask("PUT", url, json=body, headers={"If-Match": "*"}).status_code == 202
    before = api.get(url)
    given = {"quota": {"pool": 2}} if method == "PUT" else None
    answer = api.ask(method, url, json=given, headers={"If-Match": '"x"'})
    assert (answer.status_code, answer.json["faultcode"]) == (412, "Client")
    assert api.get(url) == before


def test_what_is_missing_or_locked_is_said_first(api: Api) -> None:
    existing(api, "pool")
    headers = {"If-Match": '"x"'}
    unknown = "/v2/lbaas/pools/11111111-2222-4333-8444-555555555555"
    assert api.ask("PUT", unknown, json={"pool": {}}, headers=headers).status_code == 404
    url = f"/v2/lbaas/pools/{trees.POOL}"
    assert api.ask("PUT", url, json={"pool": {"x": 1}}, headers=headers).status_code == 400
    api.store.transact(
        lambda tx: tx.execute(sa.update(tables.load_balancers).values(provisioning_status="PENDING_DELETE"))
    )
    assert api.ask("PUT", url, json={"pool": {}}, headers=headers).status_code == 409


def test_of_many_who_read_the_same_one_writes(api: Api) -> None:
    url = existing(api, "listener")
    read = api.ask("GET", url).headers["etag"]
    codes: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(10)
        body = {"listener": {"name": f"writer {number}"}}
        codes.append(api.ask("PUT", url, json=body, headers={"If-Match": read}).status_code)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert sorted(codes) == [200] + [412] * 7


def test_a_condition_costs_nothing_unless_it_is_there(api: Api) -> None:
    url = existing(api, "member")
    with api.statements() as seen:
        read = api.ask("GET", url).headers["etag"]
    assert len(seen) == 2
    counts = []
    for headers in ({}, {"If-Match": read}):
        seen = []
        note = partial(_note, seen)
        sa.event.listen(api.store.writer, "before_cursor_execute", note)
        assert api.ask("PUT", url, json={"member": {}}, headers=headers).status_code == 200
        sa.event.remove(api.store.writer, "before_cursor_execute", note)
        counts.append(len(seen))
    assert counts[1] == counts[0] + 1, "the tags"


def _note(seen: list[str], _connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
    seen.append(statement)
