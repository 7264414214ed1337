"""What single creates, updates and deletes do with listeners, pools, members and monitors (contract 1.11 to 1.14)."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from octavia_lib.api.drivers import data_models, exceptions

from hydria.model.errors import Conflict, Invalid, NotFound, ProviderFailed, Unsupported
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from tests.databases import new_store
from tests.unit.api_writing import MONITOR, PROJECT, Api, everything

NOBODY = str(uuid.UUID(int=7))


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    return everything(api)


# --- responses


def test_a_listener_is_answered_as_it_starts(api: Api, ids: dict[str, str]) -> None:
    made = api.create(
        Listener, loadbalancer_id=ids["load_balancers"], protocol="TCP", protocol_port="81", tags=["a"],
        project_id="somebody else", allowed_cidrs=["10.0.0.1/8"],
    )  # fmt: skip
    assert made["loadbalancers"] == [{"id": ids["load_balancers"]}]
    assert (made["provisioning_status"], made["operating_status"]) == ("PENDING_CREATE", "OFFLINE")
    assert (made["project_id"], made["tenant_id"]) == (PROJECT, PROJECT)
    assert (made["protocol_port"], made["connection_limit"], made["timeout_client_data"]) == (81, -1, 50_000)
    assert (made["allowed_cidrs"], list(made["tags"]), made["updated_at"]) == (["10.0.0.0/8"], ["a"], None)


def test_a_put_answers_with_the_new_values(api: Api, ids: dict[str, str]) -> None:
    changed = api.update(Listener, ids["listeners"], name="n", connection_limit=None, tags=["b", "a"])
    assert (changed["name"], changed["connection_limit"], changed["provisioning_status"]) == (
        "n", -1, "PENDING_UPDATE",
    )  # fmt: skip
    assert sorted(changed["tags"]) == ["a", "b"]
    assert changed["updated_at"] is not None
    changed = api.update(Pool, ids["pools"], session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"})
    assert changed["session_persistence"]["cookie_name"] == "sid"
    assert changed["healthmonitor_id"] == ids["health_monitors"]
    assert changed["listeners"] == [{"id": ids["listeners"]}]
    assert len(changed["members"]) == 2
    assert api.get(Pool, ids["pools"]).session_persistence.cookie_name == "sid"
    assert api.update(Pool, ids["pools"], session_persistence=None)["session_persistence"] is None
    balancer = api.update(
        LoadBalancer, ids["load_balancers"], description="d", admin_state_up=None, tags=["t"]
    )
    assert (balancer["description"], balancer["admin_state_up"], list(balancer["tags"])) == (
        "d",
        False,
        ["t"],
    )
    assert balancer["listeners"] == [{"id": ids["listeners"]}]
    assert balancer["provisioning_status"] == "PENDING_UPDATE"


def test_members_start_by_whether_they_are_probed(api: Api, ids: dict[str, str]) -> None:
    probed = api.create(Member, ids["pools"], address="192.0.2.3", protocol_port=80)
    assert probed["operating_status"] == "OFFLINE"
    api.delete(HealthMonitor, ids["health_monitors"])
    assert {str(member.operating_status) for member in api.all(Member)} == {"NO_MONITOR"}
    free = api.create(Member, ids["pools"], address="192.0.2.4", protocol_port=80)
    assert free["operating_status"] == "NO_MONITOR"
    assert (free["weight"], free["backup"], free["vnic_type"], free["subnet_id"]) == (
        1,
        False,
        "normal",
        None,
    )


def test_a_monitor_is_online_as_far_as_it_is_enabled(api: Api, ids: dict[str, str]) -> None:
    changed = api.update(HealthMonitor, ids["health_monitors"], admin_state_up=False)
    assert changed["operating_status"] == "OFFLINE"
    changed = api.update(HealthMonitor, ids["health_monitors"], admin_state_up=True, url_path=None)
    assert (changed["operating_status"], changed["url_path"], changed["pools"]) == (
        "ONLINE", "/", [{"id": ids["pools"]}],
    )  # fmt: skip


def test_a_pool_becomes_the_default_of_its_listener(api: Api, ids: dict[str, str]) -> None:
    listener = api.create(Listener, loadbalancer_id=ids["load_balancers"], protocol="HTTP", protocol_port=81)
    pool = api.create(Pool, listener_id=listener["id"], protocol="HTTP", lb_algorithm="SOURCE_IP")
    assert pool["loadbalancers"] == [{"id": ids["load_balancers"]}]
    assert pool["listeners"] == [{"id": listener["id"]}]
    assert "healthmonitor_id" not in pool
    assert api.get(Listener, listener["id"]).default_pool_id == pool["id"]
    with api.unchanged(Conflict, "This listener already has a default pool"):
        api.create(Pool, listener_id=listener["id"], protocol="HTTP", lb_algorithm="SOURCE_IP")
    api.delete(Pool, pool["id"])
    second = api.create(Pool, listener_id=listener["id"], protocol="HTTP", lb_algorithm="SOURCE_IP")
    api.apply()
    assert api.get(Listener, listener["id"]).default_pool_id == second["id"]


def test_a_deleted_pool_leaves_its_listener_without_one(api: Api, ids: dict[str, str]) -> None:
    api.delete(Pool, ids["pools"])
    api.apply()
    assert api.get(Listener, ids["listeners"]).default_pool_id is None
    assert (api.all(Pool), api.all(Member), api.all(HealthMonitor)) == ((), (), ())


# --- what exists only once


def test_ports_are_taken_by_transport(api: Api, ids: dict[str, str]) -> None:
    balancer = ids["load_balancers"]
    message = "Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80"
    with api.unchanged(Conflict, message):
        api.create(Listener, loadbalancer_id=balancer, protocol="TCP", protocol_port=80)
    api.delete(Listener, ids["listeners"])
    api.create(Listener, loadbalancer_id=balancer, protocol="TCP", protocol_port=80)


def test_addresses_are_taken_whatever_their_spelling(api: Api, ids: dict[str, str]) -> None:
    pool = ids["pools"]
    with api.unchanged(
        Conflict, "Another member on this pool is already using ip 192.0.2.1 on protocol_port 80"
    ):
        api.create(Member, pool, address="192.0.2.1", protocol_port=80)
    api.create(Member, pool, address="192.0.2.1", protocol_port=81)
    api.delete(Member, ids["members"], pool)
    api.create(Member, pool, address="192.0.2.1", protocol_port=80)
    api.create(Member, pool, address="2001:db8::1", protocol_port=80)
    message = "Another member on this pool is already using ip 2001:DB8:0::1 on protocol_port 80"
    with api.unchanged(Conflict, message):
        api.create(Member, pool, address="2001:DB8:0::1", protocol_port=80)


def test_a_pool_has_one_monitor(api: Api, ids: dict[str, str]) -> None:
    with api.unchanged(Conflict, "This pool already has a health monitor"):
        api.create(HealthMonitor, pool_id=ids["pools"], **MONITOR)
    api.delete(HealthMonitor, ids["health_monitors"])
    api.create(HealthMonitor, pool_id=ids["pools"], **MONITOR)


# --- refusals


def refused(api: Api, ids: dict[str, str]) -> dict[str, tuple[Any, type, str]]:
    balancer, pool, listener = ids["load_balancers"], ids["pools"], ids["listeners"]
    web = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    member = {"address": "192.0.2.3", "protocol_port": 80}
    bad = "Invalid input for field/attribute"
    return {
        "listener: unknown load balancer": (lambda: api.create(Listener, loadbalancer_id=NOBODY, protocol="TCP", protocol_port=1), NotFound, f"Load Balancer {NOBODY} not found."),
        "listener: no load balancer": (lambda: api.create(Listener, protocol="TCP", protocol_port=1), Invalid, f"{bad} loadbalancer_id. Value: 'None'. Mandatory field missing."),
        "listener: unknown pool": (lambda: api.create(Listener, loadbalancer_id=balancer, protocol="HTTP", protocol_port=1, default_pool_id=NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "listener: pool does not fit": (lambda: api.create(Listener, loadbalancer_id=balancer, protocol="HTTPS", protocol_port=1, default_pool_id=pool), Invalid, "Validation failure: The pool protocol 'HTTP' is invalid while the listener protocol is 'HTTPS'."),
        "listener: policies": (lambda: api.create(Listener, loadbalancer_id=balancer, protocol="HTTP", protocol_port=1, l7policies=[{}]), Invalid, bad + " l7policies. Value: '[{}]'. Nested objects are only for the creation of a fully populated load balancer."),
        "listener: nested pool": (lambda: api.create(Listener, loadbalancer_id=balancer, protocol="HTTP", protocol_port=1, default_pool={"name": "x"}), Invalid, bad + " default_pool. Value: '{'name': 'x'}'. Nested objects are only for the creation of a fully populated load balancer."),
        "listener: unknown": (lambda: api.update(Listener, NOBODY), NotFound, f"Listener {NOBODY} not found."),
        "listener: PUT of unknown pool": (lambda: api.update(Listener, listener, default_pool_id=NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "listener: PUT of its protocol": (lambda: api.update(Listener, listener, protocol="TCP"), Invalid, "Unknown attribute for argument listener_.listener: protocol"),
        "pool: neither": (lambda: api.create(Pool, **web), Invalid, "Validation failure: Must provide at least one of: loadbalancer_id, listener_id"),
        "pool: unknown listener": (lambda: api.create(Pool, listener_id=NOBODY, **web), NotFound, f"Listener {NOBODY} not found."),
        "pool: unknown load balancer": (lambda: api.create(Pool, loadbalancer_id=NOBODY, **web), NotFound, f"Load Balancer {NOBODY} not found."),
        "pool: does not fit": (lambda: api.create(Pool, listener_id=listener, protocol="TCP", lb_algorithm="ROUND_ROBIN"), Invalid, "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."),
        "pool: second default": (lambda: api.create(Pool, listener_id=listener, **web), Conflict, "This listener already has a default pool"),
        "pool: nested members": (lambda: api.create(Pool, loadbalancer_id=balancer, members=[member], **web), Invalid, bad + " members. Value: '[{'address': '192.0.2.3', 'protocol_port': 80}]'. Nested objects are only for the creation of a fully populated load balancer."),
        "pool: unknown": (lambda: api.delete(Pool, NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "pool: no id": (lambda: api.delete(Pool, "a\0b"), NotFound, "Pool a\\x00b not found."),
        "member: unknown pool": (lambda: api.create(Member, NOBODY, **member), NotFound, f"Pool {NOBODY} not found."),
        "member: unknown subnet": (lambda: api.create(Member, pool, subnet_id=NOBODY, **member), Invalid, f"Subnet {NOBODY} not found."),
        "member: unknown subnet and pool": (lambda: api.create(Member, NOBODY, subnet_id=NOBODY, **member), NotFound, f"Pool {NOBODY} not found."),
        "member: reserved": (lambda: api.create(Member, pool, address="169.254.169.254", protocol_port=80), Invalid, "169.254.169.254 is not a valid option for member address"),
        "member: SR-IOV": (lambda: api.create(Member, pool, request_sriov=True, **member), Invalid, "The load balancer flavor does not allow SR-IOV member ports."),
        "member: unknown": (lambda: api.update(Member, NOBODY, pool), NotFound, f"Member {NOBODY} not found."),
        "member: of no pool": (lambda: api.update(Member, ids["members"], NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "monitor: unknown pool": (lambda: api.create(HealthMonitor, pool_id=NOBODY, **MONITOR), NotFound, f"Pool {NOBODY} not found."),
        "monitor: does not fit": (lambda: api.create(HealthMonitor, pool_id=pool, **{**MONITOR, "type": "UDP-CONNECT"}), Invalid, "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP."),
        "monitor: PUT null": (lambda: api.update(HealthMonitor, ids["health_monitors"], delay=None), Invalid, f"{bad} delay. Value: 'None'. null is not allowed here."),
        "monitor: unknown": (lambda: api.delete(HealthMonitor, NOBODY), NotFound, f"Health Monitor {NOBODY} not found."),
        "load balancer: unknown": (lambda: api.update(LoadBalancer, NOBODY), NotFound, f"Load Balancer {NOBODY} not found."),
        "load balancer: has children": (lambda: api.delete(LoadBalancer, balancer), Invalid, f"Validation failure: Cannot delete Load Balancer {balancer} - it has children"),
        "load balancer: PUT of the VIP": (lambda: api.update(LoadBalancer, balancer, vip_address="192.0.2.1"), Invalid, "Unknown attribute for argument load_balancer.loadbalancer: vip_address"),
        "load balancer: PUT of QoS without any": (lambda: api.update(LoadBalancer, balancer, vip_qos_policy_id=NOBODY), Invalid, "Validation failure: VIP QoS policy is not allowed in this deployment."),
    }  # fmt: skip


@pytest.mark.parametrize("case", list(refused(None, dict.fromkeys(
    ("load_balancers", "listeners", "pools", "members", "health_monitors"), ""))))  # type: ignore[arg-type]  # fmt: skip
def test_a_refused_request_says_why_and_changes_nothing(api: Api, ids: dict[str, str], case: str) -> None:
    request, error, message = refused(api, ids)[case]
    with api.unchanged(error, message):
        request()


def test_objects_of_another_load_balancer_are_not_found(api: Api, ids: dict[str, str]) -> None:
    other = everything(api)
    with api.unchanged(NotFound, f"Pool {other['pools']} not found."):
        api.update(Listener, ids["listeners"], default_pool_id=other["pools"])
    with api.unchanged(NotFound, f"Listener {other['listeners']} not found."):
        api.create(
            Pool, loadbalancer_id=ids["load_balancers"], listener_id=other["listeners"],
            protocol="HTTP", lb_algorithm="ROUND_ROBIN",
        )  # fmt: skip
    with api.unchanged(NotFound, f"Member {other['members']} not found."):
        api.update(Member, other["members"], ids["pools"])


@pytest.mark.parametrize("body", [None, [], "x", 3])
@pytest.mark.parametrize("resource", [LoadBalancer, Listener, Pool, Member, HealthMonitor])
def test_a_body_is_an_object(api: Api, ids: dict[str, str], resource: type, body: object) -> None:
    from hydria.api import writing

    message = f"Invalid input for field/attribute {resource.root}. Value: '{body}'. Expected an object."
    parent = ids["pools"] if resource is Member else None
    with api.unchanged(Invalid, message):
        writing.create(api.call, resource, body, parent)
    with api.unchanged(Invalid, message):
        writing.update(api.call, resource, ids[resource.table], body, parent)


# --- the provider


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (exceptions.DriverError(user_fault_string="no"), ProviderFailed, "Provider 'third' reports error: no"),
        (exceptions.UnsupportedOptionError(user_fault_string="no"), Unsupported, "Provider 'third' does not support a requested option: no"),
        (exceptions.NotImplementedError(user_fault_string="no"), Unsupported, "Provider 'third' does not support a requested action: no"),
        (RuntimeError("no"), ProviderFailed, "Provider 'third' reports error: no"),
        (
            RuntimeError("GET https://admin:pw@box.example.net/v1?token=t"),
            ProviderFailed,
            "Provider 'third' reports error: GET https://…/v1",
        ),
    ],
)  # fmt: skip
def test_what_the_provider_refuses_is_rolled_back(
    tmp_path: Path, raised: Exception, error: type, message: str
) -> None:
    from hydria.providers.registry import Unimplemented

    api = Api(new_store(tmp_path), provider="third")
    ids = everything(api)
    api.third.error = raised
    if isinstance(raised, exceptions.NotImplementedError):
        error = Unimplemented
    for request in (
        lambda: api.create(LoadBalancer),
        lambda: api.update(LoadBalancer, ids["load_balancers"], name="n", tags=["t"]),
        lambda: api.delete(LoadBalancer, ids["load_balancers"], cascade=True),
        lambda: api.create(
            Pool, loadbalancer_id=ids["load_balancers"], protocol="TCP", lb_algorithm="SOURCE_IP"
        ),
        lambda: api.delete(Pool, ids["pools"]),
        lambda: api.create(Member, ids["pools"], address="192.0.2.3", protocol_port=80),
        lambda: api.update(HealthMonitor, ids["health_monitors"], delay=9),
        lambda: api.batch(ids["pools"], {"address": "192.0.2.8", "protocol_port": 80}),
    ):
        with api.unchanged(error, message, taken_back=True):
            request()


def test_the_provider_gets_octavia_libs_objects(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="third")
    ids = everything(api)
    method, (made,) = api.third.calls.pop()
    assert method == "loadbalancer_create"
    assert isinstance(made, data_models.LoadBalancer)
    assert made.loadbalancer_id == ids["load_balancers"]
    assert made.vip_address == "198.51.100.1"
    assert [member.address for member in made.pools[0].members] == ["192.0.2.1", "192.0.2.2"]
    assert made.pools[0].healthmonitor.healthmonitor_id == ids["health_monitors"]
    assert made.listeners[0].default_pool.pool_id == made.listeners[0].default_pool_id == ids["pools"]
    assert made.flavor is data_models.Unset

    api.create(Member, ids["pools"], address="192.0.2.3", protocol_port=80, weight=0)
    method, (member,) = api.third.calls.pop()
    assert (method, member.pool_id, member.weight, member.backup) == ("member_create", ids["pools"], 0, False)
    assert (member.vnic_type, member.subnet_id, member.project_id) == ("normal", None, PROJECT)

    api.apply()
    api.update(Listener, ids["listeners"], name="n", default_pool_id=None)
    method, (old, new) = api.third.calls.pop()
    assert (method, old.protocol, old.default_pool_id) == ("listener_update", "HTTP", ids["pools"])
    assert type(old.protocol) is str
    assert new.to_dict() == {"listener_id": ids["listeners"], "name": "n", "default_pool_id": None}

    api.apply()
    api.delete(Pool, ids["pools"])
    method, (pool,) = api.third.calls.pop()
    assert (method, len(pool.members), pool.healthmonitor.type) == ("pool_delete", 3, "HTTP")

    api.apply()
    api.delete(LoadBalancer, ids["load_balancers"], cascade=True)
    method, (balancer, cascade) = api.third.calls.pop()
    assert (method, balancer.loadbalancer_id, cascade) == ("loadbalancer_delete", ids["load_balancers"], True)
    assert [listener.listener_id for listener in balancer.listeners] == [ids["listeners"]]


@pytest.mark.parametrize(
    ("versions", "why"),
    [
        (["TLSv1.2", "SSLv3"], "SSLv3 in tls_versions: distributions build OpenSSL without it."),
        (
            ["TLSv1.1", "TLSv1.3"],
            (
                "tls_versions TLSv1.1, TLSv1.3: HAProxy speaks a range of versions, and would leave out those "
                "below the gap."
            ),
        ),
    ],
)
def test_versions_of_tls_that_amphorae_do_not_speak(
    api: Api, ids: dict[str, str], versions: list[str], why: str
) -> None:
    refusal = f"Provider 'amphora' does not support a requested option: {why}"
    settings = {"tls_versions": versions, "tls_ciphers": "HIGH"}
    own = {"loadbalancer_id": ids["load_balancers"]}
    front = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "local:a"}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": True}
    with api.unchanged(Unsupported, refusal):
        api.create(Listener, **own, **front, **settings)
    with api.unchanged(Unsupported, refusal):
        api.create(Pool, **own, **pool, **settings)
    with api.unchanged(Unsupported, refusal):
        api.update(Pool, ids["pools"], **settings)
    with api.unchanged(Unsupported, refusal):
        api.update(Listener, ids["listeners"], **settings)
    for nested in ({"listeners": [{**front, **settings}]}, {"pools": [{"name": "p", **pool, **settings}]}):
        with api.unchanged(Unsupported, refusal):
            api.create(LoadBalancer, **nested)
    assert api.create(Listener, **own, **front, tls_versions=["TLSv1.1", "TLSv1.2"], tls_ciphers="HIGH")
