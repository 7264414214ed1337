"""A database of any number of load balancers, made quickly, and the lists that it is asked for."""

import uuid
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from hydria.api import listing as requests
from hydria.api.views import view
from hydria.model.amphora import Amphora
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Declared
from hydria.settings import ApiSettings
from hydria.store import Store, listing, rows, tables
from hydria.testing import trees as make
from tests.db.rows_read import Read, counted

COPIES = 8
LARGE, SMALL = "large", "small-7"
ENDS = make.EPOCH + timedelta(days=30)
PAGE = 100


def load(store: Store, number_of: int) -> None:
    """So many load balancers with one of each kind on each of them: 20 % are one project's, the others of 50.

    An eighth of them is written, the database copies them seven times.
    """
    patterns = (
        make.load_balancer(), make.pool(), make.listener(), make.member(), make.monitor(),
        Amphora(
            id="", load_balancer_id=make.BALANCER, role="STANDALONE", status="ALLOCATED",
            created_at=make.EPOCH,
        ),
    )  # fmt: skip
    tagged = [
        {"resource_id": identifier, "tag": tag}
        for number in range(number_of // COPIES)
        for identifier in (make.identifier(LoadBalancer, number), make.identifier(Pool, number))
        for tag in (f"n{number:04}", "half" if number % 2 else "other", f"team-{number % 20:02}")
    ]
    written: list[tuple[sa.Table, list[dict[str, Any]]]] = [
        (
            tables.table_of(type(item)),
            [{**row, **values(type(item), number)} for number in range(number_of // COPIES)],
        )
        for item in patterns
        for row in [rows.new_row(item)]
    ]
    with store.writer.begin() as tx:
        for table, made in [*written, (tables.tags, tagged)]:
            tx.execute(table.insert(), made)
            for copy in range(1, COPIES):
                names = [column.name for column in table.c]
                tx.execute(
                    table.insert().from_select(names, sa.select(*copied(table, copy)).where(original(table)))
                )
    with store.reader.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")
        if connection.dialect.name == "mysql":
            connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(tables.metadata.tables)}")


# Column -> the place of the character that is another in each copy.
COPIED = {
    "id": 25, "load_balancer_id": 25, "pool_id": 25, "default_pool_id": 25, "resource_id": 25,
    "vip_port_id": 25, "vip_address": 2, "lb_network_ip": 4, "compute_id": 2, "live_key": 2,
}  # fmt: skip


def copied(table: sa.Table, copy: int) -> list[Any]:
    columns: list[Any] = []
    for column in table.c:
        place = COPIED.get(column.name)
        if column.name == "tag":
            place = 2  # of "n0077" alone: the others are of all copies
            other = sa.func.substr(column, 1, 1) + str(copy) + sa.func.substr(column, 3)
            columns.append(sa.case((column.like("n0%"), other), else_=column))
        elif place is None:
            columns.append(column)
        else:
            columns.append(
                sa.func.substr(column, 1, place - 1) + str(copy) + sa.func.substr(column, place + 1)
            )
    return columns


def original(table: sa.Table) -> sa.ColumnElement[bool]:
    key = table.c.resource_id if table is tables.tags else table.c.id
    return sa.func.substr(key, 25, 1) == "0"


def values(resource: type[Any], number: int) -> dict[str, Any]:
    """What is another in each row."""
    created = make.EPOCH + timedelta(seconds=number)
    changed = make.EPOCH + timedelta(days=1, seconds=number * 7 % 1250)
    common: dict[str, Any] = {"created_at": created, "updated_at": None if number % 100 == 3 else changed}
    if resource is Amphora:
        return {
            **common, "id": amphora(number), "load_balancer_id": make.identifier(LoadBalancer, number),
            "status": "DELETED" if number % 10 == 7 else "ALLOCATED", "compute_id": f"c0-{number}",
            "lb_network_ip": f"fd00::{number:x}", "cert_expiration": ENDS + timedelta(seconds=number),
        }  # fmt: skip
    common |= {
        "id": make.identifier(resource, number), "name": f"web-{number % 97}",
        "project_id": LARGE if number % 5 == 0 else f"small-{number % 50}",
        "operating_status": "ERROR" if number % 50 == 0 else "ONLINE",
    }  # fmt: skip
    if resource is LoadBalancer:
        return {
            **common, "provisioning_status": "ERROR" if number % 200 == 9 else "ACTIVE",
            "vip_address": f"10.0.{number >> 8}.{number & 255}", "vip_port_id": str(uuid.UUID(int=number)),
            "vip_subnet_id": str(uuid.UUID(int=number % 300)), "vip_network_id": str(uuid.UUID(int=number % 100)),
        }  # fmt: skip
    common["load_balancer_id"] = make.identifier(LoadBalancer, number)
    if resource in (Member, HealthMonitor):
        common["pool_id"] = make.identifier(Pool, number)
    if resource is Listener:
        common |= {"default_pool_id": make.identifier(Pool, number), "protocol_port": number % 500 + 1}
    return common if resource is Pool else {**common, "live_key": f"k0-{number}"}


def amphora(number: int) -> str:
    return f"a0000000-0000-4000-8000-{number:012x}"


def page(
    store: Store,
    resource: type[Declared],
    params: dict[str, str],
    project: str | None = None,
    *,
    count: bool = True,
) -> tuple[int, Read]:
    """How many objects are shown, and what was read for them, if that is counted."""
    scope = {} if project is None else {"project_id": project}
    query = requests.parse(ApiSettings(), resource, {"limit": str(PAGE), **params}, scope)
    with counted(store) if count else nullcontext(Read()) as read, store.read() as tx:
        found = listing.page(tx, resource, view(resource).fields, query)
    return len(found), read


DEEP = make.identifier(LoadBalancer, 100)
DEEP_AMPHORA = amphora(100)
BOTH_WAYS = [
    {"sort": f"{key}{direction}", **marker}
    for key in ("created_at", "name", "updated_at", "operating_status", "provisioning_status", "vip_address",
                "vip_port_id", "vip_subnet_id", "vip_network_id")
    for direction in ("", ":desc")
    for marker in ({}, {"marker": DEEP}, {"marker": DEEP, "page_reverse": "True"})
]  # fmt: skip
Case = tuple[type[Declared], dict[str, str], str | None]
# Whatever there is besides, these read what they show.
FLAT: list[Case] = [
    *((LoadBalancer, params, None) for params in BOTH_WAYS),
    *(
        (LoadBalancer, {name: value}, None)
        for name, value in {
            "name": "web-7", "vip_address": "10.0.2.7", "vip_port_id": str(uuid.UUID(int=77)),
            "vip_subnet_id": str(uuid.UUID(int=77)), "vip_network_id": str(uuid.UUID(int=7)),
            "flavor_id": str(uuid.UUID(int=7)), "availability_zone": "none", "tags": "n0077",
        }.items()
    ),
    *((LoadBalancer, {"provisioning_status": each}, None) for each in ("ACTIVE", "ERROR", "PENDING_UPDATE")),
    *((LoadBalancer, {"operating_status": each}, None) for each in ("ONLINE", "ERROR", "OFFLINE")),
    *((LoadBalancer, {"sort": each}, None) for each in ("flavor_id", "availability_zone:desc")),
    *((LoadBalancer, {}, project) for project in (LARGE, SMALL)),
    *((LoadBalancer, {"sort": "created_at:desc"}, project) for project in (LARGE, SMALL)),
    *((Amphora, params, None) for params in (
        {}, {"sort": "created_at:desc"}, {"marker": DEEP_AMPHORA}, {"marker": DEEP_AMPHORA, "page_reverse": "True"},
        {"lb_network_ip": "fd00::4c"}, {"compute_id": "c0-76"}, {"status": "ERROR"}, {"loadbalancer_id": DEEP},
    )),
    *((kind, params, project) for kind in (Listener, Pool, HealthMonitor) for project in (None, LARGE) for params in (
        {}, {"sort": "created_at:desc"}, {"marker": make.identifier(kind, 100)},
    )),
    (Listener, {"protocol_port": "81"}, None), (Listener, {"sort": "protocol_port:desc"}, None),
    *((kind, {"loadbalancer_id": DEEP}, None) for kind in (Listener, Pool)),
]  # fmt: skip
# These read no more than the project has, or a few times what the rarest of the tags has.
BOUNDED: list[Case] = [
    *((LoadBalancer, params, project) for params in BOTH_WAYS if "marker" not in params for project in (LARGE, SMALL)),
    *((Amphora, {"project_id": project}, None) for project in (LARGE, SMALL)),
]  # fmt: skip
OF_TAGS: list[Case] = [
    (LoadBalancer, {"tags": "n0077"}, LARGE),
    *(
        (LoadBalancer, {"tags": each}, None)
        for each in ("half", "half,team-03", "half,team-04", "half,team-03,n0077")
    ),
    *((LoadBalancer, {each: "team-03,team-04"}, None) for each in ("tags-any", "not-tags-any")),
    (LoadBalancer, {"not-tags": "half"}, None),
    (Pool, {"tags": "half"}, None),
]  # fmt: skip
