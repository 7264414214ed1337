"""The API with real tokens of a real Keystone: who gets in, and as whom."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
import webob

from hydria import settings
from hydria.api import program
from hydria.messages import LocalWakeups
from hydria.model.errors import Invalid
from hydria.store import Store
from tests.databases import new_store
from tests.keystone import Keystone
from tests.unit.api_writing import embedded_network

pytestmark = pytest.mark.db

ETC = Path(__file__).parents[2] / "etc"
LIST = "/v2/lbaas/loadbalancers"
UNAUTHORIZED = {
    "error": {
        "message": "The request you have made requires authentication.",
        "code": 401,
        "title": "Unauthorized",
    }
}
FORBIDDEN = {
    "faultcode": "Client",
    "faultstring": "Policy does not allow this request to be performed.",
    "debuginfo": None,
}


class Served:
    """The whole WSGI stack on a database of its own."""

    def __init__(self, directory: Path, store: Store, configuration: str) -> None:
        conf = directory / "hydria.conf"
        conf.write_text(configuration)
        self.settings = settings.load([str(conf)])
        services = program.services(self.settings, store, embedded_network(), LocalWakeups())
        self.app = app = program.application(services)

        def named(environ: Any, start_response: Any) -> Any:  # Falcon looks at the names of its parameters
            return app(environ, start_response)

        self.client = falcon.testing.TestClient(named)

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> falcon.testing.Result:
        headers = more.pop("headers", {}) | ({} if token is None else {"X-Auth-Token": token})
        answer = self.client.simulate_request(method, path, headers=headers, **more)
        assert answer.headers["x-openstack-request-id"].startswith("req-")
        return answer


def configuration(keystone: Keystone, more: str = "") -> str:
    api = "[api_settings]\nauth_strategy = keystone\nhealthcheck_enabled = true\ndefault_provider_driver = noop_driver\n"
    return f"{api}enabled_provider_drivers = noop_driver:-\n{keystone.authtoken()}{more}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def api(tmp_path: Path, keystone: Keystone, store: Store) -> Served:
    keystone.service.start()
    return Served(tmp_path, store, configuration(keystone))


def balancer(api: Served, token: str, **attributes: Any) -> dict[str, Any]:
    answer = api.ask("POST", LIST, token, json={"loadbalancer": {"name": "web", **attributes}})
    assert answer.status_code == 201, answer.text
    return answer.json["loadbalancer"]


def test_who_may_ask_without_a_token(api: Served) -> None:
    for path in ("/", "/load-balancer/", "/healthcheck", "/load-balancer/healthcheck"):
        assert api.ask("GET", path).status_code == 200
    for path in (LIST, "/v2", "/v2.0/lbaas", "/openapi.json", "/load-balancer", "/nowhere", "//"):
        answer = api.ask("GET", path)
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
        assert answer.headers["www-authenticate"].startswith("Keystone uri=")


def test_headers_of_the_client_name_nobody(api: Served) -> None:
    said = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "p", "X-User-Id": "u"}
    assert api.ask("GET", LIST, headers=said).status_code == 401


def test_owners_and_others(api: Served, keystone: Keystone) -> None:
    owner = keystone.user(roles=["member"], project="mine")
    reader = keystone.user(roles=["reader"], project="mine")
    foreign = keystone.user(roles=["member"], project="theirs")
    made = balancer(api, owner.token())
    assert made["project_id"] == owner.project_id
    one = f"{LIST}/{made['id']}"
    assert api.ask("GET", one, reader.token()).json["loadbalancer"]["id"] == made["id"]
    for method, token in (
        ("GET", foreign.token()),
        ("PUT", foreign.token()),
        ("PUT", reader.token()),
        ("DELETE", reader.token()),
    ):
        body = {"json": {"loadbalancer": {"name": "x"}}} if method == "PUT" else {}
        answer = api.ask(method, one, token, **body)
        assert (answer.status_code, answer.json) == (403, FORBIDDEN)
    assert api.ask("GET", LIST, foreign.token()).json["loadbalancers"] == []
    assert [each["id"] for each in api.ask("GET", LIST, reader.token()).json["loadbalancers"]] == [made["id"]]
    theirs = api.ask("POST", LIST, owner.token(), json={"loadbalancer": {"project_id": foreign.project_id}})
    assert theirs.status_code == 403
    admin = keystone.user(roles=["admin"], project="other")
    assert balancer(api, admin.token(), project_id=foreign.project_id)["project_id"] == foreign.project_id
    assert len(api.ask("GET", LIST, admin.token()).json["loadbalancers"]) == 2
    assert api.ask("DELETE", one, owner.token()).status_code == 204


def test_scopes(api: Served, keystone: Keystone) -> None:
    owner = keystone.user(roles=["member"], project="mine")
    made = balancer(api, owner.token())
    one = f"{LIST}/{made['id']}"
    assert api.ask("GET", one, keystone.user(roles=["admin"], system=True).token()).status_code == 200
    assert api.ask("GET", one, keystone.user(roles=["reader"], system=True).token()).status_code == 403
    assert api.ask("GET", LIST, keystone.user(roles=["reader"], system=True).token()).status_code == 403
    # The roles with the service's name are enough only where a policy file says so.
    assert api.ask("GET", one, keystone.user(roles=["load-balancer_admin"]).token()).status_code == 403
    assert (
        api.ask("GET", one, keystone.user(roles=["load-balancer_global_observer"]).token()).status_code == 403
    )


def test_the_old_defaults(tmp_path: Path, keystone: Keystone, store: Store) -> None:
    api = Served(tmp_path, store, configuration(keystone, "[oslo_policy]\nenforce_new_defaults = false\n"))
    owner = keystone.user(roles=["load-balancer_member"], project="mine")
    made = balancer(api, owner.token())
    one = f"{LIST}/{made['id']}"
    observer = keystone.user(roles=["load-balancer_global_observer"], project="theirs")
    assert api.ask("GET", one, observer.token()).status_code == 200
    assert api.ask("DELETE", one, observer.token()).status_code == 403
    assert api.ask("DELETE", one, keystone.user(roles=["load-balancer_admin"]).token()).status_code == 204


def test_tokens_that_are_worth_nothing(api: Served, keystone: Keystone) -> None:
    user = keystone.user(roles=["member"])
    token = user.token()
    assert api.ask("GET", LIST, token).status_code == 200
    keystone.revoke(token)
    for worthless in (token, user.expired_token(), "gAAAAAB", "x" * 300, ""):
        answer = api.ask("GET", LIST, worthless)
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)


def test_service_tokens(api: Served, keystone: Keystone) -> None:
    user = keystone.user(roles=["member"])
    expired = user.expired_token()
    service = {"X-Service-Token": keystone.service_user().token()}
    assert api.ask("GET", LIST, user.token(), headers=service).status_code == 200
    # With the token of a service, a request that took long to come through the cloud is still heard.
    assert api.ask("GET", LIST, expired, headers=service).status_code == 200
    nobody = {"X-Service-Token": user.token()}
    assert api.ask("GET", LIST, expired, headers=nobody).status_code == 401


def test_the_scope_of_a_service_is_not_the_users(tmp_path: Path, keystone: Keystone, store: Store) -> None:
    scoped = f"[oslo_policy]\npolicy_file = {ETC}/policy/keystone_default_roles_scoped.yaml\n"
    api = Served(tmp_path, store, configuration(keystone, scoped))
    one = f"{LIST}/{balancer(api, keystone.user(roles=['member'], project='mine').token())['id']}"
    foreign = keystone.user(roles=["admin"], project="theirs").token()
    system = keystone.user(roles=["admin"], system=True).token()
    on_system = {"X-Service-Token": keystone.user(roles=["service"], system=True).token()}
    in_project = {"X-Service-Token": keystone.service_user().token()}
    assert api.ask("GET", one, foreign, headers=on_system).status_code == 403
    assert api.ask("DELETE", one, foreign, headers=on_system).status_code == 403
    assert api.ask("GET", one, system, headers=in_project).status_code == 200


def test_services_see_members(api: Served, keystone: Keystone) -> None:
    owner = keystone.user(roles=["member"], project="mine")
    made = balancer(api, owner.token())
    body = {"pool": {"loadbalancer_id": made["id"], "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}
    pool = api.ask("POST", "/v2/lbaas/pools", owner.token(), json=body).json["pool"]["id"]
    service = keystone.service_user().token()
    assert api.ask("GET", f"/v2/lbaas/pools/{pool}/members", service).status_code == 200
    assert api.ask("GET", f"/v2/lbaas/pools/{pool}", service).status_code == 403


def test_keystone_is_down(api: Served, keystone: Keystone) -> None:
    token = keystone.user(roles=["member"]).token()
    keystone.service.kill()
    try:
        answer = api.ask("POST", LIST, token, json={"loadbalancer": {}})
        assert answer.status_code == 503
        assert api.ask("GET", "/").status_code == 200
    finally:
        keystone.service.start()
    assert api.ask("GET", LIST, token).json["loadbalancers"] == []


def test_too_long(api: Served) -> None:
    answer = api.ask("POST", LIST, json={"loadbalancer": {"description": "x" * 200_000}})
    assert answer.status_code == 413


def test_keystone_must_be_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(Invalid, match=r"needs the section \[keystone_authtoken\]"):
        Served(tmp_path, store, "[api_settings]\nauth_strategy = keystone\n")


def test_audit_events(
    tmp_path: Path, keystone: Keystone, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    events = f"[audit]\nenabled = true\naudit_map_file = {ETC / 'hydria_api_audit_map.conf'}\n"
    events += "[audit_middleware_notifications]\ndriver = log\n"
    api = Served(tmp_path, store, configuration(keystone, events))
    user = keystone.user(roles=["member"])
    token = user.token()
    with caplog.at_level("INFO"):
        assert api.ask("POST", "/v2/lbaas/pools", token, json={"pool": {}}).status_code == 400
    found = [record.getMessage() for record in caplog.records if "audit.http" in record.getMessage()]
    assert ["audit.http.request" in found[0], "audit.http.response" in found[1]] == [True, True]
    assert user.id in found[1]
    assert '"action": "create"' in found[1]
    assert '"reasonCode": "400"' in found[1]
    assert token not in "".join(found)


def test_each_request_is_a_line_in_the_log(
    api: Served, keystone: Keystone, caplog: pytest.LogCaptureFixture
) -> None:
    user = keystone.user(roles=["member"])
    token = user.token()
    with caplog.at_level("INFO", "hydria.api.access_log"):
        answers = [api.ask("GET", LIST, token, query_string="name=secret"), api.ask("GET", "/v2/x\ny")]
    lines = [record.getMessage() for record in caplog.records if record.name == "hydria.api.access_log"]
    ids = [answer.headers["x-openstack-request-id"] for answer in answers]
    assert re.fullmatch(
        rf"GET {LIST} 200 [0-9.]+ ms {ids[0]} project {user.project_id} from - user {user.id}",
        lines[0],
    )
    assert re.fullmatch(rf"GET /v2/x\\ny 401 [0-9.]+ ms {ids[1]} project - from - user -", lines[1])


def test_pages_of_other_origins(tmp_path: Path, keystone: Keystone, store: Store) -> None:
    api = Served(
        tmp_path, store, configuration(keystone, "[cors]\nallowed_origin = https://horizon.example\n")
    )
    asked = {
        "Origin": "https://horizon.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "X-Auth-Token",
    }
    answer = webob.Request.blank(LIST, method="OPTIONS", headers=asked).get_response(api.app)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://horizon.example"
    assert answer.headers["X-Openstack-Request-Id"].startswith("req-")
    for method, origin in (("PATCH", "https://horizon.example"), ("PUT", "https://evil.example")):
        headers = {**asked, "Origin": origin, "Access-Control-Request-Method": method}
        refused = webob.Request.blank(LIST, method="OPTIONS", headers=headers).get_response(api.app)
        assert "Access-Control-Allow-Origin" not in refused.headers


def test_behind_a_proxy(tmp_path: Path, keystone: Keystone, store: Store) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "lb.example"}
    api = Served(tmp_path, store, configuration(keystone))
    assert "lb.example" not in api.ask("GET", "/", headers=said).text
    believing = configuration(keystone, "[oslo_middleware]\nenable_proxy_headers_parsing = true\n")
    api = Served(tmp_path, store, believing)
    link = api.ask("GET", "/", headers=said).json["versions"][0]["links"][0]["href"]
    assert link == "https://lb.example/v2"
