"""Rules of listeners, and what the deployment says of TLS (contract 1.11)."""

from dataclasses import replace

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.listener import HEADERS, SSL_HEADERS, Listener
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import (
    ClientAuthentication,
    ListenerProtocol,
)
from hydria.testing import trees
from tests.unit.test_model_resource import MINIMAL, TIMEOUTS

SITE = rules.Deployment()
VIPS = ("192.0.2.10",)
ALPN = ["h2", "http/1.1", "http/1.0"]
TLS_DEFAULTS = {
    "tls_ciphers": rules.OWASP_B,
    "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "alpn_protocols": ALPN,
}
NO_TLS = dict.fromkeys(TLS_DEFAULTS)


def create_listener(body, *, site=SITE, vips=VIPS, **more):
    values = parse_create(Listener, {**MINIMAL[Listener], **body}, TIMEOUTS)
    return rules.listener_created(values, vips, site, **more)


def update_listener(stored, body, *, site=SITE, vips=VIPS, **more):
    """``stored``: attributes of the listener that there is."""
    return rules.listener_updated(
        trees.listener(**stored), parse_update(Listener, body, TIMEOUTS), vips, site, **more
    )


def refusal(call, *args, **more):
    with pytest.raises(Invalid) as raised:
        call(*args, **more)
    return str(raised.value)


CERT = {"default_tls_container_ref": "https://barbican/1"}
HTTPS = {"protocol": "TERMINATED_HTTPS", **CERT}
STORED_HTTPS = {"protocol": ListenerProtocol.TERMINATED_HTTPS, **CERT}
CA = {"client_ca_tls_container_ref": "https://barbican/ca"}
CRL = {"client_crl_container_ref": "https://barbican/crl"}
NO_CERTIFICATE = (
    "Validation failure: An SNI or default certificate container reference must be provided "
    "for TERMINATED_HTTPS protocol listeners."
)
CA_ALONE = (
    "Validation failure: An SNI or default certificate container reference must be provided "
    "with a client CA container reference."
)
CRL_ALONE = (
    "Validation failure: A client authentication CA reference is required "
    "to specify a client authentication revocation list."
)
HSTS_ALONE = (
    "Validation failure: HSTS configuration options hsts_include_subdomains and hsts_preload only make sense "
    "if hsts_max_age is set as well."
)
HSTS_ELSEWHERE = (
    "Validation failure: The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *(
            (
                {"protocol": protocol, "insert_headers": {"X-Forwarded-For": "true"}},
                f"insert-headers is not a valid option for a {protocol} protocol listener.",
            )
            for protocol in ("TCP", "HTTPS", "UDP", "SCTP", "PROMETHEUS")
        ),
        (
            {"insert_headers": {"X-Forwarded-For": "true", "X-Foo": "true", "X-Bar": "false"}},
            "['X-Foo', 'X-Bar'] is not a valid option for insert_headers",
        ),
        (
            {"insert_headers": {"X-SSL-Client-DN": "true"}},
            "['X-SSL-Client-DN'] is not a valid option for HTTP protocol listener.",
        ),
        *(
            (
                {"protocol": protocol, **tls},
                f"Validation failure: {protocol} protocol listener does not support TLS.",
            )
            for protocol in ("UDP", "SCTP")
            for tls in (
                CERT,
                CA,
                CRL,
                {"sni_container_refs": ["a"]},
                {"client_authentication": "OPTIONAL"},
                {"tls_versions": ["TLSv1.3"]},
            )
        ),
        *(
            (
                {"protocol": protocol, **refs},
                (
                    f"Validation failure: Certificate container references are not allowed "
                    f"on {protocol} protocol listeners."
                ),
            )
            for protocol in ("TCP", "HTTP", "HTTPS")
            for refs in (CERT, {"sni_container_refs": ["a"]})
        ),
        ({"protocol": "TERMINATED_HTTPS"}, NO_CERTIFICATE),
        ({"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": ""}, NO_CERTIFICATE),
        ({"protocol": "TERMINATED_HTTPS", "sni_container_refs": [""]}, NO_CERTIFICATE),
        (CA, CA_ALONE),
        ({"protocol": "PROMETHEUS", **CA}, CA_ALONE),
        (
            {**HTTPS, "client_authentication": "MANDATORY"},
            (
                "Validation failure: Client authentication setting MANDATORY requires "
                "a client CA container reference."
            ),
        ),
        (
            {"client_authentication": "OPTIONAL"},
            (
                "Validation failure: Client authentication setting OPTIONAL requires a "
                "client CA container reference."
            ),
        ),
        ({**HTTPS, **CRL}, CRL_ALONE),
        (
            {"protocol": "PROMETHEUS", "default_pool_id": trees.POOL},
            "Protocol PROMETHEUS listeners cannot have child objects.",
        ),
        ({"hsts_include_subdomains": True}, HSTS_ALONE),
        ({**HTTPS, "hsts_preload": True}, HSTS_ALONE),
        ({"hsts_max_age": 0}, HSTS_ELSEWHERE),
        ({"protocol": "UDP", "hsts_max_age": 5}, HSTS_ELSEWHERE),
        ({**HTTPS, "tls_versions": []}, "Validation failure: Empty TLS version list. "),
        ({**HTTPS, "alpn_protocols": []}, "Validation failure: Empty ALPN protocol list. "),
        (
            {"allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"]},
            (
                "Validation failure: CIDR 2001:db8::/32 IP version incompatible with "
                "all VIPs ['192.0.2.10'] IP version."
            ),
        ),
    ],
)
def test_listeners_that_cannot_be_created(body, message):
    assert refusal(create_listener, body).startswith(message)


