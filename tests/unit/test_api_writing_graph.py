"""Load balancers with everything below them in one request (contract 1.10)."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydria.model.errors import Conflict, HydriaError, Invalid, NotFound
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from tests.databases import new_store
from tests.unit.api_writing import GRAPH, MONITOR, PROJECT, Api

WEB = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MEMBER = {"address": "192.0.2.1", "protocol_port": 80}
NOBODY = "00000000-0000-0000-0000-000000000007"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


def test_a_bare_load_balancer(api: Api) -> None:
    made = api.create(LoadBalancer, name="a", tags=["t"], description="two\nlines")
    assert (made["listeners"], made["pools"]) == ([], [])
    assert (made["provisioning_status"], made["operating_status"]) == ("PENDING_CREATE", "OFFLINE")
    assert (made["provider"], made["project_id"], made["tenant_id"]) == ("amphora", PROJECT, PROJECT)
    assert (made["vip_sg_ids"], made["additional_vips"], made["vip_vnic_type"]) == ([], [], "normal")
    assert (list(made["tags"]), made["flavor_id"], made["updated_at"]) == (["t"], None, None)
    stored = api.get(LoadBalancer, made["id"])
    assert (stored.generation, stored.applied_generation, str(stored.topology)) == (1, 0, "SINGLE")
    assert api.wakeups.woken == [made["id"]]


def test_the_whole_tree_is_answered_and_starts_together(api: Api) -> None:
    made = api.create(LoadBalancer, **GRAPH)
    (listener,), (pool,) = made["listeners"], made["pools"]
    assert listener["default_pool_id"] == pool["id"]
    assert pool["listeners"] == [{"id": listener["id"]}]
    assert [member["address"] for member in pool["members"]] == ["192.0.2.1", "192.0.2.2"]
    assert pool["members"][0]["operating_status"] == "OFFLINE"
    assert pool["healthmonitor"]["operating_status"] == "ONLINE"
    assert pool["healthmonitor"]["http_method"] == "GET"
    assert listener["l7policies"] == []
    for nested in (listener, pool, *pool["members"], pool["healthmonitor"]):
        assert "loadbalancers" not in nested
        assert "healthmonitor_id" not in nested
        assert nested["project_id"] == PROJECT
        assert nested["provisioning_status"] == "PENDING_CREATE"
    assert len(api.wakeups.woken) == 1
    api.apply()
    assert {status for each in api.statuses().values() for status in each} == {"ACTIVE"}


def test_pools_may_stand_in_a_listener_and_serve_several(api: Api) -> None:
    made = api.create(
        LoadBalancer,
        listeners=[
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "default_pool": {"name": "p", **WEB, "members": [MEMBER]},
            },
            {"protocol": "HTTP", "protocol_port": 81, "default_pool": {"name": "p", "admin_state_up": True}},
            {"protocol": "TCP", "protocol_port": 82, "default_pool": None, "l7policies": []},
        ],
        pools=[{"name": "spare", **WEB, "healthmonitor": None, "members": None}],
    )
    pools = {pool["name"]: pool for pool in made["pools"]}
    assert len(pools["p"]["listeners"]) == 2
    assert pools["p"]["members"][0]["operating_status"] == "NO_MONITOR"
    assert (pools["spare"]["members"], "healthmonitor" in pools["spare"]) == ([], False)
    assert [listener["default_pool_id"] for listener in made["listeners"]] == [pools["p"]["id"]] * 2 + [None]


def test_a_project_may_be_named(api: Api) -> None:
    assert api.create(LoadBalancer, tenant_id="p2")["project_id"] == "p2"


Edit = Callable[[dict[str, Any]], object]


def _pool(body: dict[str, Any]) -> dict[str, Any]:
    return body["pools"][0]


def _listener(body: dict[str, Any]) -> dict[str, Any]:
    return body["listeners"][0]


REFUSED: dict[str, tuple[Edit, type[HydriaError], str]] = {
    "unnamed pool": (lambda body: _pool(body).pop("name"), Invalid, "Validation failure: Pools must be named when creating a fully populated loadbalancer."),
    "unnamed reference": (lambda body: _listener(body).update(default_pool={}), Invalid, "Validation failure: Pools must be named when creating a fully populated loadbalancer."),
    "name twice": (lambda body: body["pools"].append(_pool(body)), Invalid, "Validation failure: Pool names must be unique when creating a fully populated loadbalancer."),
    "name twice, in place": (lambda body: _listener(body).update(default_pool={"name": "p", **WEB}), Invalid, "Validation failure: Pool names must be unique when creating a fully populated loadbalancer."),
    "no definition": (lambda body: _listener(body).update(default_pool={"name": "q"}), Invalid, "Validation failure: Pool 'q' was referenced but no full definition was found."),
    "no protocol": (lambda body: _pool(body).pop("protocol"), Invalid, "Validation failure: Pool definition for 'p' missing required attribute: protocol"),
    "no algorithm": (lambda body: _pool(body).update(lb_algorithm=None), Invalid, "Validation failure: Pool definition for 'p' missing required attribute: lb_algorithm"),
    "pool of another": (lambda body: _listener(body).update(default_pool_id=NOBODY), NotFound, f"Pool {NOBODY} not found."),
    "pool does not fit": (lambda body: _listener(body).update(protocol="HTTPS"), Invalid, "Validation failure: The pool protocol 'HTTP' is invalid while the listener protocol is 'HTTPS'."),
    "port twice": (lambda body: body["listeners"].append({"protocol": "TCP", "protocol_port": 80}), Conflict, "Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80"),
    "member twice": (lambda body: _pool(body)["members"].append(MEMBER), Conflict, "Another member on this pool is already using ip 192.0.2.1 on protocol_port 80"),
    "member's weight": (lambda body: _pool(body)["members"][1].update(weight=-1), Invalid, "Invalid input for field/attribute weight. Value: '-1'. Value should be greater or equal to 0"),
    "member reserved": (lambda body: _pool(body)["members"][1].update(address="169.254.169.254"), Invalid, "169.254.169.254 is not a valid option for member address"),
    "member's subnet": (lambda body: _pool(body)["members"][1].update(subnet_id=NOBODY), Invalid, f"Subnet {NOBODY} not found."),
    "monitor does not fit": (lambda body: _pool(body).update(healthmonitor={**MONITOR, "type": "UDP-CONNECT"}), Invalid, "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP."),
    "monitor's own pool": (lambda body: _pool(body)["healthmonitor"].update(pool_id=NOBODY), Invalid, "Unknown attribute for argument health_monitor_.healthmonitor: pool_id"),
    "persistence": (lambda body: _pool(body).update(session_persistence={"type": "APP_COOKIE"}), Invalid, 'Validation failure: Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.'),
    "project of a listener": (lambda body: _listener(body).update(project_id="x"), Invalid, "Unknown attribute for argument listener_.listener: project_id"),
    "CIDR": (lambda body: _listener(body).update(allowed_cidrs=["2001:db8::/32"]), Invalid, "Validation failure: CIDR 2001:db8::/32 IP version incompatible with all VIPs ['198.51.100.0'] IP version."),
    "regular expression": (lambda body: _listener(body).update(l7policies=[{"action": "REJECT", "rules": [{"type": "PATH", "compare_type": "REGEX", "value": "(?a)x"}]}]), Invalid, "Error parsing L7Rule: Unable to parse regular expression: (?a) has options that only some versions of PCRE know"),
    "listeners": (lambda body: body.update(listeners={}), Invalid, "Invalid input for field/attribute listeners. Value: '{}'. Expected a list of objects."),
    "pool": (lambda body: _listener(body).update(default_pool="p"), Invalid, "Invalid input for field/attribute default_pool. Value: 'p'. Expected an object."),
    "pool name": (lambda body: _pool(body).update(name=["p"]), Invalid, "Invalid input for field/attribute name. Value: '['p']'. Expected a string."),
    "own attribute": (lambda body: body.update(colour="red"), Invalid, "Unknown attribute for argument load_balancer.loadbalancer: colour"),
    "unknown flavor": (lambda body: body.update(flavor_id=NOBODY), Invalid, f"{NOBODY} is not a valid option for flavor_id"),
    "unknown zone": (lambda body: body.update(availability_zone="z"), Invalid, "z is not a valid option for availability_zone"),
    "provider not enabled": (lambda body: body.update(provider="f5"), Invalid, "Provider 'f5' is not enabled."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_one_bad_object_and_nothing_is_made(api: Api, case: str) -> None:
    edit, error, message = REFUSED[case]
    body = copy.deepcopy(GRAPH)
    edit(body)
    with api.unchanged(error, message):
        api.create(LoadBalancer, **body)


def test_a_provider_that_is_not_installed(api: Api) -> None:
    from hydria.providers.registry import ProviderMissing

    with api.unchanged(ProviderMissing, "Provider 'absent' was not found."):
        api.create(LoadBalancer, provider="absent")


def test_somebody_must_own_it(api: Api) -> None:
    import dataclasses

    api.call = dataclasses.replace(api.call, caller=dataclasses.replace(api.call.caller, project_id=""))
    message = (
        "Missing project ID in request where one is required."
        " An administrator should check the keystone settings in the Octavia configuration."
    )
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer)
    assert api.create(LoadBalancer, project_id="p")["project_id"] == "p"


def test_a_failed_create_gives_its_port_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> object:
        raise RuntimeError("lost")

    monkeypatch.setattr(api.call.services.store, "transact", silent)
    with pytest.raises(RuntimeError):
        api.create(LoadBalancer)
    assert api.network.ports() == []


def test_a_full_tree_takes_few_statements(api: Api) -> None:
    body = copy.deepcopy(GRAPH)
    _pool(body)["members"] = [{"address": f"192.0.2.{n}", "protocol_port": 80} for n in range(1, 11)]
    with api.statements() as seen:
        api.create(LoadBalancer, **body)
    assert len(seen) == 6, "\n".join(seen)
    assert len(api.all(Member)) == 10
    assert len(api.all(Pool)) == 1
