"""What becomes of load balancers is told after the commit, in Octavia's words; and nothing where nobody wants it."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from octavia_lib.api.drivers import data_models
from oslo_messaging.notify import _impl_test

from hydria import notifications
from hydria.api.writing.amphora import failover_load_balancer
from hydria.health_manager.evaluator import correct
from hydria.model.amphora import Amphora
from hydria.model.errors import Refused, Unavailable
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import name_of
from hydria.notifications import outbox as outbox_module
from hydria.notifications import payloads
from hydria.notifications.outbox import Outbox
from hydria.notifications.payloads import Notification
from hydria.providers import objects
from hydria.settings import NotificationSettings, Settings, WorkerSettings
from hydria.store import events
from hydria.store.events import Event, What
from hydria.store.tables import RESOURCES
from hydria.testing import trees as make
from hydria.wire.heartbeat import Report
from tests.databases import new_store
from tests.unit.api_reading import MAKERS
from tests.unit.api_writing import GRAPH, Api, everything
from tests.unit.test_worker_converger import Bench, bench, pending_pool

__all__ = ["bench"]  # a fixture


class Told:
    """What a store's observer was told, as notifications."""

    def __init__(self, store: Any) -> None:
        self.notices: list[Notification] = []
        store.observe(lambda found: self.notices.extend(map(payloads.notification, found)))

    @property
    def types(self) -> list[str]:
        found = [notice.event_type.removeprefix("octavia.") for notice in self.notices]
        self.notices = []
        return found

    def one(self, event_type: str) -> Notification:
        (found,) = [notice for notice in self.notices if notice.event_type == f"octavia.{event_type}"]
        return found


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


def without_statuses(types: list[str]) -> list[str]:
    return [name for name in types if not name.endswith("status.update")]


def test_the_life_of_everything(api: Api) -> None:
    told = Told(api.store)
    ids = everything(api)
    started = [
        f"{name}.create.start" for name in ("loadbalancer", "pool", "listener", "member", "healthmonitor")
    ]
    ended = [f"{name}.create.end" for name in ("healthmonitor", "member", "pool", "listener", "loadbalancer")]
    types = without_statuses(told.types)
    assert list(dict.fromkeys(types)) == started + ended
    assert types.count("member.create.end") == 2
    api.update(Listener, ids["listeners"], name="new")
    assert told.types == ["listener.update.start", "listener.status.update", "loadbalancer.status.update"]
    api.apply()
    assert told.types == ["listener.update.end", "listener.status.update", "loadbalancer.status.update"]
    api.delete(Member, ids["members"], ids["pools"])
    assert without_statuses(told.types) == ["member.delete.start"]
    api.apply()
    assert without_statuses(told.types) == ["member.delete.end", "pool.update.end", "listener.update.end"]
    api.delete(LoadBalancer, ids["load_balancers"], cascade=True)
    assert told.types == ["loadbalancer.delete.start", "loadbalancer.status.update"]
    api.apply()
    gone = without_statuses(told.types)
    assert sorted(gone) == [
        f"{name}.delete.end" for name in ("healthmonitor", "listener", "loadbalancer", "member", "pool")
    ]
    assert gone[-1] == "loadbalancer.delete.end"


def test_octavias_own_three_have_octavias_payload(api: Api) -> None:
    """To the letter what octavia-lib makes of the load balancer; updates of what is below it are not its own."""
    told = Told(api.store)
    made = api.create(LoadBalancer, **GRAPH)

    def expected() -> dict[str, Any]:
        return objects.of(api.get(LoadBalancer, made["id"])).to_dict()

    api.apply()
    payload = told.one("loadbalancer.create.end").payload
    assert payload == expected()
    assert set(payload) == {
        "loadbalancer_id", "project_id", "name", "description", "admin_state_up", "vip_address", "vip_port_id",
        "vip_subnet_id", "vip_network_id", "vip_qos_policy_id",
    }  # fmt: skip
    told.notices.clear()
    api.update(Pool, made["pools"][0]["id"], name="other")
    api.apply()
    assert "loadbalancer.update.end" not in told.types
    api.update(LoadBalancer, made["id"], name="new")
    api.update(Pool, made["pools"][0]["id"], name="another")
    assert "loadbalancer.update.start" in told.types
    api.apply()
    assert told.one("loadbalancer.update.end").payload == expected() | {"name": "new"}
    api.delete(LoadBalancer, made["id"], cascade=True)
    api.apply()
    assert told.one("loadbalancer.delete.end").payload == expected()


def test_a_provider_that_is_done_at_once_tells_both_in_one(api: Api) -> None:
    told = Told(api.store)
    api.create(LoadBalancer, provider="noop_driver")
    assert told.types == [
        "loadbalancer.create.start",
        "loadbalancer.create.end",
        "loadbalancer.status.update",
    ]


