"""Paths, discovery, health check, formats and error bodies (contract 1.1 to 1.6)."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydria.api import faults, reading, writing
from hydria.api.versions import VERSIONS
from hydria.model import errors
from hydria.store import Store
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import Api

BALANCERS = "/v2/lbaas/loadbalancers"
NEW = {"loadbalancer": {"name": "n"}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


# --- paths


@pytest.mark.parametrize("service", ["", "/load-balancer"])
@pytest.mark.parametrize("version", ["/v2", "/v2.0"])
@pytest.mark.parametrize("suite", ["/lbaas", ""])
def test_the_same_api_under_all_its_names(api: Api, service: str, version: str, suite: str) -> None:
    api.insert(trees.load_balancer(), trees.pool(), trees.listener(), trees.member(1), trees.monitor())
    root = f"{service}{version}{suite}"
    for plural in ("loadbalancers", "listeners", "pools", "healthmonitors", f"pools/{trees.POOL}/members"):
        for ending in ("", "/", ".json", ".json/"):
            (found,) = api.get(f"{root}/{plural}{ending}")[plural.rpartition("/")[2]]
            api.get(f"{root}/{plural}/{found['id']}{ending}")


@pytest.mark.parametrize("path", ["/v2", "/v2.0/", "/v2/lbaas", "/v2.0/octavia", "/load-balancer/v2/lbaas/"])
def test_index(api: Api, path: str) -> None:
    assert api.get(path) == "v2"


@pytest.mark.parametrize("path", ["/", "/load-balancer", "/load-balancer/"])
def test_discovery(api: Api, path: str) -> None:
    versions = api.get(path)["versions"]
    href = f"http://localhost{path.rstrip('/')}/v2"
    assert [each["id"] for each in versions] == [f"v2.{minor}" for minor in range(31)]
    assert [each["status"] for each in versions] == ["SUPPORTED"] * 30 + ["CURRENT"]
    assert all(each["links"] == [{"href": href, "rel": "self"}] for each in versions)
    assert {each["id"]: each["updated"] for each in versions} == dict(VERSIONS)
    assert versions[7] == {
        "id": "v2.7", "status": "SUPPORTED", "updated": "2018-01-25T12:00:00Z",
        "links": [{"href": href, "rel": "self"}],
    }  # fmt: skip


def test_unknown_paths_and_methods(api: Api) -> None:
    assert api.get("/v2/lbaas/nonsense", 404) == {
        "code": 404, "title": "Not Found", "description": "Nothing matches the given URI",
    }  # fmt: skip
    answer = api.ask("DELETE", BALANCERS)
    assert (answer.status_code, answer.json["code"], answer.json["title"]) == (405, 405, "Method Not Allowed")
    assert answer.headers["allow"].startswith("GET, POST")


def test_every_answer_names_the_request(api: Api) -> None:
    seen = set()
    for url in ("/", BALANCERS, "/nonsense", f"{BALANCERS}/nonsense", f"{BALANCERS}?sort=x"):
        identifier = api.ask("GET", url).headers["x-openstack-request-id"]
        assert identifier.startswith("req-")
        seen.add(identifier)
    assert len(seen) == 5


# --- formats


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "application/*", "application/json;q=0.1, text/html", "garbage", "a/b;q=x"]
)
def test_accepted(api: Api, accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = api.ask("GET", BALANCERS, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("accept", ["text/html", "application/xml, text/*;q=0.5", "application/json;q=0"])
def test_not_accepted(api: Api, accept: str) -> None:
    answer = api.ask("GET", BALANCERS, headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json == {
        "code": 406, "title": "Not Acceptable",
        "description": "Only content type application/json is accepted.",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
def test_media_types_that_are_not_spoken(api: Api, method: str, media_type: str) -> None:
    url = BALANCERS if method == "POST" else f"{BALANCERS}/{trees.BALANCER}"
    answer = api.ask(method, url, body='{"loadbalancer": {}}', headers={"Content-Type": media_type})
    assert answer.status_code == 415
    assert answer.json == {
        "faultcode": "Client", "faultstring": f"Unknown mimetype: {media_type}", "debuginfo": None,
    }  # fmt: skip


def test_media_types_that_are(api: Api) -> None:
    for media_type in ("application/json; charset=UTF-8", "text/javascript", "Application/JavaScript"):
        answer = api.ask("POST", BALANCERS, body="{", headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json["faultstring"]) == (
            400,
            "Request is not in valid JSON format",
        )


def test_bodies_that_are_too_long(api: Api) -> None:
    longest = api.settings.oslo_middleware.max_request_body_size
    for method in ("POST", "GET", "DELETE"):
        answer = api.ask(method, BALANCERS, body="x" * (longest + 1), headers=JSON)
        assert (answer.status_code, answer.json["code"]) == (413, 413)
    assert api.ask("POST", BALANCERS, body="x" * longest, headers=JSON).status_code == 400


def test_bodies_without_announced_length(api: Api) -> None:
    extras = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = api.ask("POST", BALANCERS, body="x" * 200_000, headers=JSON, extras=extras)
    assert answer.status_code == 413
    answer = api.ask("POST", BALANCERS, body="{}", headers=JSON, extras=extras)
    assert "Mandatory field missing" in answer.json["faultstring"]


# --- envelopes


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", 'Missing argument: "load_balancer"'),
        ("{", "Request is not in valid JSON format"),
        ('{"loadbalancer": NaN}', "Request is not in valid JSON format"),
        (b'{"loadbalancer": "\xff"}', "Request is not in valid JSON format"),
        ("[" * 100_000, "Request is not in valid JSON format"),
        ("{}", "Invalid input for field/attribute loadbalancer. Value: 'None'. Mandatory field missing."),
        (
            '{"loadbalancer": null}',
            "Invalid input for field/attribute loadbalancer. Value: 'None'. Mandatory field missing.",
        ),
        (
            "[1]",
            ("Invalid input for field/attribute load_balancer. Value: '[1]'."
            ' Expected an object with the key "loadbalancer".'),
        ),
        (
            '{"loadbalancer": {}, "x": 1}',
            "Unknown attribute for argument load_balancer: x",
        ),
        (
            '{"listener": {}, "pool": {}}',
            "Unknown attributes for argument load_balancer: listener, pool",
        ),
        ('{"loadbalancer": []}', "Invalid input for field/attribute loadbalancer. Value: '[]'. Expected an object."),
    ],
)  # fmt: skip
def test_bodies_that_are_not_what_they_should_be(api: Api, body: str, message: str) -> None:
    answer = api.ask("POST", BALANCERS, body=body, headers=JSON)
    assert (answer.status_code, answer.json["faultstring"]) == (400, message)


@pytest.mark.parametrize(
    ("path", "argument"),
    [("listeners", "listener_"), ("pools", "pool_"), ("healthmonitors", "health_monitor_"),
     (f"pools/{trees.POOL}/members", "member_")],
)  # fmt: skip
def test_arguments_have_names(api: Api, path: str, argument: str) -> None:
    answer = api.ask("POST", f"/v2/lbaas/{path}")
    assert (answer.status_code, answer.json["faultstring"]) == (400, f'Missing argument: "{argument}"')


def test_the_batch_of_members_has_a_root_key_of_its_own(api: Api) -> None:
    url = f"/v2/lbaas/pools/{trees.POOL}/members"
    assert api.ask("PUT", url).json["faultstring"] == 'Missing argument: "members_"'
    answer = api.ask("PUT", url, json={"member": {}})
    assert answer.json["faultstring"] == "Unknown attribute for argument members_: member"


def test_arguments_in_the_query_of_changes(api: Api) -> None:
    item = f"{BALANCERS}/{trees.BALANCER}"
    members = f"/v2/lbaas/pools/{trees.POOL}/members"
    for method, url, name in (
        ("POST", BALANCERS, "cascade"), ("PUT", item, "fields"), ("DELETE", item, "force"),
        ("PUT", members, "cascade"), ("DELETE", f"/v2/lbaas/pools/{trees.POOL}", "cascade"),
    ):  # fmt: skip
        answer = api.ask(method, url, params={name: "1"}, json=NEW)
        assert (answer.status_code, answer.json["faultstring"]) == (400, f'Unknown argument: "{name}"')
    answer = api.ask("DELETE", item, params={"cascade": "maybe"})
    assert answer.json["faultstring"].startswith("Invalid input for field/attribute cascade. Value: 'maybe'.")


# --- changes reach the other half, and come back with the right codes


def test_codes_of_changes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def note(*arguments: Any, **more: Any) -> dict[str, object]:
        asked.append((*arguments[1:], more))
        return {"id": trees.BALANCER}

    for name in ("create", "update", "delete", "batch_members"):
        monkeypatch.setattr(writing, name, note)
    item, members = f"{BALANCERS}/{trees.BALANCER.upper()}", f"/v2/lbaas/pools/{trees.POOL}/members"
    made = {"loadbalancer": {"id": trees.BALANCER}}
    for method, url, body, status, answer in (
        ("POST", BALANCERS, NEW, 201, made),
        ("PUT", item, {"loadbalancer": {}}, 200, made),
        ("DELETE", item, None, 204, None),
        ("DELETE", f"{item}?cascade=yes", None, 204, None),
        ("POST", members, {"member": {"a": 1}}, 201, {"member": {"id": trees.BALANCER}}),
        ("PUT", f"{members}/{trees.MEMBER}", {"member": {}}, 200, {"member": {"id": trees.BALANCER}}),
        ("DELETE", f"{members}/{trees.MEMBER}", None, 204, None),
        ("PUT", members, {"members": []}, 202, None),
        ("PUT", f"{members}?additive_only=True", {"members": [{}]}, 202, None),
    ):
        path, _, query = url.partition("?")
        done = api.ask(method, path, query_string=query, json=body)
        assert (done.status_code, done.json) == (status, answer), (method, url)
    assert asked == [
        (trees.load_balancer().__class__, NEW["loadbalancer"], None, {}),
        (trees.load_balancer().__class__, trees.BALANCER, {}, None, {}),
        (trees.load_balancer().__class__, trees.BALANCER, None, {"cascade": False}),
        (trees.load_balancer().__class__, trees.BALANCER, None, {"cascade": True}),
        (trees.member(1).__class__, {"a": 1}, trees.POOL, {}),
        (trees.member(1).__class__, trees.MEMBER, {}, trees.POOL, {}),
        (trees.member(1).__class__, trees.MEMBER, trees.POOL, {"cascade": False}),
        (trees.POOL, [], {"additive_only": False}),
        (trees.POOL, [{}], {"additive_only": True}),
    ]


# --- faults


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Invalid("m"), 400, "Client"),
        (errors.NotFound("Pool", "x"), 404, "Client"),
        (errors.Conflict("m"), 409, "Client"),
        (errors.Busy("m"), 409, "Client"),
        (errors.QuotaExceeded("m"), 403, "Client"),
        (errors.Forbidden("m"), 403, "Client"),
        (errors.Unsupported("p", "m"), 501, "Server"),
        (errors.ProviderFailed("p", "m"), 500, "Server"),
        (errors.Unavailable("m"), 503, "Server"),
        (errors.Unreachable("m"), 503, "Server"),
        (errors.DriverError("m"), 500, "Server"),
        (errors.HydriaError("m"), 500, "Server"),
    ],
)
def test_faults(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: errors.HydriaError, status: int, code: str
) -> None:
    monkeypatch.setattr(reading, "show_all", _raising(error))
    answer = api.ask("GET", BALANCERS)
    assert (answer.status_code, faults.status_of(error)) == (status, status)
    assert answer.json == {"faultcode": code, "faultstring": error.message, "debuginfo": None}
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


def test_unexpected_errors_stay_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "show_all", _raising(KeyError("password=hunter2")))
    with caplog.at_level(logging.ERROR):
        answer = api.ask("GET", BALANCERS)
    assert (answer.status_code, answer.json["faultcode"]) == (500, "Server")
    assert "hunter2" not in answer.text
    assert answer.headers["x-openstack-request-id"] in answer.json["faultstring"]
    assert answer.headers["x-openstack-request-id"] in caplog.text
    assert "hunter2" in caplog.text


def test_failures_of_drivers_tell_nothing_of_the_operators(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = "/var/lib/hydria/certificates/a.sealed was not sealed with the key in /etc/hydria/seal.key."
    monkeypatch.setattr(reading, "show_all", _raising(errors.DriverError(said)))
    answer = api.ask("GET", BALANCERS)
    assert answer.json["faultstring"] == "a.sealed was not sealed with the key in seal.key."
    assert said in caplog.text


def test_a_database_that_is_away(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path))
    api = Api(Store(f"sqlite:///{tmp_path / 'nowhere' / 'hydria.db'}"))
    answer = api.ask("GET", BALANCERS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["faultstring"] == "The database does not answer. Try again."


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


# --- who asks


def test_only_this_host_is_served_without_identity(api: Api) -> None:
    for address, status in (
        ("127.0.0.1", 200),
        ("127.9.9.9", 200),
        ("::1", 200),
        ("", 200),
        ("192.0.2.1", 403),
    ):
        answer = api.ask("GET", BALANCERS, extras={"REMOTE_ADDR": address})
        assert answer.status_code == status, address
    assert api.ask("GET", "/", extras={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:9876",
        "127.0.0.1:9876",
        "127.9.9.9",
        "[::1]",
        "[::1]:9876",
        "hydria.localhost",
        "",
    ],
)
def test_names_of_this_host(api: Api, host: str) -> None:
    assert api.ask("GET", BALANCERS, headers={"Host": host}).status_code == 200
    if host:
        headers = {"Origin": f"http://{host}"}
        assert api.ask("GET", BALANCERS, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:9876", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[::]",
     "192.0.2.1", "localhost:9876@evil.example", "evil.example/localhost", "[::1", "[::1]x", "localhost, evil",
     "a\u00ffb", "null", "-"],
)  # fmt: skip
def test_a_web_page_does_not_speak_for_this_host(api: Api, name: str) -> None:
    """DNS rebinding: the page's name leads to loopback, but it is still the page's name."""
    for headers in ({"Host": name}, {"Origin": f"http://{name}"}, {"Origin": name}):
        for method, url in (
            ("GET", BALANCERS),
            ("POST", BALANCERS),
            ("DELETE", f"{BALANCERS}/{trees.BALANCER}"),
        ):
            answer = api.ask(method, url, headers=headers)
            assert (answer.status_code, answer.json["faultcode"]) == (403, "Client"), headers


def test_names_that_the_operator_gave(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), api_base_uri="https://lb.example.org:443/load-balancer", bind_host="here")
    for name, status in (("lb.example.org", 200), ("here:9876", 200), ("example.org", 403)):
        assert api.ask("GET", BALANCERS, headers={"Host": name}).status_code == status, name


def test_the_project_of_a_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(reading, "show_all", lambda call, *_: asked.append(call.caller.project_id) or {})
    for headers in ({}, {"X-Project-Id": "p1"}):
        api.get(BALANCERS, headers=headers)
    assert asked == ["default", "p1"]
    fault = api.get(BALANCERS, 400, headers={"X-Project-Id": "p" * 37})
    assert "X-Project-Id" in fault["faultstring"]


# --- health check


def test_health_check_is_off_by_default(api: Api) -> None:
    api.get("/healthcheck", 404)


@pytest.mark.parametrize("path", ["/healthcheck", "/load-balancer/healthcheck"])
def test_health_check(tmp_path: Path, path: str) -> None:
    api = Api(new_store(tmp_path), healthcheck_enabled=True, healthcheck_refresh_interval=0)
    answer = api.ask("GET", path)
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"].startswith("text/plain")
    answer = api.ask("GET", path, headers={"Accept": "application/json"})
    assert answer.json == {"detailed": False, "reasons": ["OK"]}
    answer = api.ask("GET", path, headers={"Accept": "text/html,*/*;q=0.1"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "OK" in answer.text
    assert api.ask("HEAD", path).status_code == 204
    assert api.ask("POST", path).status_code == 405


def test_health_check_without_database(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'nowhere' / 'hydria.db'}")
    api = Api(store, healthcheck_enabled=True, healthcheck_refresh_interval=0)
    answer = api.ask("GET", "/healthcheck")
    assert (answer.status_code, answer.text) == (503, "The Octavia database is unavailable.")
    assert api.ask("HEAD", "/healthcheck").status_code == 503


def test_health_is_asked_for_once_per_interval(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), healthcheck_enabled=True, healthcheck_refresh_interval=3600)
    with api.statements() as seen:
        for _ in range(5):
            assert api.ask("GET", "/healthcheck").status_code == 200
    assert len(seen) == 1


# --- bodies and queries that nobody sends by mistake


POOL = f"/v2/lbaas/pools/{trees.POOL}"


@pytest.fixture
def web(tmp_path: Path) -> Api:
    api = Api(
        new_store(tmp_path),
        default_provider_driver="noop_driver",
        enabled_provider_drivers={"noop_driver": ""},
    )
    api.insert(
        trees.load_balancer(provider="noop_driver"),
        trees.pool(),
        trees.listener(),
        trees.member(1),
        trees.monitor(),
    )
    return api


def test_of_a_key_that_is_there_twice_the_last_one_counts(web: Api) -> None:
    """As Python's own decoder has it, so as Octavia has it."""
    body = '{"pool": {"name": "a"}, "pool": {"name": "b", "name": "c"}}'
    answer = web.ask("PUT", POOL, body=body, headers=JSON)
    assert (answer.status_code, answer.json["pool"]["name"]) == (200, "c")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'\xef\xbb\xbf{"pool": {}}', "Request is not in valid JSON format"),
        ('{"pool": {}}'.encode("utf-16"), "Request is not in valid JSON format"),
        ('{"pool": {}} {}', "Request is not in valid JSON format"),
        (" ", "Request is not in valid JSON format"),
        ('{"pool": {"name": "a\\ud800b"}}', "Request is not in valid JSON format"),
        ('{"pool": {"name": "a\x00b"}}', "Request is not in valid JSON format"),
        ('{"pool": {"name": "a\\u0000b"}}',
         "Invalid input for field/attribute name. Value: 'a\\x00b'. Value should not contain control characters, nor others that do not print."),
        ("null", "Invalid input for field/attribute pool_. Value: 'None'. Expected an object with the key \"pool\"."),
        ('"pool"', "Invalid input for field/attribute pool_. Value: 'pool'. Expected an object with the key \"pool\"."),
        ('{"pool": "x"}', "Invalid input for field/attribute pool. Value: 'x'. Expected an object."),
        ('{"pool": {"": 1}}', "Unknown attribute for argument pool_.pool: "),
        ('{"pool": {"b": 1, "a": 2}}', "Unknown attributes for argument pool_.pool: a, b"),
        ('{"pool": {"tags": [null]}}',
         "Invalid input for field/attribute tags. Value: '[None]'. Expected a string, not null."),
        ('{"pool": {"name": %s}}' % ("[" * 40 + "]" * 40),
         "Invalid input for field/attribute name. Value: '%s'. Expected a string, not a list." % ("[" * 40 + "]" * 40)),
        ('{"pool": {"admin_state_up": 1e300}}',
         ("Invalid input for field/attribute admin_state_up. Value: '1e+300'."
         " Unable to convert the value to a boolean; use true or false.")),
    ],
)  # fmt: skip
def test_bodies_that_are_refused(web: Api, body: str | bytes, message: str) -> None:
    before = web.get(POOL)
    answer = web.ask("PUT", POOL, body=body, headers=JSON)
    assert (answer.status_code, answer.json) == (
        400,
        {"faultcode": "Client", "faultstring": message, "debuginfo": None},
    )
    assert web.get(POOL) == before