@pytest.mark.parametrize(
    ("stored", "body", "message"),
    [
        *(
            (
                {"protocol": protocol},
                body,
                f"Validation failure: {protocol} protocol listener does not support TLS or header insertion.",
            )
            for protocol in (ListenerProtocol.UDP, ListenerProtocol.SCTP)
            for body in (CERT, {"insert_headers": {"X-Forwarded-For": "true"}}, {"alpn_protocols": ["h2"]})
        ),
        (
            {"protocol": ListenerProtocol.TCP},
            {"insert_headers": {"X-Forwarded-For": "true"}},
            "insert-headers is not a valid option for a TCP protocol listener.",
        ),
        (
            {},
            CERT,
            (
                "Validation failure: Certificate container references are not allowed "
                "on HTTP protocol listeners."
            ),
        ),
        (STORED_HTTPS, {"default_tls_container_ref": None}, NO_CERTIFICATE),
        (
            {**STORED_HTTPS, "sni_container_refs": ["a"], "default_tls_container_ref": None},
            {"sni_container_refs": None},
            NO_CERTIFICATE,
        ),
        ({"protocol": ListenerProtocol.PROMETHEUS}, CA, CA_ALONE),
        (STORED_HTTPS, CRL, CRL_ALONE),
        ({**STORED_HTTPS, **CA, **CRL}, {"client_ca_tls_container_ref": None}, CRL_ALONE),
        (
            {**STORED_HTTPS, **CA, "client_authentication": ClientAuthentication.OPTIONAL},
            {"client_ca_tls_container_ref": None},
            (
                "Validation failure: Client authentication setting OPTIONAL requires a "
                "client CA container reference."
            ),
        ),
        (
            {"protocol": ListenerProtocol.PROMETHEUS},
            {"default_pool_id": trees.POOL},
            "Protocol PROMETHEUS listeners cannot have child objects.",
        ),
        ({}, {"hsts_max_age": 5}, HSTS_ELSEWHERE),
        (
            STORED_HTTPS,
            {"hsts_preload": True},
            (
                "Validation failure: Cannot enable hsts_include_subdomains or hsts_preload "
                "if hsts_max_age was not set as well."
            ),
        ),
        (
            {**STORED_HTTPS, "hsts_max_age": 5},
            {"hsts_max_age": None, "hsts_include_subdomains": True},
            (
                "Validation failure: Cannot enable hsts_include_subdomains or hsts_preload "
                "if hsts_max_age was not set as well."
            ),
        ),
        ({}, {"tls_versions": []}, "Validation failure: Empty TLS version list. "),
        (
            {},
            {"allowed_cidrs": ["2001:db8::/32"]},
            "Validation failure: CIDR 2001:db8::/32 IP version incompatible",
        ),
    ],
)
def test_listeners_that_cannot_be_changed_so(stored, body, message):
    assert refusal(update_listener, stored, body).startswith(message)


@pytest.mark.parametrize("protocol", ListenerProtocol)
def test_tls_defaults_of_new_listeners_are_for_terminated_https_alone(protocol):
    terminates = protocol is ListenerProtocol.TERMINATED_HTTPS
    values = create_listener({"protocol": protocol, **(CERT if terminates else {})})
    assert {name: values[name] for name in TLS_DEFAULTS} == (TLS_DEFAULTS if terminates else NO_TLS)


def test_tls_defaults_of_listeners_for_metrics():
    """Otherwise OpenSSL's would hold, whatever the operator prohibits."""
    assert create_listener({"protocol": "PROMETHEUS", **CERT}).items() >= TLS_DEFAULTS.items()
    plain = {"protocol": ListenerProtocol.PROMETHEUS}
    assert update_listener(plain, CERT) == CERT | TLS_DEFAULTS
    own = {"tls_ciphers": "HIGH"}
    kept = {name: value for name, value in TLS_DEFAULTS.items() if name not in own}
    assert update_listener(plain | own, CERT) == CERT | kept
    assert update_listener(plain, CERT | own) == CERT | TLS_DEFAULTS | own
    assert update_listener(plain | CERT, {"name": "new"}) == {"name": "new"}


