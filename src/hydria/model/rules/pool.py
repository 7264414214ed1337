"""Rules of pools (contract 1.12), and of the pools that a listener can have (1.11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from hydria.model.errors import Invalid, validation
from hydria.model.pool import SESSION_PERSISTENCE, Pool, SessionPersistence
from hydria.model.resource import bad_value
from hydria.model.rules import draft, tls
from hydria.model.rules.deployment import Deployment
from hydria.model.statuses import Algorithm, ListenerProtocol, PersistenceType, PoolProtocol

_EMPTY_IS_NULL = ("tls_container_ref", "ca_tls_container_ref", "crl_container_ref", "tls_ciphers")
_DATAGRAM = (PoolProtocol.UDP, PoolProtocol.SCTP)
_WEIGHING = (Algorithm.ROUND_ROBIN, Algorithm.LEAST_CONNECTIONS)
_PROXIES = (PoolProtocol.PROXY, PoolProtocol.PROXYV2)
_POOLS_OF: Mapping[ListenerProtocol, tuple[PoolProtocol, ...]] = {
    ListenerProtocol.TCP: (PoolProtocol.HTTP, PoolProtocol.HTTPS, *_PROXIES, PoolProtocol.TCP),
    ListenerProtocol.HTTP: (PoolProtocol.HTTP, *_PROXIES),
    ListenerProtocol.HTTPS: (PoolProtocol.HTTPS, *_PROXIES, PoolProtocol.TCP),
    ListenerProtocol.TERMINATED_HTTPS: (PoolProtocol.HTTP, *_PROXIES),
    ListenerProtocol.UDP: (PoolProtocol.UDP,),
    ListenerProtocol.SCTP: (PoolProtocol.SCTP,),
}


def pool_fits_listener(listener_protocol: ListenerProtocol, pool_protocol: PoolProtocol) -> None:
    """Refuse a pool that the listener cannot send its traffic to."""
    if listener_protocol not in _POOLS_OF:
        raise Invalid(f"Protocol {listener_protocol} listeners cannot have child objects.")
    if pool_protocol not in _POOLS_OF[listener_protocol]:
        raise validation(
            f"The pool protocol '{pool_protocol}' is invalid "
            f"while the listener protocol is '{listener_protocol}'."
        )


def pool_created(values: Mapping[str, object], deployment: Deployment) -> dict[str, object]:
    """A new pool's values, session persistence in its stored form, TLS settings filled in if TLS is on."""
    completed = draft.without_empty(values, _EMPTY_IS_NULL)
    pool = draft.created(Pool, completed)
    given = cast("Mapping[str, object] | None", completed.get("session_persistence"))
    if given is not None:
        completed["session_persistence"] = _persistence(pool.protocol, given)
    if pool.crl_container_ref and not pool.ca_tls_container_ref:
        raise validation("A CA certificate reference is required to specify a revocation list.")
    tls.judge(completed, deployment.limits)
    _extensions_fit(pool, completed)
    if pool.tls_enabled:
        for setting, default in deployment.pool_tls.items():
            if completed.get(setting) is None:
                completed[setting] = default
    tls.judge_together(draft.created(Pool, completed), values)
    return completed


def pool_updated(pool: Pool, changes: Mapping[str, object], deployment: Deployment) -> dict[str, object]:
    """A pool's changes.

    Session persistence: null or ``{}`` removes it; otherwise the keys that were given change and the others
    stay, null clears one. Null sets ciphers and versions back to their defaults, and takes ALPN away.
    """
    completed = draft.without_empty(changes, _EMPTY_IS_NULL)
    future = draft.updated(pool, completed)
    if completed.get("session_persistence") is not None:
        given = cast("Mapping[str, object]", completed["session_persistence"])
        completed["session_persistence"] = _merged_persistence(pool, given)
    if "ca_tls_container_ref" in completed or "crl_container_ref" in completed:
        _revocations_fit(pool, future)
    tls.judge(completed, deployment.limits)
    _extensions_fit(future, completed)
    switched_on = future.tls_enabled and not pool.tls_enabled
    for setting, default in deployment.pool_tls.items():
        nulled = setting in completed and completed[setting] is None and setting != "alpn_protocols"
        unset = setting not in completed and getattr(pool, setting) is None
        if nulled or (switched_on and unset):
            completed[setting] = default
    tls.judge_together(draft.updated(pool, completed), changes)
    return completed


