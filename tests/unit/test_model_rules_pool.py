"""Rules of pools (contract 1.12)."""

import msgspec
import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import (
    ListenerProtocol,
    PersistenceType,
    PoolProtocol,
)
from hydria.testing import trees
from tests.unit.test_model_resource import MINIMAL

SITE = rules.Deployment()
ALPN = ["h2", "http/1.1", "http/1.0"]
TLS_DEFAULTS = {
    "tls_ciphers": rules.OWASP_B,
    "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "alpn_protocols": ALPN,
}
NO_TLS = dict.fromkeys(TLS_DEFAULTS)


def create_pool(body, *, site=SITE):
    return rules.pool_created(parse_create(Pool, {**MINIMAL[Pool], **body}, {}), site)


def update_pool(stored, body, *, site=SITE):
    return rules.pool_updated(trees.pool(**stored), parse_update(Pool, body, {}), site)


def refusal(call, *args, **more):
    with pytest.raises(Invalid) as raised:
        call(*args, **more)
    return str(raised.value)


FITTING = {
    "TCP": {"HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"},
    "HTTP": {"HTTP", "PROXY", "PROXYV2"},
    "HTTPS": {"HTTPS", "PROXY", "PROXYV2", "TCP"},
    "TERMINATED_HTTPS": {"HTTP", "PROXY", "PROXYV2"},
    "UDP": {"UDP"},
    "SCTP": {"SCTP"},
}


@pytest.mark.parametrize("pool", PoolProtocol)
@pytest.mark.parametrize("listener", ListenerProtocol)
def test_which_pool_fits_which_listener(listener, pool):
    if pool in FITTING.get(listener, ()):
        rules.pool_fits_listener(listener, pool)
    elif listener == "PROMETHEUS":
        message = "Protocol PROMETHEUS listeners cannot have child objects."
        assert refusal(rules.pool_fits_listener, listener, pool) == message
    else:
        assert refusal(rules.pool_fits_listener, listener, pool) == (
            f"Validation failure: The pool protocol '{pool}' is invalid while the "
            f"listener protocol is '{listener}'."
        )


COOKIE = {"type": "APP_COOKIE", "cookie_name": "sid"}
ONLY_APP_COOKIE = (
    "Validation failure: "
    'Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".'
)
NEEDS_COOKIE = (
    "Validation failure: "
    'Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.'
)
NEEDS_TYPE = (
    "Invalid input for field/attribute session_persistence.type. Value: 'None'. Mandatory field missing."
)
ONLY_DATAGRAM = (
    "Validation failure: "
    "persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools."
)


def whole(**given):
    """The stored form."""
    keys = ("type", "cookie_name", "persistence_timeout", "persistence_granularity")
    return {key: given.get(key) for key in keys}


@pytest.mark.parametrize(
    ("protocol", "given", "message"),
    [
        ("HTTP", {}, NEEDS_TYPE),
        ("HTTP", {"cookie_name": "sid"}, NEEDS_TYPE),
        ("HTTP", {"type": "SOURCE_IP", "cookie_name": "sid"}, ONLY_APP_COOKIE),
        ("HTTP", {"type": "HTTP_COOKIE", "cookie_name": "sid"}, ONLY_APP_COOKIE),
        ("HTTP", {"type": "APP_COOKIE"}, NEEDS_COOKIE),
        ("HTTP", {"type": "SOURCE_IP", "persistence_timeout": 5}, ONLY_DATAGRAM),
        ("TCP", {"type": "SOURCE_IP", "persistence_granularity": "255.255.0.0"}, ONLY_DATAGRAM),
        (
            "UDP",
            {"type": "SOURCE_IP", "cookie_name": "sid"},
            (
                "Validation failure: session_persistence SOURCE_IP type for UDP and "
                "SCTP protocols only accepts: "
                "type, persistence_timeout, persistence_granularity."
            ),
        ),
        ("SCTP", COOKIE, "Validation failure: Cookie names are not supported for UDP/SCTP pools."),
        (
            "UDP",
            {"type": "HTTP_COOKIE"},
            (
                "Validation failure: Session persistence of type HTTP_COOKIE is not "
                "supported for UDP/SCTP protocol pools."
            ),
        ),
        (
            "SCTP",
            {"type": "APP_COOKIE"},
            (
                "Validation failure: Session persistence of type APP_COOKIE is not "
                "supported for UDP/SCTP protocol pools."
            ),
        ),
        (
            "HTTP",
            {"type": "APP_COOKIE", "cookie_name": "a b"},
            (
                "Invalid input for field/attribute session_persistence.cookie_name. Value: 'a b'. "
                'Supplied "cookie_name" is invalid.'
            ),
        ),
        (
            "HTTP",
            {"type": "COOKIE"},
            "Invalid input for field/attribute session_persistence.type. Value: 'COOKIE'. ",
        ),
        (
            "HTTP",
            {"type": "SOURCE_IP", "x": 1},
            "Unknown attribute for argument pool_.pool.session_persistence: x",
        ),
    ],
)
def test_session_persistence_that_does_not_fit(protocol, given, message):
    assert refusal(create_pool, {"protocol": protocol, "session_persistence": given}).startswith(message)


@pytest.mark.parametrize(
    ("protocol", "given"),
    [
        *((protocol, {"type": "SOURCE_IP"}) for protocol in PoolProtocol),
        *(
            (protocol, {"type": "HTTP_COOKIE"})
            for protocol in PoolProtocol
            if protocol not in ("UDP", "SCTP")
        ),
        *((protocol, COOKIE) for protocol in PoolProtocol if protocol not in ("UDP", "SCTP")),
        ("UDP", {"type": "SOURCE_IP", "persistence_timeout": 5, "persistence_granularity": "255.255.0.0"}),
    ],
)
def test_session_persistence_that_fits(protocol, given):
    stored = create_pool({"protocol": protocol, "session_persistence": given})["session_persistence"]
    assert stored == whole(**given)


