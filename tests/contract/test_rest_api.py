"""The running API against its own document: schemathesis asks, well and badly, and checks every answer.

What it makes up would mostly not exist, so ids in paths and bodies are replaced by those of objects that do;
they are made anew when too many have been deleted.
"""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from falcon.testing import TestClient
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from hydria.api import program
from hydria.api.app import make_app
from hydria.messages import LocalWakeups
from hydria.settings import ApiSettings, Settings
from hydria.store import Store
from hydria.testing.network import FakeNetwork
from tests.unit.api_reading import new_store
from tests.unit.api_writing import GRAPH, embedded_network

EXAMPLES = 25
SPARE = {"name": "spare", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
WEB: dict[str, Any] = {**GRAPH, "pools": [*GRAPH["pools"], SPARE]}  # type: ignore[misc]
SETTINGS = Settings(
    api_settings=ApiSettings(
        healthcheck_enabled=True,
        enabled_provider_drivers={"noop_driver": "", "amphora": ""},
        default_provider_driver="noop_driver",
    )
)
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Key in a body, or part of a path before an id -> the list where there are such ids.
LISTS = {
    "loadbalancer_id": "loadbalancers", "listener_id": "listeners", "pool_id": "pools",
    "default_pool_id": "pools", "redirect_pool_id": "pools", "vip_subnet_id": "subnets", "subnet_id": "subnets",
    "vip_network_id": "networks", "flavor_profile_id": "flavorprofiles",
    "availability_zone_profile_id": "availabilityzoneprofiles",
}  # fmt: skip


def application(store: Store, network: FakeNetwork) -> Any:
    return make_app(program.services(SETTINGS, store, network, LocalWakeups()))


def operations() -> Iterator[tuple[str, GenerationMode]]:
    """Method and path of each operation, to be asked well, and badly if it has anything that can be bad.

    Read from an application that is asked nothing else.
    """
    client = TestClient(application(Store("sqlite:////nowhere"), embedded_network()))
    for path, item in client.simulate_get("/openapi.json").json["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            yield f"{method.upper()} {path}", GenerationMode.POSITIVE
            parameters = operation.get("parameters", []) + item.get("parameters", [])
            if "requestBody" in operation or any(each["in"] != "header" for each in parameters):
                yield f"{method.upper()} {path}", GenerationMode.NEGATIVE


class World:
    """The application, and what there is in it."""

    def __init__(self, store: Store) -> None:
        self.app = application(store, embedded_network())
        self.client = TestClient(self.app, headers={"Host": "localhost"})
        self.schema = schemathesis.openapi.from_wsgi("/openapi.json", self.app)
        self.document: Any = self.schema.raw_schema

    def ids(self, path: str) -> list[str]:
        answer = self.client.simulate_get(path)
        if answer.status_code != 200:
            return []
        listed = next(iter(answer.json.values()))
        return [item.get("id", item.get("name", item.get("project_id"))) for item in listed]

    def fill(self) -> None:
        """See to it that there is a load balancer with everything."""
        pools = [f"/v2/lbaas/pools/{each}/members" for each in self.ids("/v2/lbaas/pools")]
        if not all(map(self.ids, ("/v2/lbaas/healthmonitors", "/v2/lbaas/listeners", *pools[:1]))):
            answer = self.client.simulate_post("/v2/lbaas/loadbalancers", json={"loadbalancer": WEB})
            assert answer.status_code == 201, answer.text

    def aim(self, case: Case) -> None:
        """Have a request meant for what exists, three times of four."""
        at = ""
        for part, name in re.findall(r"/([^/{}]+)|/\{(\w+)\}", case.path):
            if name:
                self._replace(case.path_parameters, name, at)
                at += f"/{case.path_parameters[name]}"
            else:
                at += f"/{part}"
        self._aim_body(case.body)
        if case.path == "/v2/lbaas/pools" and case.method == "POST" and isinstance(case.body, dict):
            # One of two keys is needed, which no schema says that others can read.
            pool = case.body.get("pool")
            if isinstance(pool, dict) and pool.get("listener_id") is None:
                pool["loadbalancer_id"] = self.ids("/v2/lbaas/loadbalancers")[0]

    def _aim_body(self, body: Any) -> None:
        if isinstance(body, list):
            for item in body:
                self._aim_body(item)
        elif isinstance(body, dict):
            for key, value in body.items():
                if key in LISTS and isinstance(value, str):
                    self._replace(body, key, f"/v2/lbaas/{LISTS[key]}")
                else:
                    self._aim_body(value)

    def _replace(self, values: dict[str, Any], key: str, path: str) -> None:
        try:
            dice = uuid.UUID(values[key]).int
        except (ValueError, TypeError, AttributeError):
            return
        known = self.ids(path)
        if known and dice % 4:
            values[key] = known[dice // 4 % len(known)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("api")
    store = new_store(directory)
    yield World(store)
    store.close()


@pytest.mark.parametrize(("label", "mode"), list(operations()))
def test_answers_are_as_the_document_says(world: World, label: str, mode: GenerationMode) -> None:
    method, path = label.split()
    operation = world.schema[path][method]
    codes: set[int] = set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(mode))
    def ask(case: Case) -> None:
        world.fill()
        world.aim(case)
        answer = case.call()
        codes.add(answer.status_code)
        # What a document may announce is one thing; that it happens is a defect, but for what providers lack.
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, checks=CHECKS)
        exactly(world.document, case, answer)

    ask()
    assert mode is GenerationMode.NEGATIVE or min(codes) < 300, f"nothing was reached: {codes}"


def exactly(document: Any, case: Case, answer: Any) -> None:
    """Objects have all their keys, unless the request chose some."""
    if answer.status_code >= 300 or not answer.content or "fields" in (case.query or {}):
        return
    responses = document["paths"][case.path][case.method.lower()]["responses"]
    for media_type, content in responses[str(answer.status_code)].get("content", {}).items():
        if media_type == "application/json" == answer.headers["content-type"][0]:
            strict = _without_choice(content["schema"]) | {"components": document["components"]}
            Draft202012Validator(strict).validate(answer.json())


def _without_choice(schema: Any) -> Any:
    """The schema without what ``fields`` leaves of objects."""
    if isinstance(schema, dict):
        choices = schema.get("anyOf", [])
        if len(choices) == 2 and choices[1].get("$ref", "").endswith("Fields"):
            return choices[0]
        return {key: _without_choice(value) for key, value in schema.items()}
    return schema