@pytest.mark.parametrize(
    "number", ["1e300", "-1e300", "1e400", "9" * 5000, f'"{"9" * 5000}"', "NaN", "-Infinity", "65536", "0.9"]
)
def test_numbers_that_no_port_has(web: Api, number: str) -> None:
    body = f'{{"member": {{"address": "192.0.2.9", "protocol_port": {number}}}}}'
    answer = web.ask("POST", f"{POOL}/members", body=body, headers=JSON)
    assert (answer.status_code, answer.json["faultcode"]) == (400, "Client")
    assert len(answer.text) < 1000
    assert len(web.get(f"{POOL}/members")["members"]) == 1


@pytest.mark.parametrize("depth", [1_000, 10_000])
def test_bodies_that_are_deep(web: Api, depth: int) -> None:
    for body in (
        '{"pool": ' + '{"a":' * depth + "1" + "}" * depth + "}",
        '{"pool": {"tags": ' + "[" * depth + "]" * depth + "}}",
    ):
        answer = web.ask("PUT", POOL, body=body, headers=JSON)
        assert (answer.status_code, answer.json["faultcode"]) == (400, "Client")
        assert len(answer.text) < 1000


@pytest.mark.parametrize(
    ("query", "status"),
    [("name=%00", 200), ("name=%FF%FE", 200), ("name", 200), ("&&&", 200), ("name=a&name=b", 400), ("=1", 400),
     ("%00=1", 400), ("nonsense=1", 400), ("limit=abc", 400), ("limit=1&limit=2", 400), ("limit=" + "9" * 5000, 400),
     ("limit=1_0x", 400), ("sort=name:up", 400), ("sort=nonsense", 400), ("marker=x", 400), ("page_reverse=maybe", 400),
     ("tags=" + ",".join(map(str, range(101))), 400), ("fields=nonsense", 200), ("created_at=never", 400)],
)  # fmt: skip
def test_queries_of_lists(web: Api, query: str, status: int) -> None:
    answer = web.ask("GET", "/v2/lbaas/pools", query_string=query)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert set(answer.json) == {"faultcode", "faultstring", "debuginfo"}
        assert len(answer.text) < 1000


@pytest.mark.parametrize("identifier", ["a%00b", "%FF", "..", "x" * 3000, "%E2%82%AC", "1b000000", "%20"])
def test_ids_that_are_none(web: Api, identifier: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = web.ask(
            method, f"/v2/lbaas/pools/{identifier}", json={"pool": {}} if method == "PUT" else None
        )
        assert (answer.status_code, answer.json["faultcode"]) == (404, "Client")
        assert len(answer.text) < 1000
        answer = web.ask(method, f"/v2/lbaas/pools/{identifier}/members/{trees.MEMBER}", json={"member": {}})
        assert (answer.status_code, answer.json["code"]) == (404, 404), "the pool is looked up on the way"


def test_a_body_where_none_is_expected_is_not_looked_at(web: Api) -> None:
    answer = web.ask("DELETE", POOL, body="no JSON", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 204


def test_a_health_check_that_fails_says_when_to_ask_again(tmp_path: Path) -> None:
    Api(new_store(tmp_path))
    api = Api(Store(f"sqlite:///{tmp_path / 'nowhere' / 'hydria.db'}"), healthcheck_enabled=True)
    for method in ("GET", "HEAD"):
        answer = api.ask(method, "/healthcheck")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
