"""What the operator's switches do to TLS settings (contract 1.11, section 6)."""

from dataclasses import replace

import pytest

from hydria.model import rules
from hydria.model.statuses import ALPNProtocol, TLSVersion
from tests.unit.test_model_rules_listener import (
    HTTPS,
    STORED_HTTPS,
    create_listener,
    refusal,
    update_listener,
)
from tests.unit.test_model_rules_pool import create_pool, update_pool

SITE = rules.Deployment()


def test_the_operators_tls_limits():
    site = replace(SITE, tls_cipher_prohibit_list=("RC4-SHA", "DES"), minimum_tls_version=TLSVersion.TLS_V1_2)
    prohibited = (
        "Validation failure: The following ciphers have been prohibited by an administrator: RC4-SHA, DES"
    )
    old = "Validation failure: Requested TLS versions are less than the minimum: SSLv3, TLSv1.1 < TLSv1.2"
    for call, subject in ((create_listener, HTTPS), (create_pool, {"tls_enabled": True})):
        assert refusal(call, {**subject, "tls_ciphers": "RC4-SHA:AES128-SHA:DES"}, site=site) == prohibited
        assert refusal(call, {**subject, "tls_versions": ["SSLv3", "TLSv1.1", "TLSv1.3"]}, site=site) == old
        assert call({**subject, "tls_ciphers": "ALL:!RC4-SHA:-DES", "tls_versions": ["TLSv1.2"]}, site=site)
        assert call(subject, site=site)
        # Groups are what is in them, and stand for suites of TLS 1.3, too.
        weak = replace(SITE, tls_cipher_prohibit_list=("AES128-SHA", "TLS_AES_128_GCM_SHA256"))
        both = prohibited.replace("RC4-SHA, DES", "TLS_AES_128_GCM_SHA256, AES128-SHA")
        assert refusal(call, {**subject, "tls_ciphers": "ALL"}, site=weak) == both
        less = "ALL:!AES128-SHA:!TLS_AES_128_GCM_SHA256"
        assert call({**subject, "tls_ciphers": less}, site=weak)["tls_ciphers"] == less
        nothing = "TLS_AES_256_GCM_SHA384:NOTHING"
        assert "OpenSSL finds no cipher of" in refusal(call, {**subject, "tls_ciphers": nothing}, site=weak)
    for call, stored in ((update_listener, STORED_HTTPS), (update_pool, {"tls_enabled": True})):
        assert refusal(call, stored, {"tls_ciphers": "RC4-SHA:AES128-SHA:DES"}, site=site) == prohibited
        assert refusal(call, stored, {"tls_versions": ["SSLv3", "TLSv1.1"]}, site=site) == old
        assert call(stored, {"tls_versions": None}, site=site)["tls_versions"] == ["TLSv1.2", "TLSv1.3"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum_tls_version": TLSVersion.TLS_V1_3}, "The listener defaults of this deployment: "),
        (
            {"tls_cipher_prohibit_list": ("TLS_AES_128_GCM_SHA256",)},
            "The listener defaults of this deployment: ",
        ),
        ({"default_pool_alpn_protocols": ()}, "The pool defaults of this deployment: "),
        ({"default_pool_tls_versions": ()}, "The pool defaults of this deployment: "),
        (
            {
                "default_pool_ciphers": "AES128-SHA",
                "default_pool_tls_versions": (TLSVersion.TLS_V1_3,),
            },
            "The pool defaults of this deployment: Validation failure: tls_ciphers has no cipher for TLSv1.3. ",
        ),
        (
            {"default_listener_tls_versions": (TLSVersion.TLS_V1_1, TLSVersion.TLS_V1_2)},
            "The listener defaults of this deployment: Validation failure: tls_ciphers has no cipher for TLSv1.1. ",
        ),
        (
            {"reserved_ips": ("nowhere",)},
            "Option reserved_ips: 'nowhere' does not appear to be an IPv4 or IPv6",
        ),
    ],
)
def test_deployments_that_contradict_themselves(changes, message):
    assert refusal(replace(SITE, **changes).check).startswith(message)
    SITE.check()


def test_operators_own_tls_defaults():
    site = replace(
        SITE,
        default_listener_ciphers="A",
        default_listener_alpn_protocols=(ALPNProtocol.H2,),
        default_pool_ciphers="B",
    )
    assert create_listener(HTTPS, site=site).items() >= {"tls_ciphers": "A", "alpn_protocols": ["h2"]}.items()
    assert create_pool({"tls_enabled": True}, site=site)["tls_ciphers"] == "B"