def test_what_is_refused_tells_nothing(api: Api) -> None:
    ids = everything(api)
    told = Told(api.store)
    with pytest.raises(Exception, match="already using protocol"):
        api.create(Listener, loadbalancer_id=ids["load_balancers"], protocol="HTTP", protocol_port=80)

    def work(tx: Any) -> None:
        events.note(tx, make.pool(), What.CREATE_START)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        api.store.transact(work)
    api.store.transact(lambda tx: None)
    assert told.types == []


def test_a_member_of_a_batch_is_told_of_by_its_id(api: Api) -> None:
    ids = everything(api)
    told = Told(api.store)
    api.batch(ids["pools"], {"address": "192.0.2.1", "protocol_port": 80, "weight": 7}, {"address": "192.0.2.9", "protocol_port": 1})  # fmt: skip
    assert told.one("member.update.start").payload["weight"] == 7
    assert told.one("member.create.start").payload["address"] == "192.0.2.9"
    gone = told.one("member.delete.start")
    assert gone.payload["id"] in {member.id for member in api.all(Member)}
    assert told.one("pool.status.update").payload == {
        "id": ids["pools"], "provisioning_status": "PENDING_UPDATE", "project_id": "p1",
        "loadbalancer_id": ids["load_balancers"],
    }  # fmt: skip


def test_a_pass_that_fails_and_one_that_repairs(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool, request_id="req-1")
    told = Told(bench.store)
    bench.agent.fails = Refused("no")
    bench.converger.converge(balancer_id)
    notice = told.one("pool.create.error")
    assert notice.priority == "error"
    assert notice.request_id == "req-1"
    (pool,) = bench.tree(balancer_id).pools
    assert notice.payload["fault"] == {
        "message": "no", "since": pool.fault_since.isoformat(timespec="seconds"),
    }  # fmt: skip
    assert told.one("loadbalancer.create.error").payload["loadbalancer_id"] == balancer_id
    told.notices.clear()
    bench.wait_for_retry(balancer_id)
    bench.converger.converge(balancer_id)
    assert [name for name in told.types if "amphora" not in name] == [], "it is in ERROR as before"
    bench.agent.fails = None
    bench.wait_for_retry(balancer_id)
    bench.converger.converge(balancer_id)
    assert [name for name in without_statuses(told.types) if "amphora" not in name] == [
        "pool.create.end", "loadbalancer.create.end",
    ]  # fmt: skip


def test_what_has_changed_meanwhile_is_not_told_to_be_done(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    told = Told(bench.store)
    changed: list[str] = []

    def meanwhile() -> None:
        bench.agent.during = lambda: None
        bench.touch(balancer_id)
        changed.extend(told.types)

    bench.agent.during = meanwhile
    bench.converger.converge(balancer_id)
    types = told.types
    assert types.count("loadbalancer.create.end") == 1, "once all of it is"
    assert types.index("pool.create.end") < types.index("loadbalancer.create.end")


def test_a_failover_and_its_amphorae(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (amphora,) = bench.amphorae(balancer_id)
    told = Told(bench.store)

    def give_up(tx: Any) -> None:
        from hydria.model.statuses import AmphoraStatus
        from hydria.store import amphorae, changes

        amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR)
        changes.touch(tx, changes.lock(tx, balancer_id))

    bench.store.transact(give_up)
    assert told.one("amphora.status.update").payload["status"] == "ERROR"
    bench.converger.converge(balancer_id)
    types = told.types
    assert types.index("amphora.create.start") < types.index("amphora.create.end")
    assert types.index("amphora.create.end") < types.index("loadbalancer.failover.end")
    assert "amphora.delete.end" in types


def test_a_failover_that_was_asked_for(api: Api) -> None:
    made = api.create(LoadBalancer)
    api.apply()
    told = Told(api.store)
    failover_load_balancer(api.call, made["id"])
    assert told.one("loadbalancer.failover.start").payload["loadbalancer_id"] == made["id"]


def test_operating_statuses(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (amphora,) = bench.amphorae(balancer_id)
    told = Told(bench.store)
    report = Report(amphora.id, 1, 1, generation=1, haproxy=True)
    bench.store.transact(lambda tx: correct(tx, balancer_id, report))
    project_id = bench.tree(balancer_id).load_balancer.project_id
    assert told.one("loadbalancer.status.update").payload == {
        "id": balancer_id, "loadbalancer_id": balancer_id, "project_id": project_id, "operating_status": "ONLINE",
    }  # fmt: skip


# --- payloads


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.root)
def test_payloads_are_plain_documented_and_without_secrets(resource: Any) -> None:
    event = Event(resource, What.UPDATE_START, "x", MAKERS[resource](), {}, "lb", "p")
    payload = payloads.notification(event).payload
    assert set(payload) <= set(payloads.keys(resource))
    assert msgspec.json.decode(msgspec.json.encode(payload)) == payload
    assert not [key for key in payload if "data" in key or "private" in key or "passphrase" in key]


def test_certificates_that_a_provider_gets_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        objects,
        "of",
        lambda _item: data_models.Listener(default_tls_container_data={"private_key": "SECRET"}),
    )
    assert payloads.provider_dict(make.listener(), nested=True) == {}


