"""What providers report through octavia-lib's DriverLibrary, and look up, on every database."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from octavia_lib.api.drivers import data_models, driver_lib, exceptions

from hydria.driver_agent.program import DriverAgent
from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.settings import DriverAgentSettings
from hydria.store import Store, totals
from tests.unit.api_writing import Api, everything

UNKNOWN = "00000000-0000-4000-8000-000000000000"
COUNTED = {
    "active_connections": 3,
    "bytes_in": 10,
    "bytes_out": 2**40,
    "request_errors": 1,
    "total_connections": 9,
}


@pytest.fixture
def api(store: Store) -> Api:
    return Api(store, provider="third")


@pytest.fixture
def library(api: Api, tmp_path: Path) -> Iterator[driver_lib.DriverLibrary]:
    paths = {f"{name}_socket_path": str(tmp_path / f"{name}.sock") for name in ("status", "stats", "get")}
    agent = DriverAgent(
        replace(api.settings, driver_agent=DriverAgentSettings(**paths)), api.store, api.network
    )
    agent.start()
    try:
        yield driver_lib.DriverLibrary(*paths.values())
    finally:
        agent.stop()


def refusal(report: Callable[[dict[str, Any]], None], given: dict[str, Any]) -> Any:
    with pytest.raises((exceptions.UpdateStatusError, exceptions.UpdateStatisticsError)) as raised:
        report(given)
    return raised.value


def statuses(api: Api) -> dict[str, str]:
    return {table: "+".join(found) for table, found in api.statuses().items() if found}


def test_a_tree_becomes_active_as_its_provider_says(api: Api, library: driver_lib.DriverLibrary) -> None:
    made = everything_pending(api)
    library.update_loadbalancer_status(active(made))
    assert set(statuses(api).values()) == {"ACTIVE", "ACTIVE+ACTIVE"}
    assert not any(
        item.fault for resource in (LoadBalancer, Listener, Pool, Member) for item in api.all(resource)
    )
    balancer = api.get(LoadBalancer, made["id"])
    assert (balancer.operating_status, balancer.provisioning_status) == ("ONLINE", "ACTIVE")
    assert {member.operating_status for member in api.all(Member)} == {"ONLINE"}
    everything = [*api.all(LoadBalancer), *api.all(Listener), *api.all(Pool), *api.all(Member)]
    assert all(item.updated_at and item.been_active for item in everything)
    library.update_loadbalancer_status(active(made))
    again = [*api.all(LoadBalancer), *api.all(Listener), *api.all(Pool), *api.all(Member)]
    assert again == everything, "what is reported again is no change"


def test_error_opens_the_lock_for_the_deletion(api: Api, library: driver_lib.DriverLibrary) -> None:
    made = everything_pending(api)
    library.update_loadbalancer_status(
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "ERROR", "operating_status": "ERROR"}]}
    )
    failed = api.get(LoadBalancer, made["id"])
    assert (failed.provisioning_status, failed.fault) == ("ERROR", "The provider has reported ERROR.")
    assert failed.fault_since is not None
    api.delete(LoadBalancer, made["id"], cascade=True)
    assert list(api.network.ports())
    library.update_loadbalancer_status(
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "DELETED"}]}
    )
    assert statuses(api) == {"load_balancers": "DELETED"}
    assert list(api.network.ports()) == []
    assert api.dump()["tags"] == []
    # Said twice, it is no news.
    library.update_loadbalancer_status(
        {
            "members": [{"id": made["pools"][0]["members"][0]["id"], "provisioning_status": "DELETED"}],
            "loadbalancers": [{"id": made["id"], "provisioning_status": "DELETED"}],
        }
    )


def test_a_port_that_the_user_brought_stays(api: Api, library: driver_lib.DriverLibrary) -> None:
    network = next(iter(api.network.networks()))
    port = api.network.add_port(network, (network.subnet_ids[0], "198.51.100.77"))  # type: ignore[attr-defined]  # the fake
    made = api.create(LoadBalancer, vip_port_id=port.id)
    library.update_loadbalancer_status(
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "ACTIVE"}]}
    )
    api.delete(LoadBalancer, made["id"])
    library.update_loadbalancer_status(
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "DELETED"}]}
    )
    assert [each.id for each in api.network.ports()] == [port.id]


def test_a_deleted_pool_takes_along_what_hangs_on_it(api: Api, library: driver_lib.DriverLibrary) -> None:
    ids = everything(api, tags=["t"])
    api.delete(Pool, ids["pools"])
    library.update_loadbalancer_status(
        {
            "pools": [{"id": ids["pools"], "provisioning_status": "DELETED"}],
            "listeners": [{"id": ids["listeners"], "provisioning_status": "ACTIVE"}],
            "loadbalancers": [{"id": ids["load_balancers"], "provisioning_status": "ACTIVE"}],
        }
    )
    assert statuses(api) == {"load_balancers": "ACTIVE", "listeners": "ACTIVE"}
    assert api.get(Listener, ids["listeners"]).default_pool_id is None
    api.create(Pool, listener_id=ids["listeners"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")


def test_a_member_goes_alone(api: Api, library: driver_lib.DriverLibrary) -> None:
    ids = everything(api)
    api.delete(Member, ids["members"], ids["pools"])
    library.update_loadbalancer_status(
        {
            "members": [{"id": ids["members"], "provisioning_status": "DELETED"}],
            "healthmonitors": [{"id": ids["health_monitors"], "operating_status": "ONLINE"}],
            "loadbalancers": [{"id": ids["load_balancers"], "provisioning_status": "ACTIVE"}],
        }
    )
    assert len(api.all(Member)) == 1


def test_what_could_not_be_deleted_stays_and_keeps_its_place(
    api: Api, library: driver_lib.DriverLibrary
) -> None:
    ids = everything(api)
    api.delete(Listener, ids["listeners"])
    library.update_loadbalancer_status(
        {
            "listeners": [{"id": ids["listeners"], "provisioning_status": "ERROR"}],
            "loadbalancers": [{"id": ids["load_balancers"], "provisioning_status": "ACTIVE"}],
        }
    )
    with pytest.raises(Exception, match="Another Listener on this Load Balancer"):
        api.create(Listener, loadbalancer_id=ids["load_balancers"], protocol="HTTP", protocol_port=80)

    api.delete(Listener, ids["listeners"])
    library.update_loadbalancer_status(
        {"loadbalancers": [{"id": ids["load_balancers"], "provisioning_status": "ACTIVE"}]}
    )
    api.create(Listener, loadbalancer_id=ids["load_balancers"], protocol="HTTP", protocol_port=80)
    fault = refusal(
        library.update_loadbalancer_status,
        {"listeners": [{"id": ids["listeners"], "provisioning_status": "ACTIVE"}]},
    )
    assert "another one has taken its place" in fault.fault_string


@pytest.mark.parametrize(
    ("words", "record", "text"),
    [
        ("pools", {"id": UNKNOWN, "provisioning_status": "ACTIVE"}, f"Pool {UNKNOWN} not found."),
        ("members", {"id": "\x00'; --", "operating_status": "ONLINE"}, "Member \\x00'; -- not found."),
        ("listeners", {"id": "L", "provisioning_status": "PENDING_UPDATE"}, "cannot be reported"),
        ("listeners", {"id": "L", "provisioning_status": ["ACTIVE"]}, "cannot be reported"),
        ("listeners", {"id": "L", "operating_status": "FINE"}, "cannot be reported"),
        ("listeners", {"provisioning_status": "ACTIVE"}, "has no id"),
        ("listeners", ["L"], "is not an object"),
    ],
)
def test_a_report_that_cannot_be_recorded_changes_nothing(
    api: Api, library: driver_lib.DriverLibrary, words: str, record: Any, text: str
) -> None:
    made = everything_pending(api)
    if isinstance(record, dict) and record.get("id") == "L":
        record = record | {"id": made["listeners"][0]["id"]}
    before = api.dump()
    report = active(made)
    fault = refusal(library.update_loadbalancer_status, report | {words: [*report[words], record]})
    assert text in fault.fault_string
    assert fault.status_object == words
    assert api.dump() == before


@pytest.mark.parametrize("name", ["amphora", "noop_driver"])
def test_what_reports_otherwise_is_left_alone(api: Api, library: driver_lib.DriverLibrary, name: str) -> None:
    ids = everything(api, provider=name)
    before, ports = api.dump(), list(api.network.ports())
    for words, key in (("loadbalancers", "load_balancers"), ("pools", "pools")):
        for status in ("ACTIVE", "ERROR", "DELETED"):
            fault = refusal(
                library.update_loadbalancer_status, {words: [{"id": ids[key], "provisioning_status": status}]}
            )
            assert fault.status_object_id == ids[key]
            assert f"belongs to the provider '{name}'" in fault.fault_string
    fault = refusal(library.update_listener_statistics, {"listeners": [{"id": ids["listeners"], **COUNTED}]})
    assert (fault.stats_object, fault.stats_object_id) == ("listeners", ids["listeners"])
    assert api.dump() == before
    assert list(api.network.ports()) == ports


def test_statistics_are_absolute(api: Api, library: driver_lib.DriverLibrary) -> None:
    ids = everything(api)
    for factor in (1, 3, 2):
        counted = {name: factor * value for name, value in COUNTED.items()}
        library.update_listener_statistics({"listeners": [{"id": ids["listeners"], **counted}]})
        with api.store.read() as tx:
            assert totals.of_listener(tx, ids["listeners"]) == counted
            assert totals.of_load_balancer(tx, ids["load_balancers"]) == counted


@pytest.mark.parametrize(
    "wrong", [{"bytes_in": -1}, {"bytes_in": "1"}, {"bytes_in": None}, {"bytes_in": 2**63}, {"id": UNKNOWN}]
)
def test_statistics_that_cannot_be_recorded_change_nothing(
    api: Api, library: driver_lib.DriverLibrary, wrong: dict[str, Any]
) -> None:
    ids = everything(api)
    before = api.dump()
    good = {"id": ids["listeners"], **COUNTED}
    fault = refusal(library.update_listener_statistics, {"listeners": [good, good | wrong]})
    assert fault.stats_object == "listeners"
    assert fault.stats_object_id == wrong.get("id", ids["listeners"])
    assert api.dump() == before


def test_look_ups_are_the_library_s_own_objects(api: Api, library: driver_lib.DriverLibrary) -> None:
    ids = everything(api)
    balancer = library.get_loadbalancer(ids["load_balancers"])
    assert isinstance(balancer, data_models.LoadBalancer)
    assert balancer.loadbalancer_id == ids["load_balancers"]
    assert balancer.vip_address == api.get(LoadBalancer, ids["load_balancers"]).vip_address
    (listener,) = balancer.listeners
    assert listener["default_pool"]["pool_id"] == ids["pools"]
    assert len(balancer.pools[0]["members"]) == 2
    assert library.get_listener(ids["listeners"]).default_pool["healthmonitor"]["delay"] == 5
    pool = library.get_pool(ids["pools"])
    assert [member["address"] for member in pool.members] == ["192.0.2.1", "192.0.2.2"]
    assert library.get_member(ids["members"]).pool_id == ids["pools"]
    assert library.get_healthmonitor(ids["health_monitors"]).type == "HTTP"
    for look in (library.get_loadbalancer, library.get_listener, library.get_pool, library.get_member):
        assert look(UNKNOWN) is None
        assert look("no id") is None


def test_a_load_balancer_is_looked_up_with_what_its_flavor_and_zone_say(
    api: Api, library: driver_lib.DriverLibrary
) -> None:
    said = {"flavor_data": '{"a": [1]}', "availability_zone_data": '{"b": "c"}'}
    profiles = [
        api.create(kind, name="p", provider_name="noop_driver", **{kind.data_field: said[kind.data_field]})[
            "id"
        ]
        for kind in (FlavorProfile, AvailabilityZoneProfile)
    ]
    gold = api.create(Flavor, name="gold", flavor_profile_id=profiles[0])["id"]
    api.create(AvailabilityZone, name="west", availability_zone_profile_id=profiles[1])
    made = api.create(LoadBalancer, flavor_id=gold, availability_zone="west")["id"]
    found = library.get_loadbalancer(made)
    assert (found.flavor, found.availability_zone) == ({"a": [1]}, {"b": "c"})


def test_a_look_up_that_fails_is_no_absence(api: Api, library: driver_lib.DriverLibrary) -> None:
    with pytest.raises(exceptions.DriverError):
        library._get_resource("castles", UNKNOWN)


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe", b"[]", b"null", b'"x"', b"{", b'{"listeners": 7}', b"[" * 50_000]
)
def test_garbage_is_refused(api: Api, library: driver_lib.DriverLibrary, garbage: bytes) -> None:
    for path in (library.status_socket, library.stats_socket):
        answer = json.loads(converse(path, garbage).partition(b"\n")[2])
        assert answer["status_code"] == 500
    assert converse(library.get_socket, garbage) == b"failed\n"


def test_reports_about_one_load_balancer_at_once_are_all_written(
    api: Api, library: driver_lib.DriverLibrary
) -> None:
    made = everything_pending(api)
    everything_at_once = active(made)
    parts = [{words: [record]} for words, listed in everything_at_once.items() for record in listed] * 3
    faults: list[Exception] = []

    def report(part: dict[str, Any]) -> None:
        try:
            library.update_loadbalancer_status(part)
        except exceptions.UpdateStatusError as error:
            faults.append(error)

    threads = [threading.Thread(target=report, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(statuses(api).values()) == {"ACTIVE", "ACTIVE+ACTIVE"}


def everything_pending(api: Api) -> dict[str, Any]:
    from tests.unit.api_writing import GRAPH

    return api.create(LoadBalancer, **GRAPH, tags=["t"])


def active(made: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What a provider says when all is well."""
    pool = made["pools"][0]
    ids = {
        "loadbalancers": [made["id"]],
        "listeners": [made["listeners"][0]["id"]],
        "pools": [pool["id"]],
        "members": [member["id"] for member in pool["members"]],
        "healthmonitors": [pool["healthmonitor"]["id"]],
    }
    return {
        words: [
            {"id": each, "provisioning_status": "ACTIVE", "operating_status": "ONLINE"} for each in listed
        ]
        for words, listed in ids.items()
    }


def converse(path: str, body: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(b"%d\n%s" % (len(body), body))
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received