@pytest.mark.parametrize("protocol", ListenerProtocol)
def test_null_resets_tls_settings_on_every_listener(protocol):
    assert update_listener({"protocol": protocol}, NO_TLS) == TLS_DEFAULTS


def test_tls_settings_that_were_given_stay():
    given = {"tls_ciphers": "AES128-SHA", "tls_versions": ["TLSv1.1"], "alpn_protocols": ["h2"]}
    assert create_listener({**HTTPS, **given}).items() >= given.items()
    assert update_listener(STORED_HTTPS, given) == given


def test_an_empty_cipher_string_is_none():
    assert create_listener({**HTTPS, "tls_ciphers": ""})["tls_ciphers"] == rules.OWASP_B
    assert update_listener({}, {"tls_ciphers": ""})["tls_ciphers"] == rules.OWASP_B


@pytest.mark.parametrize(
    "body",
    [
        {"insert_headers": dict.fromkeys(HEADERS, "true")},
        {**HTTPS, "insert_headers": dict.fromkeys(HEADERS + SSL_HEADERS, "true")},
        {"protocol": "TERMINATED_HTTPS", "sni_container_refs": ["a"]},
        {**HTTPS, **CA, **CRL, "client_authentication": "MANDATORY"},
        {"protocol": "PROMETHEUS", **CERT, **CA},
        {**HTTPS, "hsts_max_age": 0, "hsts_include_subdomains": True, "hsts_preload": True},
        {"allowed_cidrs": ["10.0.0.0/8", "0.0.0.0/0"]},
        {"protocol": "UDP", "insert_headers": {}, "sni_container_refs": [], "client_authentication": "NONE"},
    ],
)
def test_listeners_that_can_be_created(body):
    assert create_listener(body).items() >= {**body, "insert_headers": body.get("insert_headers", {})}.items()


@pytest.mark.parametrize(
    ("stored", "body"),
    [
        # Unrelated changes, though the stored object breaks a rule (that was tightened since, perhaps).
        ({"protocol": ListenerProtocol.TERMINATED_HTTPS}, {"name": "new"}),
        ({"allowed_cidrs": ["2001:db8::/32"]}, {"name": "new"}),
        ({"insert_headers": {"X-Foo": "true"}}, {"name": "new"}),
        (
            {**STORED_HTTPS, "hsts_max_age": 5, "hsts_preload": True},
            {"hsts_max_age": None},
        ),
        ({**STORED_HTTPS, "sni_container_refs": ["a"]}, {"default_tls_container_ref": None}),
        ({"allowed_cidrs": ["192.0.2.0/24"]}, {"allowed_cidrs": None}),
        ({"protocol": ListenerProtocol.UDP}, {"insert_headers": {}, "client_authentication": "NONE"}),
    ],
)
def test_listeners_that_can_be_changed_so(stored, body):
    assert update_listener(stored, body) == body


@pytest.mark.parametrize(
    ("switch", "protocol"),
    [("allow_tls_terminated_listeners", "TERMINATED_HTTPS"), ("allow_prometheus_listeners", "PROMETHEUS")],
)
def test_protocols_that_the_operator_switched_off(switch, protocol):
    site = replace(SITE, **{switch: False})
    message = f"The selected protocol is not allowed in this deployment: {protocol}"
    assert refusal(create_listener, {"protocol": protocol, **CERT}, site=site) == message
    create_listener({"protocol": "HTTP"}, site=site)


def test_cidr_families():
    both = (*VIPS, "2001:db8::10")
    assert create_listener({"allowed_cidrs": ["2001:db8::/32", "10.0.0.0/8"]}, vips=both)
    assert create_listener({"allowed_cidrs": ["2001:db8::/32"]}, vips=())  # not known yet
    assert create_listener({"allowed_cidrs": []}, vips=VIPS)["allowed_cidrs"] is None
    message = "Validation failure: Allowed CIDRs are not allowed when using custom VIP Security Groups."
    assert refusal(create_listener, {"allowed_cidrs": ["10.0.0.0/8"]}, vip_sg_ids=["a"]) == message
    assert refusal(update_listener, {}, {"allowed_cidrs": ["10.0.0.0/8"]}, vip_sg_ids=["a"]) == message
    assert create_listener({}, vip_sg_ids=["a"])


def test_arguments_are_left_as_they_are():
    values = parse_create(Listener, {**MINIMAL[Listener], **HTTPS, "sni_container_refs": [""]}, TIMEOUTS)
    before = dict(values)
    rules.listener_created(values, VIPS, SITE)
    assert values == before
