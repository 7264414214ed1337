"""Rules of members (contract 1.13)."""

from dataclasses import replace

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.member import Member
from hydria.model.resource import parse_create, parse_update
from hydria.testing import trees
from tests.unit.test_model_resource import MINIMAL

SITE = rules.Deployment()
ALPN = ["h2", "http/1.1", "http/1.0"]
TLS_DEFAULTS = {
    "tls_ciphers": rules.OWASP_B,
    "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "alpn_protocols": ALPN,
}


def refusal(call, *args, **more):
    with pytest.raises(Invalid) as raised:
        call(*args, **more)
    return str(raised.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"address": "169.254.169.254"}, "169.254.169.254 is not a valid option for member address"),
        (
            {"address": "::ffff:169.254.169.254"},
            "::ffff:169.254.169.254 is not a valid option for member address",
        ),
        ({"address": "::FFFF:a9fe:a9fe"}, "::FFFF:a9fe:a9fe is not a valid option for member address"),
        ({"address": "2001:DB8:0::1"}, "2001:DB8:0::1 is not a valid option for member address"),
        (
            {"monitor_address": "169.254.169.254"},
            "169.254.169.254 is not a valid option for member monitor_address",
        ),
        ({"address": "0.0.0.0"}, "The IP Address 0.0.0.0 is invalid."),
        ({"address": "::"}, "The IP Address :: is invalid."),
        ({"address": "::ffff:0.0.0.0"}, "The IP Address ::ffff:0.0.0.0 is invalid."),
    ],
)
def test_addresses_that_no_member_may_have(body, message):
    site = replace(SITE, reserved_ips=("169.254.169.254", "2001:db8::1"))
    values = parse_create(Member, {**MINIMAL[Member], **body}, {})
    assert refusal(rules.member_created, values, site) == message
    if "address" not in body:
        assert refusal(rules.member_updated, trees.member(), parse_update(Member, body, {}), site) == message


def test_members_that_are_fine():
    values = parse_create(Member, {**MINIMAL[Member], "monitor_address": "2001:db8::9"}, {})
    assert rules.member_created(values, SITE) == values
    assert rules.member_updated(trees.member(), {"monitor_address": None}, SITE) == {"monitor_address": None}
