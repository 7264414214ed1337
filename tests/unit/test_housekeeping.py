"""What housekeeping removes, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria import settings as settings_module
from hydria.drivers.compute.interface import ComputeStatus, Instance
from hydria.drivers.network.interface import Port
from hydria.housekeeping import certificates
from hydria.housekeeping.program import Housekeeping, Swept
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError
from hydria.model.load_balancer import LoadBalancer
from hydria.settings import Settings
from hydria.store import Store, amphorae, changes, rows, tables
from hydria.testing import trees as make
from tests.databases import new_store

AMPHORA = "a0000000-0000-4000-8000-000000000001"


@dataclass
class Cloud:
    """Instances and ports, as compute and network drivers list and remove them."""

    kept: list[str] = field(default_factory=list)
    ported: dict[str, str] = field(default_factory=dict)

    def instances(self) -> list[Instance]:
        return [Instance(f"id-{name}", name, ComputeStatus.RUNNING) for name in self.kept]

    def delete(self, compute_id: str) -> None:
        self.kept.remove(compute_id.removeprefix("id-"))

    def ports(self, owner: str = "") -> list[Port]:
        return [Port(name, "net", name, owner, "", ()) for name, owner in self.ported.items()]

    def delete_port(self, port_id: str) -> None:
        del self.ported[port_id]


@dataclass
class Scene:
    settings: Settings
    store: Store
    cloud: Cloud
    keeper: Housekeeping

    def later(self, seconds: float) -> Swept:
        """Sweep as if so much time had passed since the things without an owner were first seen."""
        orphans = self.keeper._orphans
        orphans._suspected = {name: since - seconds for name, since in orphans._suspected.items()}
        return self.keeper.sweep()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    overrides: dict[str, dict[str, object]] = {
        "DEFAULT": {"state_dir": str(tmp_path)},
        "house_keeping": {"orphan_age": 100, "load_balancer_expiry_age": 1000, "amphora_expiry_age": 1000},
    }
    settings = settings_module.load(overrides=overrides)
    store = new_store(tmp_path)
    cloud = Cloud()
    anything: Any = cloud
    yield Scene(settings, store, cloud, Housekeeping(settings, store, anything, anything))
    store.close()


def add(scene: Scene, status: str = "ACTIVE", amphora_status: str = "ALLOCATED", age: float = 0) -> str:
    moment = rows.now() - timedelta(seconds=age)
    balancer = make.load_balancer(provisioning_status=status, updated_at=moment)
    amphora = Amphora(
        id=AMPHORA, load_balancer_id=balancer.id, status=amphora_status, role="STANDALONE", created_at=moment,
        updated_at=moment,
    )  # fmt: skip
    scene.store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
    scene.store.transact(lambda tx: amphorae.add(tx, amphora))
    return str(balancer.id)


def test_what_has_an_owner_stays(scene: Scene) -> None:
    balancer_id = add(scene)
    scene.cloud.kept = [f"amphora-{AMPHORA}"]
    scene.cloud.ported = {"p1": f"amphora-{AMPHORA}", "p2": f"lb-{balancer_id}"}
    assert scene.keeper.sweep() == scene.later(1000) == Swept()
    assert len(scene.cloud.kept) == 1
    assert len(scene.cloud.ported) == 2


def test_orphans_are_removed_once_they_are_old_enough(scene: Scene) -> None:
    scene.cloud.kept = ["amphora-unknown"]
    scene.cloud.ported = {"p1": "amphora-unknown", "p2": "lb-unknown"}
    assert scene.keeper.sweep() == Swept()
    assert scene.later(50) == Swept()
    assert scene.later(60) == Swept(instances=1, ports=2)
    assert scene.cloud == Cloud()
    assert "1 instances without an owner removed" in Swept(instances=1).sentence


def test_one_that_cannot_be_removed_does_not_keep_the_others(scene: Scene) -> None:
    scene.cloud.kept = ["amphora-stubborn", "amphora-unknown"]
    scene.cloud.ported = {"p1": "lb-unknown"}
    remove = scene.cloud.delete

    def delete(compute_id: str) -> None:
        if "stubborn" in compute_id:
            raise DriverError("it does not go")
        remove(compute_id)

    scene.cloud.delete = delete  # type: ignore[method-assign]
    scene.keeper.sweep()
    assert scene.later(1000) == Swept(instances=1, ports=1, unremoved=1)
    assert scene.cloud.kept == ["amphora-stubborn"]


def test_those_that_cannot_be_removed_let_the_others_go_first(scene: Scene) -> None:
    """However many of them there are: one pass tries a hundred."""
    stubborn = [f"amphora-{number:03}" for number in range(150)]
    scene.cloud.kept = [*stubborn, "amphora-other"]

    def delete(compute_id: str) -> None:
        if compute_id != "id-amphora-other":
            raise DriverError("it does not go")
        scene.cloud.kept.remove("amphora-other")

    scene.cloud.delete = delete  # type: ignore[method-assign]
    scene.keeper.sweep()
    assert scene.later(1000) == Swept(unremoved=151)
    assert scene.keeper.sweep() == Swept(instances=1, unremoved=150)
    assert scene.cloud.kept == stubborn


def test_owners_are_looked_up_in_turns(scene: Scene) -> None:
    """However many instances there are, a pass looks up a bounded number, and each comes to its turn."""
    add_many(scene, 4500, ends=10**7)
    scene.cloud.ported = {
        f"p{number:05}": f"lb-{make.identifier(LoadBalancer, number)}" for number in range(1, 4502)
    }
    looked_up: list[int] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "load_balancers.id IN" in statement:
            looked_up.append(len(parameters) - 1)

    sa.event.listen(scene.store.reader, "before_cursor_execute", note)
    found = [scene.later(1000).ports for _ in range(6)]
    assert found == [0, 0, 0, 1, 0, 0]
    assert looked_up == [2000, 2000, 2000, 2001, 2000, 2000]


def test_what_goes_wrong_with_one_part_keeps_no_other_from_its_turn(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    add(scene, "DELETED", "DELETED", age=5000)
    add_many(scene, 1, first=2)
    scene.cloud.ported = {"p1": "lb-unknown"}

    def instances() -> list[Instance]:
        raise ZeroDivisionError

    def refuse(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("DELETE FROM amphorae"):
            raise DriverError("no")

    scene.cloud.instances = instances  # type: ignore[method-assign]
    sa.event.listen(scene.store.writer, "before_cursor_execute", refuse)
    scene.keeper.sweep()
    assert scene.later(1000) == Swept(ports=1)
    assert "Orphaned instances are not found" in caplog.text
    assert "Deleted amphorae are not purged: no" in caplog.text
    with scene.store.read() as tx:
        (left,) = rows.load(tx, LoadBalancer)
        assert left.generation == 2  # its amphora is renewed


def test_one_that_finds_its_owner_is_not_an_orphan_any_more(scene: Scene) -> None:
    scene.cloud.kept = [f"amphora-{AMPHORA}"]
    scene.keeper.sweep()
    add(scene)
    assert scene.later(1000) == Swept()
    assert scene.keeper._orphans._suspected == {}


@pytest.mark.parametrize("status", ["DELETED", "PENDING_DELETE"])
def test_a_deleted_amphora_owns_nothing_one_being_deleted_does(scene: Scene, status: str) -> None:
    add(scene, amphora_status=status)
    scene.cloud.kept = [f"amphora-{AMPHORA}"]
    scene.keeper.sweep()
    assert scene.later(1000).instances == (status == "DELETED")


def test_deleted_rows_are_purged_when_they_have_expired(scene: Scene) -> None:
    add(scene, "DELETED", "DELETED", age=500)
    assert scene.keeper.sweep() == Swept()
    long_ago = rows.now() - timedelta(seconds=5000)
    for table in (tables.load_balancers, tables.amphorae):
        scene.store.transact(lambda tx, table=table: tx.execute(sa.update(table).values(updated_at=long_ago)))
    assert scene.keeper.sweep() == Swept(load_balancers=1, amphorae=1)
    with scene.store.read() as tx:
        assert rows.load(tx, LoadBalancer) == ()
        assert tx.execute(sa.select(tables.leases)).all() == []


def test_a_deleted_load_balancer_stays_as_long_as_an_amphora_of_it_cannot_be_deleted(scene: Scene) -> None:
    add(scene, "DELETED", "PENDING_DELETE", age=5000)
    assert scene.keeper.sweep() == Swept()
    with scene.store.read() as tx:
        assert len(rows.load(tx, Amphora)) == 1
    amphora = tables.amphorae
    scene.store.transact(lambda tx: tx.execute(sa.update(amphora).values(status="DELETED")))
    assert scene.keeper.sweep() == Swept(load_balancers=1, amphorae=1)


def test_old_rows_of_the_living_are_not_purged(scene: Scene) -> None:
    add(scene, age=10**7)
    assert scene.keeper.sweep() == Swept()


def test_it_runs_by_itself(scene: Scene) -> None:
    add(scene, "DELETED", "DELETED", age=5000)
    scene.keeper.start()
    deadline = time.monotonic() + 10
    left: tuple[LoadBalancer, ...] = (make.load_balancer(),)
    while left and time.monotonic() < deadline:
        with scene.store.read() as tx:
            left = rows.load(tx, LoadBalancer)
        time.sleep(0.01)
    scene.keeper.stop()
    assert left == ()


@pytest.mark.parametrize(
    ("left", "status", "renewed"),
    [
        (3600, "ACTIVE", 1), (-3600, "ACTIVE", 1), (3600, "ERROR", 1), (3600, "PENDING_UPDATE", 1),
        (3600, "PENDING_DELETE", 0), (864_000, "ACTIVE", 0),
    ],
)  # fmt: skip
def test_amphorae_are_replaced_before_their_certificates_end(
    scene: Scene, left: int, status: str, renewed: int
) -> None:
    balancer_id = add(scene, status)
    ends = rows.now() + timedelta(seconds=left)
    scene.store.transact(lambda tx: amphorae.update(tx, AMPHORA, cert_expiration=ends))
    assert scene.keeper.sweep() == Swept(renewed=renewed)
    with scene.store.read() as tx:
        amphora, balancer = rows.load_one(tx, Amphora, AMPHORA), rows.load_one(tx, LoadBalancer, balancer_id)
    assert amphora is not None
    assert balancer is not None
    assert amphora.failover_requested is bool(renewed)
    assert balancer.generation == 1 + renewed
    assert scene.keeper.sweep() == Swept()  # once is enough


def add_many(scene: Scene, count: int, status: str = "ACTIVE", *, first: int = 1, ends: float = 3600) -> None:
    """Load balancers with an amphora each, whose certificates end one second after the other."""
    numbers = range(first, first + count)
    balancers = [make.load_balancer(number, provisioning_status=status) for number in numbers]
    moment = rows.now() + timedelta(seconds=ends)
    built = [
        Amphora(
            id=f"a0000000-0000-4000-8000-{number:012x}", load_balancer_id=balancer.id, status="ALLOCATED",
            role="STANDALONE", created_at=moment, cert_expiration=moment + timedelta(seconds=number),
        )
        for number, balancer in zip(numbers, balancers, strict=True)
    ]  # fmt: skip
    scene.store.transact(lambda tx: rows.insert(tx, balancers))
    scene.store.transact(lambda tx: rows.insert(tx, built))


def test_who_cannot_be_renewed_keeps_nobody_from_being_renewed(scene: Scene) -> None:
    """Ten whose certificates end first are being deleted, for as long as their instances do not go."""
    add_many(scene, 10, "PENDING_DELETE")
    add_many(scene, 15, first=11)
    assert [scene.keeper.sweep().renewed for _ in range(3)] == [10, 5, 0]


def test_ten_in_error_are_renewed_and_keep_nobody_from_it(scene: Scene) -> None:
    add_many(scene, 10, "ERROR")
    add_many(scene, 15, first=11)
    assert [scene.keeper.sweep().renewed for _ in range(4)] == [10, 10, 5, 0]


def test_one_that_cannot_be_marked_keeps_nobody_from_being_renewed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    add_many(scene, 3)
    broken = make.identifier(LoadBalancer, 1)

    def refuse(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("UPDATE load_balancers") and broken in map(str, parameters):
            raise ZeroDivisionError

    sa.event.listen(scene.store.writer, "before_cursor_execute", refuse)
    assert scene.keeper.sweep() == Swept(renewed=2, unrenewed=1)
    assert f"Load balancer {broken}" in caplog.text


def test_all_of_one_day_are_renewed_before_their_certificates_end(scene: Scene) -> None:
    """200,000 amphorae that were rolled out together, ten replaced a pass at least, 3 days before the end."""
    buffer, interval = 259_200, 30
    due, passed = 200_000, 0.0
    while due:
        share = certificates.share(due, interval, buffer, least=10)
        assert 10 <= share <= 200
        due -= min(due, share)
        passed += interval
    assert passed < buffer * 0.6


def test_a_pass_renews_more_when_more_are_due(scene: Scene) -> None:
    rare = dataclasses.replace(scene.settings.house_keeping, cleanup_interval=30_000.0)
    anything: Any = scene.cloud
    settings = dataclasses.replace(scene.settings, house_keeping=rare)
    keeper = Housekeeping(settings, scene.store, anything, anything)
    add_many(scene, 40)
    swept = keeper.sweep()
    assert swept == Swept(renewed=38, unrenewed=2)
    assert swept.sentence == "38 amphorae to be replaced before their certificates end (2 more are due)"