def _extensions_fit(pool: Pool, completed: Mapping[str, object]) -> None:
    """Refuse what this pool cannot have, if the request has a part in it."""
    if pool.protocol in _DATAGRAM:
        for name in ("drain_timeout", "slow_start"):
            if completed.get(name) is not None:
                raise validation(f"{name} is not for pools of the protocol {pool.protocol}.")
    elif pool.preserve_source:
        raise validation(f"preserve_source is not for pools of the protocol {pool.protocol}.")
    touched = "slow_start" in completed or "lb_algorithm" in completed
    if touched and pool.slow_start is not None and pool.lb_algorithm not in _WEIGHING:
        raise validation(
            f"slow_start is only for pools with one of the algorithms {', '.join(_WEIGHING)},"
            f" not {pool.lb_algorithm}."
        )


def _merged_persistence(pool: Pool, given: Mapping[str, object]) -> dict[str, object] | None:
    """The stored form of what a PUT makes of a pool's session persistence."""
    says_nothing = all(value is None for value in given.values())
    if says_nothing and len(given) in (0, len(SESSION_PERSISTENCE.fields)):
        return None
    stored = pool.session_persistence
    merged: dict[str, object] = {} if stored is None else msgspec.structs.asdict(stored)
    merged.update(given)
    if merged.get("type") is not PersistenceType.APP_COOKIE and "cookie_name" not in given:
        merged["cookie_name"] = None  # it belonged to the type that the pool had
    return _persistence(pool.protocol, merged)


def _persistence(protocol: PoolProtocol, given: Mapping[str, object]) -> dict[str, object]:
    """The stored form, all four keys, of a record that fits the pool's protocol."""
    if given.get("type") is None:
        raise bad_value("session_persistence.type", None, "Mandatory field missing.")
    persistence = SessionPersistence(**cast("dict[str, object]", dict(given)))  # type: ignore[arg-type]  # parsed
    if protocol in _DATAGRAM:
        _datagram_persistence_fits(persistence)
    elif persistence.persistence_timeout is not None or persistence.persistence_granularity is not None:
        raise validation(
            "persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools."
        )
    if persistence.type is PersistenceType.APP_COOKIE:
        if persistence.cookie_name is None:
            raise validation(
                'Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.'
            )
    elif persistence.cookie_name is not None:
        raise validation(
            'Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".'
        )
    return msgspec.structs.asdict(persistence)


def _datagram_persistence_fits(persistence: SessionPersistence) -> None:
    if persistence.cookie_name is not None:
        if persistence.type is PersistenceType.SOURCE_IP:
            raise validation(
                "session_persistence SOURCE_IP type for UDP and SCTP protocols only accepts: "
                "type, persistence_timeout, persistence_granularity."
            )
        raise validation("Cookie names are not supported for UDP/SCTP pools.")
    if persistence.type is not PersistenceType.SOURCE_IP:
        raise validation(
            f"Session persistence of type {persistence.type} is not supported for UDP/SCTP protocol pools."
        )


def _revocations_fit(pool: Pool, future: Pool) -> None:
    if not future.crl_container_ref or future.ca_tls_container_ref:
        return
    if pool.ca_tls_container_ref and pool.crl_container_ref:
        raise validation("A CA reference cannot be removed when a certificate revocation list is present.")
    raise validation("A CA certificate reference is required to specify a revocation list.")