def test_every_type_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert payloads.name(LoadBalancer) == "loadbalancer"
    assert payloads.name(Amphora) == "amphora"
    for resource in RESOURCES:
        key = objects.key_of(resource)
        assert payloads.name(resource) == (name_of(resource) if key is None else key.removesuffix("_id"))
    assert len({payloads.name(resource) for resource in RESOURCES}) == len(RESOURCES)


# --- sending


def await_that(reached: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def event(number: int) -> Event:
    return Event(Pool, What.STATUS, str(number), None, {})


def test_a_bus_that_hangs_keeps_nobody_waiting_and_nothing_gets_out_of_order(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_WAITING", 100)
    free, sent = threading.Event(), []

    def send(notice: Notification) -> None:
        free.wait(10)
        sent.append(int(str(notice.payload["id"])))

    outbox = Outbox(send)
    began = time.monotonic()
    outbox.put([event(0)])
    await_that(lambda: not outbox._waiting)
    for number in range(1, 1001, 10):
        outbox.put([event(number + each) for each in range(10)])
    assert time.monotonic() - began < 5  # it hangs for ten
    free.set()
    outbox.put([])
    await_that(lambda: len(sent) == 101)
    assert sent == list(range(101)), "the oldest stay, the newest are dropped"
    assert "new ones are dropped" in caplog.text
    outbox.put([event(5000)])
    await_that(lambda: sent[-1] == 5000)
    assert "900 notifications were dropped" in caplog.text
    outbox.close()


def test_what_cannot_be_sent_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sent = []

    def send(notice: Notification) -> None:
        if notice.payload["id"] == "1":
            raise OSError("no")
        sent.append(notice.payload["id"])

    outbox = Outbox(send)
    outbox.put([event(1), event(2)])
    outbox.close()
    assert sent == ["2"], "the end waits for what is on its way"
    assert "status.update of 1" in caplog.text


def test_an_observer_that_fails_does_not_fail_the_change(api: Api) -> None:
    def observer(_events: Any) -> None:
        raise ZeroDivisionError

    api.store.observe(observer)
    made = api.create(LoadBalancer)
    assert api.get(LoadBalancer, made["id"]) is not None
    assert api.wakeups.woken == [made["id"]]


@pytest.fixture
def memory() -> Iterator[Callable[[], list[Any]]]:
    _impl_test.reset()
    yield lambda: _impl_test.NOTIFICATIONS
    _impl_test.reset()


def configured(api: Api, *driver: str, **worker: Any) -> Settings:
    return dataclasses.replace(
        api.settings,
        oslo_messaging_notifications=NotificationSettings(driver=driver),
        controller_worker=WorkerSettings(**worker),
    )


def test_through_oslo_messaging(api: Api, memory: Callable[[], list[Any]]) -> None:
    outbox = notifications.connect(configured(api, "test"), api.store)
    assert outbox is not None
    made = api.create(LoadBalancer, name="web")
    await_that(memory)
    outbox.close()
    ((context, message, priority, _retry),) = memory()
    assert (message["publisher_id"], message["event_type"], priority) == (
        "octavia", "octavia.loadbalancer.create.start", "INFO",
    )  # fmt: skip
    assert message["payload"]["loadbalancer_id"] == made["id"]
    assert context["project_id"] == "p1"


@pytest.mark.parametrize(("driver", "wanted"), [((), True), (("test",), False)])
def test_nothing_is_collected_unless_it_is_wanted(api: Api, driver: tuple[str, ...], wanted: bool) -> None:
    assert notifications.connect(configured(api, *driver, event_notifications=wanted), api.store) is None
    with api.statements() as without:
        ids = everything(api)
        api.update(Member, ids["members"], ids["pools"], weight=3)
    assert not api.store.transact(events.collecting)
    assert len(without) < 30


def test_a_bus_that_cannot_be_is_refused_without_its_password(api: Api) -> None:
    settings = dataclasses.replace(
        api.settings,
        oslo_messaging_notifications=NotificationSettings(
            driver=("messagingv2",), transport_url="nonsense://user:secret@host"
        ),
    )
    with pytest.raises(Exception, match="oslo_messaging_notifications") as raised:
        notifications.connect(settings, api.store)
    assert "secret" not in str(raised.value)
    assert not isinstance(raised.value, Unavailable)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    yield
    logging.getLogger("oslo.messaging").setLevel(logging.WARNING)
