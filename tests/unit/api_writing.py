"""The changing half of the API on a database of its own, without HTTP and without workers."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from octavia_lib.api.drivers import provider_base

from hydria.api import writing
from hydria.api.call import Call, Caller, Services
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import HydriaError
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared, Resource
from hydria.model.rules import Deployment
from hydria.providers.amphora import AmphoraProviderDriver
from hydria.providers.noop import NoopProviderDriver
from hydria.providers.registry import Registry
from hydria.settings import ApiSettings, NetworkingSettings, Settings
from hydria.store import Store, rows, tables, trees
from hydria.testing.network import FakeNetwork

PROJECT = "p1"
ORDER: tuple[type[Resource], ...] = (
    LoadBalancer, Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule, RateLimitPolicy, RateLimitRule,
)  # fmt: skip
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}

GRAPH = {
    "name": "web",
    "listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "p"}}],
    "pools": [
        {
            "name": "p",
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "members": [
                {"address": "192.0.2.1", "protocol_port": 80},
                {"address": "192.0.2.2", "protocol_port": 80},
            ],
            "healthmonitor": MONITOR,
        }
    ],
}


class ReportingDriver(provider_base.ProviderDriver):
    """A driver as written for Octavia: it takes everything, and reports when it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.error: Exception | None = None

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith(("loadbalancer_", "listener_", "pool_", "member_", "health_monitor_", "l7")):
            return super().__getattribute__(name)

        def asked(*arguments: Any) -> None:
            if self.error is not None:
                raise self.error
            self.calls.append((name, arguments))

        return asked


class Wakeups:
    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, load_balancer_id: str) -> None:
        self.woken.append(load_balancer_id)

    def listen(self, handler: object) -> None:
        raise AssertionError("the API listens to nothing")

    def close(self) -> None:
        pass


class Api:
    """Requests, and what they have done to the database."""

    def __init__(
        self, store: Store, *, network: NetworkDriver | None = None, provider: str = "amphora"
    ) -> None:
        self.network = network or embedded_network()
        enabled = {"amphora": "", "noop_driver": "", "third": "", "absent": "", "thirdparty": ""}
        self.settings = Settings(
            api_settings=ApiSettings(enabled_provider_drivers=enabled, default_provider_driver=provider)
        )
        self.store = store
        self.wakeups = Wakeups()
        self.third = ReportingDriver()
        self.noop = NoopProviderDriver()
        self._serve()

    def _serve(self) -> None:
        registry = Registry(self.settings, self.network)
        registry.add("amphora", AmphoraProviderDriver())
        registry.add("noop_driver", self.noop)
        registry.add("third", self.third)
        defaults = {
            "timeout_client_data": 50_000, "timeout_member_connect": 5_000,
            "timeout_member_data": 50_000, "timeout_tcp_inspect": 0, "default_provider_driver": "amphora",
        }  # fmt: skip
        services = Services(
            self.settings, self.store, self.network, registry, self.wakeups, Deployment(), defaults,
            NoopCertificateManager(self.settings),
        )  # fmt: skip
        self.call = Call(services, Caller(PROJECT, admin=True), "http://127.0.0.1:9876")

    def networking(self, **options: Any) -> None:
        """Set options of ``[networking]``."""
        self.settings = dataclasses.replace(self.settings, networking=NetworkingSettings(**options))
        self._serve()

    # --- requests

    def create(self, resource: type[Declared], parent: str | None = None, /, **body: Any) -> dict[str, Any]:
        return writing.create(self.call, resource, body, parent)

    def update(
        self, resource: type[Declared], identifier: str, parent: str | None = None, /, **body: Any
    ) -> dict[str, Any]:
        return writing.update(self.call, resource, identifier, body, parent)

    def delete(
        self, resource: type[Declared], identifier: str, parent: str | None = None, *, cascade: bool = False
    ) -> None:
        writing.delete(self.call, resource, identifier, parent, cascade=cascade)

    def batch(self, pool_id: str, *members: dict[str, Any], additive_only: bool = False) -> None:
        writing.batch_members(self.call, pool_id, list(members), additive_only=additive_only)

    # --- the database

    def get(self, resource: type[Resource], identifier: str) -> Any:
        with self.store.read() as tx:
            return rows.load_one(tx, resource, identifier)

    def all(self, resource: type[Resource]) -> tuple[Any, ...]:
        with self.store.read() as tx:
            found = rows.load(tx, resource)
        return tuple(sorted(found, key=lambda item: (item.created_at, item.id)))

    def all_of(self, resource: type[Declared]) -> tuple[Any, ...]:
        """The same of what has no time."""
        with self.store.read() as tx:
            return rows.load(tx, resource)

    def statuses(self) -> dict[str, list[str]]:
        """Provisioning statuses of everything there is, by table."""
        return {each.table: [str(item.provisioning_status) for item in self.all(each)] for each in ORDER}

    def apply(self, load_balancer_id: str | None = None) -> None:
        """What a worker does when all amphorae serve the desired state."""
        for balancer in self.all(LoadBalancer):
            if load_balancer_id in (None, balancer.id):
                self.store.transact(lambda tx, balancer=balancer: _apply(tx, balancer))

    def dump(self, *, taken_back: bool = False) -> dict[str, list[Any]]:
        """Every row of every table."""
        left_out = {("load_balancers", "generation"), ("load_balancers", "applied_generation")}
        with self.store.read() as tx:
            return {
                table.name: sorted(
                    repr(
                        [
                            value
                            for name, value in row.items()
                            if not taken_back or (table.name, name) not in left_out
                        ]
                    )
                    for row in tx.execute(sa.select(table)).mappings()
                )
                for table in tables.metadata.sorted_tables
            }

    @contextmanager
    def unchanged(
        self, error: type[HydriaError], message: str, *, taken_back: bool = False
    ) -> Iterator[None]:
        """The block raises this error, word by word, and leaves nothing behind.

        ``taken_back``: but that what was taken back has used up a generation.
        """
        before, ports = self.dump(taken_back=taken_back), list(self.network.ports())
        woken = list(self.wakeups.woken)
        with pytest.raises(HydriaError) as raised:
            yield
        assert (raised.value.message, type(raised.value)) == (message, error)
        assert self.dump(taken_back=taken_back) == before
        assert list(self.network.ports()) == ports
        assert self.wakeups.woken == woken

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements of the block."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            if not statement.startswith("BEGIN"):
                seen.append(statement)

        sa.event.listen(self.store.writer, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.store.writer, "before_cursor_execute", note)


def embedded_network() -> FakeNetwork:
    """One VIP network with both families, IPv4 by default."""
    network = FakeNetwork()
    network.default_vip_subnet_id = network.add_network("198.51.100.0/24", "2001:db8::/64").subnet_ids[0]
    return network


def _apply(tx: sa.Connection, balancer: LoadBalancer) -> None:
    tree = trees.load_tree(tx, balancer.id)
    assert tree is not None
    if tree.load_balancer.desired:
        trees.mark_applied(tx, tree, tree.load_balancer.generation)
    else:
        trees.mark_deleted(tx, tree, rows.now())


def everything(api: Api, **more: Any) -> dict[str, str]:
    """A load balancer with one of each, applied; ids by table."""
    made = api.create(LoadBalancer, **GRAPH, **more)
    api.apply(made["id"])
    pool = made["pools"][0]
    return {
        "load_balancers": made["id"],
        "listeners": made["listeners"][0]["id"],
        "pools": pool["id"],
        "members": pool["members"][0]["id"],
        "health_monitors": pool["healthmonitor"]["id"],
    }