@pytest.mark.parametrize(
    "ciphers",
    [
        "AES128-SHA",
        "UNKNOWN:AES128-SHA",
        "ALL:!RC4:@STRENGTH",
        "DEFAULT@SECLEVEL=0",
        "TLS_AES_128_GCM_SHA256",
        "TLS_UNKNOWN:TLS_AES_128_CCM_SHA256:kRSA+AES",
        "@SECLEVEL=0:TLS_AES_128_GCM_SHA256",
    ],
)
def test_cipher_lists_that_openssl_can_read(ciphers):
    for call, subject in ((create_listener, HTTPS), (create_pool, {"tls_enabled": True})):
        assert call({**subject, "tls_ciphers": ciphers})["tls_ciphers"] == ciphers


@pytest.mark.parametrize(
    ("ciphers", "none_of"),
    [
        ("UNKNOWN", "TLS 1.2 and before in 'UNKNOWN'"),
        ("ALL:@SECLEVEL=9", "TLS 1.2 and before in 'ALL:@SECLEVEL=9'"),
        ("TLS_UNKNOWN:AES128-SHA", "TLS 1.3 in 'TLS_UNKNOWN'"),
    ],
)
def test_cipher_lists_that_leave_nothing(ciphers, none_of):
    """With them HAProxy refuses its configuration (tests/node/test_hostile_texts.py)."""
    for call, subject in ((create_listener, HTTPS), (create_pool, {"tls_enabled": True})):
        found = refusal(call, {**subject, "tls_ciphers": ciphers})
        assert found.startswith(f"Validation failure: OpenSSL finds no cipher of {none_of}")
    for call, stored in ((update_listener, STORED_HTTPS), (update_pool, {"tls_enabled": True})):
        assert none_of in refusal(call, stored, {"tls_ciphers": ciphers})


SUITE, OF_1_2 = "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256"


@pytest.mark.parametrize(
    ("ciphers", "versions", "without"),
    [
        (SUITE, ["TLSv1.2"], "TLSv1.2"),
        (SUITE, ["TLSv1.1", "TLSv1.2", "TLSv1.3"], "TLSv1.1, TLSv1.2"),
        (OF_1_2, ["TLSv1.3"], "TLSv1.3"),
        (OF_1_2, ["TLSv1", "TLSv1.2"], "TLSv1"),
        ("!RC4", ["TLSv1.2", "TLSv1.3"], "TLSv1.2, TLSv1.3"),
        (None, ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], "TLSv1, TLSv1.1"),
        (None, ["SSLv3", "TLSv1"], "TLSv1"),
    ],
)
def test_versions_without_a_cipher(ciphers, versions, without):
    """Given together, or one after the other, or with the deployment's default."""
    sentence = f"Validation failure: tls_ciphers has no cipher for {without}. Add some, "
    both = {"tls_ciphers": ciphers, "tls_versions": versions}
    for create, update, body, subject in (
        (create_listener, update_listener, HTTPS, STORED_HTTPS),
        (create_pool, update_pool, {"tls_enabled": True}, {"tls_enabled": True}),
    ):
        stored = {**subject, **both}
        assert refusal(create, {**body, **both}).startswith(sentence)
        assert refusal(update, subject, both).startswith(sentence)
        if ciphers:
            assert refusal(update, stored, {"tls_versions": versions}).startswith(sentence)
            assert refusal(update, stored, {"tls_ciphers": ciphers}).startswith(sentence)
        assert update(stored, {"name": "new"}) == {"name": "new"}


@pytest.mark.parametrize(
    ("ciphers", "versions"),
    [
        (SUITE, ["TLSv1.2", "TLSv1.3"]),
        (SUITE, None),
        (OF_1_2, None),
        ("AES128-SHA", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        ("HIGH", ["TLSv1", "TLSv1.3"]),
        (None, ["SSLv3", "TLSv1.2"]),
    ],
)
def test_versions_with_a_cipher_for_some(ciphers, versions):
    settings = {"tls_ciphers": ciphers, "tls_versions": versions}
    assert create_listener({**HTTPS, **settings})
    assert create_pool({"tls_enabled": True, **settings})
    assert update_listener(STORED_HTTPS, settings)
    assert update_pool({"tls_enabled": True}, settings)
