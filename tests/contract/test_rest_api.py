"""The running API against its own document: schemathesis asks, well and badly, and checks every answer.

What it makes up would mostly not exist, so ids in paths and bodies are replaced by those of objects that do;
they are made anew when too many have been deleted.
"""

import dataclasses
import re
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from falcon.testing import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from hydria.api import program
from hydria.api.app import make_app
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.model.secrets import SecretKind
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.settings import ApiSettings, DefaultSettings, Settings
from hydria.store import Store, amphorae, rows, tables
from hydria.testing import trees
from hydria.testing.network import FakeNetwork
from tests import certificates
from tests.databases import new_store
from tests.unit.api_writing import GRAPH, embedded_network

EXAMPLES = {GenerationMode.POSITIVE: 15, GenerationMode.NEGATIVE: 8}
SPARE = {"name": "spare", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
POLICIES = {
    "l7policies": [{"action": "REJECT", "rules": [RULE]}],
    "rate_limit_policies": [{"action": "DENY", "rules": [{"metric": "REQUESTS", "threshold": 5}]}],
}
WEB: dict[str, Any] = {
    "listeners": [{**GRAPH["listeners"][0], **POLICIES}],  # type: ignore[dict-item]
    "pools": [*GRAPH["pools"], SPARE],  # type: ignore[misc]
}
NESTED = (("pools", "members"), ("l7policies", "rules"), ("ratelimitpolicies", "rules"))
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
# Texts of which a provider takes few.
TEXTS = {
    "provider_name": "noop_driver",
    "provider": "noop_driver",
    "flavor_data": "{}",
    "availability_zone_data": "{}",
}
OFFERED = {
    "flavorprofiles": ("flavorprofile", {"name": "f", "provider_name": "noop_driver", "flavor_data": "{}"}),
    "flavors": ("flavor", {"name": "f", "flavor_profile_id": None}),
    "availabilityzoneprofiles": (
        "availability_zone_profile",
        {"name": "a", "provider_name": "noop_driver", "availability_zone_data": "{}"},
    ),
    "availabilityzones": ("availability_zone", {"name": "a", "availability_zone_profile_id": None}),
}


def application(store: Store, network: FakeNetwork, settings: Settings = SETTINGS) -> Any:
    return make_app(program.services(settings, store, network, LocalWakeups()))


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

    def __init__(self, store: Store, directory: Path) -> None:
        settings = dataclasses.replace(SETTINGS, DEFAULT=DefaultSettings(state_dir=str(directory)))
        kept = certificates.make("www.example.org")
        for project in ("default", "p1"):
            secret = Secret(project, "web", SecretKind.CERTIFICATE, kept.pem, kept.key_pem)
            LocalCertificateManager(settings).add(secret)
        self.store = store
        self.network = embedded_network()
        self.app = application(store, self.network, settings)
        self.client = TestClient(self.app, headers={"Host": "localhost"})
        self.schema = schemathesis.openapi.from_wsgi("/openapi.json", self.app)
        self.document: Any = self.schema.raw_schema
        self.known: dict[str, list[str]] = {}

    def call(self, case: Case) -> Any:
        """Ask, and forget what was known if that may have changed it."""
        answer = case.call()
        if case.method != "GET":
            self.known.clear()
        return answer

    def ids(self, path: str) -> list[str]:
        """What names the objects of a list."""
        if path not in self.known:
            answer = self.client.simulate_get(path)
            listed = next(iter(answer.json.values())) if answer.status_code == 200 else []
            self.known[path] = [each.get("id", each.get("name", each.get("project_id"))) for each in listed]
        return self.known[path]

    def fill(self) -> None:
        """See to it that there is something of everything."""
        needed = all(map(self.ids, ("/v2/lbaas/healthmonitors", "/v2/lbaas/listeners")))
        # Of some pool and policy, not of the first: else it may grow with every request.
        if not (needed and all(any(map(self.ids, self._below(*pair))) for pair in NESTED)):
            self._make("loadbalancers", {"loadbalancer": WEB})
        for plural, (root, body) in OFFERED.items():
            if not self.ids(f"/v2/lbaas/{plural}"):
                given = {
                    key: self.ids(f"/v2/lbaas/{LISTS[key]}")[0] if key in LISTS else value
                    for key, value in body.items()
                }
                self._make(plural, {root: given})

        if not self.ids("/network/v2.0/ports"):
            self._add_port()

    def _add_port(self) -> None:
        """Add a load balancer whose VIP has a port; the provider of the others makes none."""
        network_id = next(iter(self.network.networks())).id
        port = self.network.create_port(network_id, name=str(uuid.uuid4()), owner="lb-x")
        number = 1_000_000 + uuid.UUID(port.id).int % 1_000_000
        balancer = trees.load_balancer(number, provider="noop_driver", vip_port_id=port.id)
        self.store.transact(lambda tx: rows.insert(tx, [balancer]))
        self.known.clear()

    def _below(self, plural: str, children: str) -> list[str]:
        """Where the children of each are listed."""
        return [f"/v2/lbaas/{plural}/{each}/{children}" for each in self.ids(f"/v2/lbaas/{plural}")]

    def add_amphorae(self, number: int) -> None:
        """Add a load balancer that has amphorae, as no worker runs here that would."""
        balancer = trees.load_balancer(number, provider="amphora", generation=1, applied_generation=1)
        listener = trees.listener(number, load_balancer_id=balancer.id, default_pool_id=None)
        counted = dict.fromkeys(tables.COUNTERS, 7)

        def work(tx: sa.Connection) -> None:
            rows.insert(tx, [balancer])
            rows.insert(tx, [listener])
            for role, status in ((AmphoraRole.MASTER, "ERROR"), (AmphoraRole.BACKUP, "ALLOCATED")):
                made = Amphora(
                    id=str(uuid.uuid4()), load_balancer_id=balancer.id, status=AmphoraStatus(status), role=role,
                    applied_generation=1, created_at=rows.now(),
                )  # fmt: skip
                amphorae.add(tx, made)
                values = {
                    "listener_id": listener.id,
                    "amphora_id": made.id,
                    "epoch": 1,
                    "active_connections": 1,
                }
                tx.execute(tables.listener_statistics.insert().values(**values, **counted))

        self.store.transact(work)
        self.known.clear()

    def _make(self, plural: str, body: Any) -> None:
        answer = self.client.simulate_post(f"/v2/lbaas/{plural}", json=body)
        assert answer.status_code == 201, answer.text
        self.known.clear()

    def aim(self, case: Case, mode: GenerationMode) -> None:
        """Have a request meant for what exists, three times of four."""
        at = ""
        for part, name in re.findall(r"/([^/{}]+)|/\{(\w+)\}", case.path):
            if name:
                # A child is looked for where there are some.
                below = re.match(r"/\w+(?=/\{child\})", case.path.partition(f"{{{name}}}")[2])
                self._replace(case.path_parameters, name, at, mode, below[0] if below else "")
                at += f"/{case.path_parameters[name]}"
            else:
                at += f"/{part}"
        self._aim_body(case.body, mode)
        if "If-Match" in case.headers and zlib.crc32(case.headers["If-Match"].encode()) % 4:
            case.headers["If-Match"] = "*"
        if case.path == "/v2/lbaas/pools" and case.method == "POST" and isinstance(case.body, dict):
            # One of two keys is needed, which no schema says that others can read.
            pool = case.body.get("pool")
            if isinstance(pool, dict) and pool.get("listener_id") is None:
                pool["loadbalancer_id"] = self.ids("/v2/lbaas/loadbalancers")[0]

        if case.path == "/v2/lbaas/loadbalancers/{identifier}" and case.method == "DELETE":
            # All that there are have something below them.
            case.query = {"cascade": "true", **(case.query or {})}
        if case.path == "/v2/lbaas/l7policies" and case.method == "POST" and mode is GenerationMode.POSITIVE:
            _give_what_its_action_needs(case.body["l7policy"])

    def _aim_body(self, body: Any, mode: GenerationMode) -> None:
        if isinstance(body, list):
            for item in body:
                self._aim_body(item, mode)
        elif isinstance(body, dict):
            for key, value in body.items():
                if key in LISTS and isinstance(value, str):
                    self._replace(body, key, f"/v2/lbaas/{LISTS[key]}", mode)
                elif key in TEXTS and isinstance(value, str) and mode is GenerationMode.POSITIVE:
                    body[key] = TEXTS[key]
                else:
                    self._aim_body(value, mode)

    def _replace(
        self, values: dict[str, Any], key: str, path: str, mode: GenerationMode, below: str = ""
    ) -> None:
        try:
            dice = uuid.UUID(values[key]).int
        except (ValueError, TypeError, AttributeError):
            if mode is GenerationMode.NEGATIVE:
                return
            dice = zlib.crc32(str(values[key]).encode("utf-8", "replace"))
        known = [each for each in self.ids(path) if not below or self.ids(f"{path}/{each}{below}")]
        if known and dice % 4:
            values[key] = known[dice // 4 % len(known)]


def _give_what_its_action_needs(policy: dict[str, Any]) -> None:
    """No schema says that others can read which keys go with which action."""
    examples: dict[str, Any] = {
        "redirect_url": "http://a.example/",
        "redirect_prefix": "http://a.example",
        "fixed_response": {"status": 404, "body": "x"},
        "header_changes": [{"direction": "REQUEST", "operation": "REMOVE", "name": "X-A"}],
    }
    needed = {
        "REDIRECT_TO_URL": "redirect_url",
        "REDIRECT_PREFIX": "redirect_prefix",
        "FIXED_RESPONSE": "fixed_response",
        "MODIFY": "header_changes",
    }
    action = policy["action"]
    if action != "REDIRECT_TO_POOL":
        policy.pop("redirect_pool_id", None)
    if action in needed:
        policy[needed[action]] = examples[needed[action]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("api")
    store = new_store(directory)
    yield World(store, directory)
    store.close()


@pytest.mark.parametrize(("label", "mode"), list(operations()))
def test_answers_are_as_the_document_says(world: World, label: str, mode: GenerationMode) -> None:
    method, path = label.split()
    operation = world.schema[path][method]
    codes: set[int] = set()
    if "/amphorae" in path:
        world.add_amphorae(900 + zlib.crc32(f"{label} {mode}".encode()) % 1_000_000)

    @settings(
        max_examples=EXAMPLES[mode], derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(mode))
    def ask(case: Case) -> None:
        world.fill()
        world.aim(case, mode)
        answer = world.call(case)
        codes.add(answer.status_code)
        # What a document may announce is one thing; that it happens is a defect, but for what providers lack.
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, checks=CHECKS)
        exactly(world.document, case, answer)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "only what takes any text can never be wrong"
        return
    responses = world.document["paths"][path][method.lower()]["responses"]
    refused = min(responses) >= "400"  # whatever is asked
    assert mode is GenerationMode.NEGATIVE or refused or min(codes) < 300, f"nothing was reached: {codes}"


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
