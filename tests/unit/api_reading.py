"""The API on a database of its own, asked over HTTP (WSGI, no sockets), and objects of all sorts to ask for."""

import dataclasses
import itertools
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from falcon import testing

from hydria.api import program
from hydria.api.app import make_app
from hydria.messages import LocalWakeups
from hydria.model import alphabets, kinds
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource, attributes, wire_name
from hydria.settings import ApiSettings, Settings
from hydria.store import Store, rows, tables
from hydria.testing import trees
from hydria.testing.network import FakeNetwork

POOL_URL = f"/v2/lbaas/pools/{trees.POOL}"
MAKERS: dict[type[Resource], Any] = {
    LoadBalancer: trees.load_balancer,
    Listener: trees.listener,
    trees.Pool: trees.pool,
    Member: trees.member,
    trees.HealthMonitor: trees.monitor,
    L7Policy: trees.policy,
    L7Rule: trees.rule,
    RateLimitPolicy: trees.limit_policy,
    RateLimitRule: trees.limit_rule,
}
# In whose URLs they are.
BELOW: dict[type[Resource], str] = {
    Member: trees.POOL, L7Rule: trees.POLICY, RateLimitRule: trees.LIMIT_POLICY,
}  # fmt: skip


class Api:
    """Requests to an API on a store; ``options`` are those of ``[api_settings]``."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self.settings = Settings(api_settings=dataclasses.replace(ApiSettings(), **options))
        self.services = program.services(self.settings, store, FakeNetwork(), LocalWakeups())
        self.client = testing.TestClient(make_app(self.services), headers={"Host": "localhost"})

    def insert(self, *items: Resource) -> None:
        """Insert objects; those that belong to others come after them."""
        for item in items:
            self.store.transact(lambda tx, item=item: rows.insert(tx, [item]))

    def get(self, url: str, status: int = 200, **more: Any) -> Any:
        """The body of the answer to a GET."""
        answer = self.client.simulate_get(url, **more)
        assert answer.status_code == status, answer.text
        return answer.json

    def ask(self, method: str, url: str, **more: Any) -> testing.Result:
        """Any request."""
        return self.client.simulate_request(method, url, **more)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements of the block."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            seen.append(statement)

        sa.event.listen(self.store.reader, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.store.reader, "before_cursor_execute", note)


def url_of(resource: type[Resource]) -> str:
    """The URL of the list of a resource, for members that of the first pool's, for rules the first policy's."""
    if resource is L7Rule:
        return f"/v2/lbaas/l7policies/{trees.POLICY}/rules"
    if resource is RateLimitRule:
        return f"/v2/lbaas/ratelimitpolicies/{trees.LIMIT_POLICY}/rules"
    return f"{POOL_URL}/members" if resource is Member else f"/v2/lbaas/{resource.plural}"


def listed(resource: type[Resource]) -> list[str]:
    """The fields that lists can be sorted and filtered by."""
    return [name for name, declared in attributes(resource).items() if declared.listed]


def variety(resource: type[Resource], count: int = 24) -> list[Resource]:
    """Objects whose attributes take few different values each, null among them, in random combinations."""
    dice = random.Random(resource.root)
    made = []
    for number in range(1, count + 1):
        values = {name: dice.choice(_values(resource, name)) for name in listed(resource) if name != "id"}
        made.append(MAKERS[resource](number + 100, **values))
    dice.shuffle(made)
    return made


def insert_variety(store: Store, resource: type[Resource], count: int = 24) -> list[Resource]:
    """Insert them, and two of each kind that they can be in; those that GET shows first.

    They are as alike as no rule would let them be, so the keys that keep them apart are left out.
    """
    makers = (trees.load_balancer, trees.pool, trees.listener, trees.policy, trees.limit_policy)
    parents: list[Resource] = [make(number) for make in makers for number in (1, 2)]
    items = variety(resource, count)
    if resource in (LoadBalancer, trees.Pool, Listener, L7Policy, RateLimitPolicy):
        items += [item for item in parents if type(item) is resource]

    def work(tx: sa.Connection) -> None:
        for item in parents:
            rows.insert(tx, [item])
        for item in items:
            if item not in parents:
                row = rows.new_row(item)
                if "live_key" in row:
                    row["live_key"] = None
                tx.execute(tables.table_of(resource).insert(), [row])
            for tag in dict.fromkeys(item.tags):
                tx.execute(tables.tags.insert(), {"resource_id": item.id, "tag": tag})

    store.transact(work)
    if resource in BELOW:
        items = [item for item in items if getattr(item, resource.within) == BELOW[resource]]
    return items


def in_order(items: Sequence[Resource], *keys: tuple[str, bool]) -> list[str]:
    """Ids in the order of these (field, descending), null first; then by time and id, as the first goes."""
    falling = bool(keys) and keys[0][1]
    found = sorted(items, key=lambda item: (item.created_at, item.id), reverse=falling)
    for field, descending in reversed(keys):
        found.sort(key=lambda item: _rank(getattr(item, field)), reverse=descending)  # keeps ties as they are
    return [item.id for item in found]


def query_text(value: Any) -> str:
    """A value as a client writes it in a query."""
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value)


def api_name(resource: type[Resource], field: str) -> str:
    return wire_name(field, attributes(resource)[field])


def walk(api: Api, url: str, params: dict[str, Any], rel: str) -> list[list[str]]:
    """The ids of each page from the first request on along the links of one kind."""
    pages = []
    answer = api.get(url, params=params)
    for _ in range(200):
        root = next(key for key in answer if not key.endswith("_links"))
        pages.append([item["id"] for item in answer[root]])
        links = {link["rel"]: link["href"] for link in answer[f"{root}_links"]}
        if rel not in links:
            return pages
        path, _, query = links[rel].removeprefix("http://localhost").partition("?")
        answer = api.get(path, query_string=query)
    raise AssertionError("the pages have no end")


def joined(pages: Iterable[list[str]]) -> list[str]:
    """The ids of several pages."""
    return list(itertools.chain.from_iterable(pages))


def _rank(value: Any) -> tuple[Any, ...]:
    return (0,) if value is None else (1, value)


def _values(resource: type[Resource], field: str) -> list[Any]:
    if field == "load_balancer_id":
        return [trees.BALANCER, trees.identifier(LoadBalancer, 2)]
    for owner in (trees.Pool, Listener, L7Policy):
        if field == f"{owner.root}_id":
            return [trees.identifier(owner, 1), trees.identifier(owner, 2)]
    if field == "rate_limit_policy_id":
        return [trees.identifier(RateLimitPolicy, 1), trees.identifier(RateLimitPolicy, 2)]
    column = tables.table_of(resource).c[field]
    values = _of_kind(attributes(resource)[field].kind)
    if field == "provisioning_status":
        values = [value for value in values if value != "DELETED"]
    return [*values, None] if column.nullable else values


def _of_kind(kind: kinds.Kind) -> list[Any]:
    match kind:
        case kinds.Choice():
            return list(kind.words)
        case kinds.Boolean():
            return [True, False]
        case kinds.Integer():
            return [max(kind.low, 1), max(kind.low, 1) + 1, kind.high]
        case kinds.NumberChoice() | kinds.IntegerChoice():
            return list(kind.numbers)
        case kinds.Time():
            # Some within one second, so that whole seconds do not tell them apart.
            steps = itertools.product((0, 1), (0, 1, 999_999))
            return [trees.EPOCH + timedelta(seconds=each, microseconds=more) for each, more in steps]
        case kinds.Identifier():
            return [str(uuid.UUID(int=number)) for number in (1, 2, 3)]
        case kinds.Address():
            return ["192.0.2.1", "192.0.2.10", "2001:db8::A"]
        case kinds.Text():
            return ["", "Web", "web", "wéb & 50% +1"]
        case alphabets.HOST_NAME:
            return ["a.example", "b.example"]
        case alphabets.URL_PATH:
            return ["/", "/up?a=b&c=%20"]
        case alphabets.REDIRECT_URL:
            return ["http://a.example", "https://b.example/?c=%20"]
        case alphabets.EXPECTED_CODES:
            return ["200", "200, 201"]
        case alphabets.CIPHERS:
            return ["A:B", "C"]
    raise AssertionError(kind)
