"""The status tree's one statement, on every engine."""

from hydria.store import Store, status_rows
from hydria.store.status_rows import StatusRow
from hydria.testing import trees as make
from tests.db import store_scene as scene


def test_everything_below_a_load_balancer_in_one_statement(store: Store) -> None:
    fault = {"provisioning_status": "ERROR", "fault": "no", "fault_since": make.EPOCH}
    scene.add(
        store, make.load_balancer(), make.listener(default_pool_id=make.POOL), make.pool(), make.member(**fault),
        make.member(2), make.monitor(),
    )  # fmt: skip
    with store.read() as tx:
        found = status_rows.load(tx, make.BALANCER)
        assert status_rows.load(tx, make.POOL) == []
    shown = {(row.kind, row.id): row for row in found}
    assert len(found) == len(shown) == 6
    assert shown["load_balancers", make.BALANCER].above == make.PROJECT
    assert shown["listeners", make.LISTENER].above == make.POOL
    assert shown["health_monitors", make.MONITOR][7:] == (make.POOL, "HTTP", None)
    member = make.member()
    assert shown["members", make.MEMBER] == StatusRow(
        "members", member.id, member.name, "ERROR", str(member.operating_status), "no",
        make.EPOCH.isoformat(), make.POOL, member.address, member.protocol_port,
    )  # fmt: skip
