"""The two halves of OpenSSL's cipher lists."""

import pytest

from hydria.model.ciphers import Ciphers
from hydria.model.rules import OWASP_B
from hydria.model.statuses import TLSVersion

V1, V1_1, V1_2, V1_3 = tuple(TLSVersion)[1:]
DEFAULT = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")


@pytest.mark.parametrize(
    ("text", "suites", "words", "versions"),
    [
        ("TLS_AES_128_GCM_SHA256", ("TLS_AES_128_GCM_SHA256",), (), [V1_3]),
        ("ECDHE-RSA-AES128-GCM-SHA256", (), ("ECDHE-RSA-AES128-GCM-SHA256",), [V1_2]),
        ("AES128-SHA256", (), ("AES128-SHA256",), [V1_2]),
        ("AES128-SHA", (), ("AES128-SHA",), [V1, V1_1, V1_2]),
        ("TLS_RSA_WITH_AES_128_CBC_SHA256", (), ("TLS_RSA_WITH_AES_128_CBC_SHA256",), [V1_2]),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", (), ("TLS_RSA_WITH_AES_128_CBC_SHA",), [V1, V1_1, V1_2]),
        ("ECDHE+AESGCM", DEFAULT, ("ECDHE+AESGCM",), [V1_2, V1_3]),
        ("HIGH:!aNULL", DEFAULT, ("HIGH", "!aNULL"), [V1, V1_1, V1_2, V1_3]),
        ("DEFAULT@SECLEVEL=0", DEFAULT, ("DEFAULT@SECLEVEL=0",), [V1, V1_1, V1_2, V1_3]),
        (
            "ALL:!TLS_AES_128_GCM_SHA256:-TLS_AES_256_GCM_SHA384",
            DEFAULT[1:2],
            ("ALL",),
            [V1, V1_1, V1_2, V1_3],
        ),
        ("ALL:TLS_AES_128_GCM_SHA256", DEFAULT[2:], ("ALL",), [V1, V1_1, V1_2, V1_3]),
        ("+HIGH:!RC4:-DES:@STRENGTH", (), ("+HIGH", "!RC4", "-DES", "@STRENGTH"), []),
        ("::", (), (), []),
    ],
)
def test_what_a_list_has_for_each_version(text, suites, words, versions):
    listed = Ciphers.of(text)
    assert (listed.suites, listed.words) == (suites, words)
    assert [version for version in (V1, V1_1, V1_2, V1_3) if listed.serve(version)] == versions


def test_names_groups_and_commands():
    listed = Ciphers.of("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-SHA@SECLEVEL=1:!RC4:@STRENGTH")
    assert listed.names == ("TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-SHA")
    assert listed.commands == ("@SECLEVEL=1", "@STRENGTH")
    assert not listed.groups
    assert Ciphers.of("!HIGH:AES128-SHA:AES").groups
    assert not Ciphers.of(OWASP_B).groups
