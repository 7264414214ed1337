"""The pools of a fully populated create: defined where they are used or at the top, referred to by name.

Contract 1.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hydria.api.writing import requests
from hydria.model.errors import validation
from hydria.model.resource import bad_value

Body = Mapping[str, object]

# A pool with no more than these is a reference to one that is defined elsewhere in the request.
_OF_REFERENCES = {"name", "admin_state_up", "tls_enabled"}


def defined(pools: Sequence[Body], listeners: Sequence[Body]) -> dict[str, Body]:
    """Name -> definition of every pool, those that stand in a listener included."""
    in_place = list(_in_place(listeners))
    referenced = [name_of(each) for each in in_place if _is_reference(each)]
    definitions = [*pools, *(each for each in in_place if not _is_reference(each))]
    found: dict[str, Body] = {}
    for each in definitions:
        if name_of(each) in found:
            raise validation("Pool names must be unique when creating a fully populated loadbalancer.")
        found[name_of(each)] = each
    for name in referenced:
        if name not in found:
            raise validation(f"Pool '{name}' was referenced but no full definition was found.")
    return found


def _in_place(listeners: Sequence[Body]) -> Iterator[Body]:
    """Every pool that stands where it is used: as a default pool, or as one that a policy redirects to."""
    for listener in listeners:
        yield from _used(listener, "default_pool")
        for policy in requests.records("l7policies", listener.get("l7policies")):
            yield from _used(policy, "redirect_pool")


def _used(body: Body, key: str) -> Iterator[Body]:
    pool = body.get(key)
    if isinstance(pool, Mapping):
        yield pool
    elif pool is not None:
        raise bad_value(key, pool, "Expected an object.")


def _is_reference(pool: Body) -> bool:
    return set(pool) <= _OF_REFERENCES


def name_of(pool: Body) -> str:
    name = pool.get("name")
    if name is not None and not isinstance(name, str):
        raise bad_value("name", name, "Expected a string.")
    if not name:
        raise validation("Pools must be named when creating a fully populated loadbalancer.")
    return name