@pytest.mark.parametrize(
    ("stored", "given", "result"),
    [
        (None, None, None),
        (COOKIE, None, None),
        (COOKIE, {}, None),
        (COOKIE, whole(), None),
        (None, {}, None),
        (None, {"cookie_name": "sid"}, NEEDS_TYPE),
        (None, COOKIE, whole(**COOKIE)),
        (COOKIE, {"cookie_name": "new"}, whole(type="APP_COOKIE", cookie_name="new")),
        (COOKIE, {"type": "APP_COOKIE"}, whole(**COOKIE)),
        (COOKIE, {"type": "SOURCE_IP"}, whole(type="SOURCE_IP")),
        (COOKIE, {"type": "SOURCE_IP", "cookie_name": "new"}, ONLY_APP_COOKIE),
        (COOKIE, {"type": None, "cookie_name": "new"}, NEEDS_TYPE),
        (COOKIE, {"cookie_name": None}, NEEDS_COOKIE),
        ({"type": "SOURCE_IP"}, {"cookie_name": "sid"}, ONLY_APP_COOKIE),
        ({"type": "SOURCE_IP"}, {"type": "APP_COOKIE"}, NEEDS_COOKIE),
    ],
)
def test_changes_of_session_persistence(stored, given, result):
    present = {"session_persistence": None if stored is None else msgspec.convert(stored, SessionPersistence)}
    body = {"session_persistence": given}
    if isinstance(result, str):
        assert refusal(update_pool, present, body) == result
    else:
        assert update_pool(present, body) == {"session_persistence": result}


def test_changes_of_session_persistence_on_udp():
    present = {
        "protocol": PoolProtocol.UDP,
        "session_persistence": SessionPersistence(
            type=PersistenceType.SOURCE_IP, persistence_timeout=5, persistence_granularity="255.0.0.0"
        ),
    }
    changed = update_pool(present, {"session_persistence": {"persistence_timeout": None}})
    assert changed == {"session_persistence": whole(type="SOURCE_IP", persistence_granularity="255.0.0.0")}


def test_tls_of_new_pools():
    names = TLS_DEFAULTS.keys()
    assert {name: create_pool({"tls_enabled": True})[name] for name in names} == TLS_DEFAULTS
    assert {name: create_pool({})[name] for name in names} == NO_TLS
    assert create_pool({"tls_enabled": True, "alpn_protocols": ["h2"]})["alpn_protocols"] == ["h2"]


@pytest.mark.parametrize(
    ("stored", "body", "result"),
    [
        ({}, {"name": "new"}, {"name": "new"}),
        ({"tls_enabled": True}, {"tls_ciphers": None}, {"tls_ciphers": rules.OWASP_B}),
        ({}, {"tls_versions": None}, {"tls_versions": ["TLSv1.2", "TLSv1.3"]}),
        ({"tls_enabled": True}, {"alpn_protocols": None}, {"alpn_protocols": None}),
        ({}, {"tls_enabled": True}, {"tls_enabled": True, **TLS_DEFAULTS}),
        (
            {"tls_ciphers": "A"},
            {"tls_enabled": True, "alpn_protocols": None},
            {"tls_enabled": True, "alpn_protocols": None, "tls_versions": ["TLSv1.2", "TLSv1.3"]},
        ),
        ({"tls_enabled": True}, {"tls_enabled": True}, {"tls_enabled": True}),
        (
            {"ca_tls_container_ref": "a", "crl_container_ref": "b"},
            {"crl_container_ref": None},
            {"crl_container_ref": None},
        ),
        (
            {"ca_tls_container_ref": "a", "crl_container_ref": "b"},
            {"crl_container_ref": None, "ca_tls_container_ref": ""},
            {"crl_container_ref": None, "ca_tls_container_ref": None},
        ),
    ],
)
def test_changes_of_pool_tls(stored, body, result):
    assert update_pool(stored, body) == result


def test_revocation_lists_of_pools():
    needs = "Validation failure: A CA certificate reference is required to specify a revocation list."
    kept = (
        "Validation failure: A CA reference cannot be removed when a certificate revocation list is present."
    )
    assert refusal(create_pool, {"crl_container_ref": "b"}) == needs
    assert refusal(update_pool, {}, {"crl_container_ref": "b"}) == needs
    both = {"ca_tls_container_ref": "a", "crl_container_ref": "b"}
    assert refusal(update_pool, both, {"ca_tls_container_ref": None}) == kept
    assert create_pool(both).items() >= both.items()


@pytest.mark.parametrize("empty", ["tls_versions", "alpn_protocols"])
def test_empty_tls_lists_of_pools(empty):
    assert refusal(create_pool, {empty: []}).startswith("Validation failure: Empty ")
    assert refusal(update_pool, {}, {empty: []}).startswith("Validation failure: Empty ")


def test_arguments_are_left_as_they_are():
    changes = {"session_persistence": {"cookie_name": "new"}, "tls_ciphers": None}
    stored = trees.pool(session_persistence=msgspec.convert(COOKIE, SessionPersistence))
    rules.pool_updated(stored, changes, SITE)
    assert changes == {"session_persistence": {"cookie_name": "new"}, "tls_ciphers": None}
