"""The document at /openapi.json: valid, about everything that is routed, and true."""

import re
from pathlib import Path
from typing import Any

import falcon.inspect
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from hydria.api import roots
from hydria.api.openapi import operations
from hydria.api.openapi.document import canonical, document
from hydria.api.openapi.schemas import NESTED, Components
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Declared, Use, attributes, by_wire_name
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import MAKERS, Api, insert_variety, url_of

JSON = {"Content-Type": "application/json"}
RESOURCES = tuple(MAKERS)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path), healthcheck_enabled=True)


def valid(document: dict[str, Any], name: str, body: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema).validate(body)


def test_the_document_is_valid(api: Api) -> None:
    answer = api.ask("GET", "/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    validate(answer.json)
    assert answer.json["openapi"] == "3.1.0"


def test_anybody_may_read_it(api: Api) -> None:
    for url in ("/openapi.json", "/load-balancer/openapi.json"):
        assert api.ask("GET", url, extras={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_it_is_not_sent_twice(api: Api) -> None:
    first = api.ask("GET", "/openapi.json")
    again = api.ask("GET", "/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.text, again.headers["etag"]) == (304, "", first.headers["etag"])
    other = api.ask("GET", "/openapi.json", headers={"If-None-Match": '"x"'})
    assert other.text == first.text


def test_all_that_is_routed_is_in_it_and_the_other_way_round(api: Api) -> None:
    """Also for those who add endpoints: what is missing is to be described in openapi/operations.py."""
    routed = {
        route.path: {method.method for method in route.methods if not method.internal}
        for route in falcon.inspect.inspect_routes(api.client.app)
    }
    paths = {
        path.replace("/openapi.json", "/openapi"): {
            method.upper() for method in item if method != "parameters"
        }
        for path, item in api.get("/openapi.json")["paths"].items()
    }
    expected = {}
    for path, methods in paths.items():
        if roots.of(path):
            expected[path] = methods
            continue
        versions = [path.replace("/v2", "/v2.0", 1), path] if path.startswith("/v2") else [path]
        suites = [each.replace("/lbaas/", "/", 1) for each in versions]
        for each in (*versions, *suites):
            expected[each] = expected[f"/load-balancer{each}".rstrip("/")] = methods
    assert routed == expected


def test_an_endpoint_that_nobody_has_described(api: Api) -> None:
    class New:
        def on_get(self) -> None: ...

    with pytest.raises(KeyError, match=r"get of New: say in hydria.api.openapi.operations.DESCRIBED"):
        document([("/v2/lbaas/new", New())], api.settings.api_settings)


def test_every_operation_has_a_name_of_its_own(api: Api) -> None:
    found = [
        operation["operationId"]
        for item in api.get("/openapi.json")["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(found) == len(set(found)) > 30


@pytest.mark.parametrize("resource", RESOURCES)
def test_objects_are_shown_as_it_says(api: Api, resource: type[Declared]) -> None:
    insert_variety(api.store, resource)
    described = api.get("/openapi.json")
    listed = api.get(url_of(resource))
    for item in listed[resource.plural]:
        valid(described, resource.__name__, item)
        key = item[resource.key]
        valid(described, resource.__name__, api.get(f"{url_of(resource)}/{key}")[resource.root])
        reduced = api.get(f"{url_of(resource)}/{key}?fields={resource.key}")[resource.root]
        valid(described, f"{resource.__name__}Fields", reduced)
    with pytest.raises(Exception, match=r"is a required property|unevaluated|not valid"):
        valid(described, resource.__name__, reduced)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("creating", [True, False])
def test_requests_take_the_keys_that_it_says(api: Api, resource: type[Declared], creating: bool) -> None:
    api.insert(trees.load_balancer(), trees.pool(), trees.listener(), trees.member(1), trees.monitor())
    api.insert(trees.policy(), trees.rule(), trees.limit_policy(), trees.limit_rule())
    made = Components()
    schema = made.create(resource) if creating else made.update(resource)
    keys = made.schemas[str(schema["$ref"]).rpartition("/")[2]]["properties"]
    url = url_of(resource)
    if not creating:
        (found,) = api.get(url)[resource.plural]
        url = f"{url}/{found[resource.key]}"
    for key in {*by_wire_name(resource), *NESTED, "nonsense"}:
        # Something that no kind takes tells whether the key is known.
        answer = api.ask("POST" if creating else "PUT", url, json={resource.root: {key: {"x": [1]}}})
        assert answer.status_code == 400
        if creating and key in resource.children and resource is not LoadBalancer:
            continue  # alone, objects take those only empty
        assert _refused(answer.json, key) == (key not in keys), (key, answer.text)


def test_nested_objects_take_the_keys_that_it_says(api: Api) -> None:
    made = Components()
    made.create(LoadBalancer)
    for name, (resource, many) in NESTED.items():
        keys = made.schemas[f"{resource.__name__}Nested"]["properties"]
        for key in {*by_wire_name(resource), *NESTED, "nonsense"}:
            given: dict[str, Any] = {**_required(resource), key: [7]}
            answer = api.ask(
                "POST", url_of(LoadBalancer), json={"loadbalancer": _in_place(name, given, many)}
            )
            assert answer.status_code in (400, 404), answer.text
            assert _refused(answer.json, key) == (key not in keys), (name, key, answer.text)


def test_parameters_follow_the_options(tmp_path: Path) -> None:
    off = {f"allow_{feature}": False for feature in ("filtering", "sorting", "pagination", "field_selection")}
    described = Api(new_store(tmp_path), **off).get("/openapi.json")
    listing = described["paths"]["/v2/lbaas/pools"]["get"]
    assert "parameters" not in listing
    schema = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(schema["properties"]) == ["pools"]
    assert "/healthcheck" not in described["paths"]


def test_filters_are_those_that_lists_know(api: Api) -> None:
    for resource in RESOURCES:
        path = re.sub(r"/[0-9a-f-]{36}", "/{identifier}", url_of(resource))
        listing = api.get("/openapi.json")["paths"][path]["get"]
        names = {each["name"] for each in listing["parameters"]}
        for name, (_, attribute) in by_wire_name(resource).items():
            assert (name in names) == (attribute.listed or name == "tags")


def test_every_path_has_one_name_in_it(api: Api) -> None:
    names = [path for path, _ in canonical(api.client.app.routed)]
    assert len(names) == len(set(names))
    assert operations.DESCRIBED


def _refused(fault: dict[str, Any], key: str) -> bool:
    """Whether the fault says that the key is unknown, rather than one below it."""
    return re.fullmatch(rf"Unknown attribute for argument \w+\.\w+: {key}", fault["faultstring"]) is not None


def _required(resource: type[Declared]) -> dict[str, Any]:
    """Values that are enough for what is looked at before the keys of nested objects."""
    given = {"name": "p"} if resource.root == "pool" else {}
    for field, attribute in attributes(resource).items():
        if attribute.create is Use.REQUIRED and field in ("protocol", "lb_algorithm"):
            given[field] = "TCP" if field == "protocol" else "ROUND_ROBIN"
    return given


def _in_place(name: str, given: dict[str, Any], many: bool) -> dict[str, Any]:
    """A load balancer's body with this object where it belongs."""
    value = [given] if many else given
    pool = {"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    listener = {"protocol": "TCP", "protocol_port": 1}
    match name:
        case "default_pool":
            return {"listeners": [listener | {name: value}]}
        case "members" | "healthmonitor":
            return {"pools": [pool | {name: value}]}
        case "l7policies" | "rate_limit_policies":
            return {"listeners": [listener | {name: value}]}
        case "rules" | "redirect_pool":
            return {"listeners": [listener | {"l7policies": [{"action": "REJECT", name: value}]}]}
    return {name: value}
