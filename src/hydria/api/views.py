"""From rows and objects to the JSON of responses (contract appendix C).

What a response shows is compiled once per resource from its declaration. Lists take the short way: the tuple
that the database gave becomes a dictionary, and columns that hold JSON are put in as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import msgspec

from hydria.model.extensions import RATE_LIMIT, Extension
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.quota import ALIASES, Quota
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.resource import Declared, attributes, wire_name
from hydria.model.statuses import ProvisioningStatus
from hydria.store.relations import Relations

Body = dict[str, object]

# What a response shows of the objects above and below, each as a list of ids: field -> key for the one above.
_PARENTS: Mapping[type[Declared], Mapping[str, str]] = {
    Listener: {"load_balancer_id": "loadbalancers"},
    Pool: {"load_balancer_id": "loadbalancers"},
    HealthMonitor: {"pool_id": "pools"},
}
_CHILDREN: Mapping[type[Declared], tuple[str, ...]] = {
    LoadBalancer: ("listeners", "pools"),
    Listener: ("l7policies", "rate_limit_policies"),
    L7Policy: ("rules",),
    RateLimitPolicy: ("rules",),
    Pool: ("listeners", "members"),
}

# Of these, what belongs to extensions: shown only when there are some.
EXTENDED_CHILDREN: Mapping[type[Declared], Mapping[str, Extension]] = {
    Listener: {"rate_limit_policies": RATE_LIMIT},
}

# Keys under which a response shows a value once more.
_ALIASES: Mapping[type[Declared], Mapping[str, str]] = {Quota: ALIASES}


@dataclass(frozen=True, slots=True)
class View:
    """How one kind of resource is shown.

    fields: what to read of an object, in this order; keys: the key of each in the response.
    json, times, parents: keys of values that are JSON text in the database, moments, ids of what is above.
    owned, tagged, faulty: whether there is a project, there are tags, and it can be in ERROR.
    extended: keys of extensions, shown only when they are not null, and sparse: when they are not empty.
    """

    fields: tuple[str, ...]
    keys: tuple[str, ...]
    json: tuple[str, ...]
    times: tuple[str, ...]
    parents: tuple[str, ...]
    children: tuple[str, ...]
    has_monitor: bool
    owned: bool
    tagged: bool
    faulty: bool
    aliases: tuple[tuple[str, str], ...]
    extended: tuple[str, ...]
    sparse: tuple[str, ...]

    def of_row(self, row: Sequence[object], relations: Relations) -> Body:
        """The object that a row of ``fields`` holds; for msgspec to encode."""
        shown: Body = dict(zip(self.keys, row, strict=True))
        for key in self.json:
            text = shown[key]
            if text is not None:
                shown[key] = msgspec.Raw(text)  # type: ignore[call-overload]  # a column of JSON holds text
        return self._complete(shown, relations)

    def of_object(self, item: Declared, relations: Relations) -> Body:
        """The same of an object at hand, in plain values."""
        shown: Body = {key: getattr(item, name) for name, key in zip(self.fields, self.keys, strict=True)}
        for key in (*self.json, *self.times):
            shown[key] = _plain(shown[key])
        return self._complete(shown, relations)

    def _complete(self, shown: Body, relations: Relations) -> Body:
        for key in self.extended:
            if shown[key] is None:
                del shown[key]
        for key in self.parents:
            shown[key] = [{"id": shown[key]}]
        for key in self.children:
            shown[key] = [{"id": identifier} for identifier in getattr(relations, key)]
        for key in self.sparse:
            if not shown[key]:
                del shown[key]
        if self.has_monitor and relations.healthmonitor_id is not None:
            shown["healthmonitor_id"] = relations.healthmonitor_id
        if self.owned:
            shown["tenant_id"] = shown["project_id"]
        for alias, key in self.aliases:
            shown[alias] = shown[key]
        if self.tagged:
            shown["tags"] = list(relations.tags)
        if self.faulty:
            # Beyond Octavia's keys, which are all there is while nothing is wrong (contract appendix C).
            message, since = shown.pop("fault"), shown.pop("fault_since")
            if message is not None and shown["provisioning_status"] == ProvisioningStatus.ERROR:
                shown["fault"] = fault(message, since)
        return shown


def fault(message: object, since: object) -> Body:
    """Why an object is in ERROR, and since when it has failed."""
    return {"message": message, "since": _plain(since)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return msgspec.to_builtins(value)


@cache
def view(resource: type[Declared]) -> View:
    """The view of a resource."""
    declared = attributes(resource)
    parents = _PARENTS.get(resource, {})
    shown = {name: wire_name(name, it) for name, it in declared.items() if it.shown and it.stored}
    shown.update(parents)
    faulty = "fault" in declared
    if faulty:
        shown |= {"fault": "fault", "fault_since": "fault_since"}

    def of_column(column: str) -> tuple[str, ...]:
        return tuple(key for name, key in shown.items() if declared[name].kind.column == column)

    return View(
        fields=tuple(shown),
        keys=tuple(shown.values()),
        json=of_column("json"),
        times=of_column("time"),
        parents=tuple(parents.values()),
        children=_CHILDREN.get(resource, ()),
        has_monitor=resource is Pool,
        owned="project_id" in shown,
        tagged="tags" in declared,
        faulty=faulty,
        aliases=tuple(_ALIASES.get(resource, {}).items()),
        extended=tuple(key for name, key in shown.items() if declared[name].extension is not None),
        sparse=tuple(EXTENDED_CHILDREN.get(resource, ())),
    )


def body(item: Declared, relations: Relations) -> dict[str, object]:
    """The object as a response shows it, for one that is at hand as an object rather than a row."""
    return view(type(item)).of_object(item, relations)
