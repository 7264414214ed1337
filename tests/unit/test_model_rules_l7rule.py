"""Every type of L7 rule with every way to compare, and with good and bad keys and values (contract 1.16)."""

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.l7rule import L7Rule
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import CompareType, RuleType
from hydria.testing import trees

ALL = set(CompareType)
EQUAL = {CompareType.EQUAL_TO}
COMPARES = {
    RuleType.HOST_NAME: ALL,
    RuleType.PATH: ALL,
    RuleType.FILE_TYPE: {CompareType.REGEX, CompareType.EQUAL_TO},
    RuleType.HEADER: ALL,
    RuleType.COOKIE: ALL,
    RuleType.SSL_CONN_HAS_CERT: EQUAL,
    RuleType.SSL_VERIFY_RESULT: EQUAL,
    RuleType.SSL_DN_FIELD: ALL,
    RuleType.METHOD: EQUAL | {CompareType.REGEX},
    RuleType.QUERY: ALL,
    RuleType.SOURCE_IP: EQUAL,
}
# A body that each type takes, whatever the comparison.
GOOD = {kind: {"value": "a"} for kind in RuleType} | {
    RuleType.HEADER: {"key": "X-Test", "value": "a"},
    RuleType.COOKIE: {"key": "sid", "value": "a"},
    RuleType.SSL_CONN_HAS_CERT: {"value": "True"},
    RuleType.SSL_VERIFY_RESULT: {"value": "0"},
    RuleType.SSL_DN_FIELD: {"key": "CN", "value": "a"},
    RuleType.METHOD: {"value": "PATCH"},
    RuleType.QUERY: {"key": "q", "value": "a"},
    RuleType.SOURCE_IP: {"value": "192.0.2.0/24"},
}
PARSING = "Error parsing L7Rule: "
UNFIT = f"{PARSING}Invalid L7 Rule: "


def created(kind, compare, **body):
    values = parse_create(L7Rule, {"type": kind, "compare_type": compare, **body}, {})
    return rules.rule_created(values)


def refused(kind, compare, **body):
    with pytest.raises(Invalid) as refusal:
        created(kind, compare, **body)
    return str(refusal.value)


@pytest.mark.parametrize("compare", CompareType)
@pytest.mark.parametrize("kind", RuleType)
def test_ways_to_compare(kind, compare):
    if compare in COMPARES[kind]:
        assert created(kind, compare, **GOOD[kind])["value"] == GOOD[kind]["value"]
    else:
        assert refused(kind, compare, **GOOD[kind]).startswith(
            f"{UNFIT}invalid comparison type for rule type"
        )


@pytest.mark.parametrize("kind", RuleType)
def test_keys(kind):
    compare, value = CompareType.EQUAL_TO, GOOD[kind]["value"]
    if kind in (RuleType.HEADER, RuleType.COOKIE):
        for none in (None, ""):
            assert refused(kind, compare, key=none, value=value) == f"{UNFIT}L7 rule type requires a key"
        for bad in ("a b", "a:", "a(", 'a"', "\u00e9", "a,"):
            assert refused(kind, compare, key=bad, value=value) == f"{PARSING}Invalid characters in key"
        assert created(kind, compare, key="!#$%&'*+-.^_`|~aZ0", value=value)
    elif kind is RuleType.SSL_DN_FIELD:
        assert "needs to specify a key" in refused(kind, compare, value=value)
        for bad in ("1a", "a b", "-a", "a\u00e9", "a."):
            assert refused(kind, compare, key=bad, value=value) == f"{UNFIT}invalid distinguished name field"
    elif kind is RuleType.QUERY:
        for none in (None, ""):
            assert refused(kind, compare, key=none, value=value) == f"{UNFIT}L7 rule type requires a key"
        for bad in ("a b", "a=", "a&b", "a#", 'a"', "\\", "\u00e9"):
            assert refused(kind, compare, key=bad, value=value) == f"{PARSING}Invalid characters in key"
        assert created(kind, compare, key="a[b]%20(c),*", value=value)
    elif kind in (
        RuleType.SSL_CONN_HAS_CERT, RuleType.SSL_VERIFY_RESULT, RuleType.METHOD, RuleType.SOURCE_IP,
    ):  # fmt: skip
        assert 'does not use the "key" field' in refused(kind, compare, key="a", value=value)
        assert created(kind, compare, key="", value=value)
    else:
        assert created(kind, compare, key="unused", value=value)


PLAIN = [compare for compare in CompareType if compare is not CompareType.REGEX]
BAD_VALUES = {
    RuleType.HOST_NAME: ("comparison value", ("a b", "\u00e9", 'a"b c')),
    RuleType.PATH: ("comparison value", ("/a b", "/\u00e9", '"a b', "/a\tb")),
    RuleType.HEADER: ("header value", ("a b", "a\tb", 'a b"', "\u00e9", '"\u00e9"')),
    RuleType.COOKIE: ("cookie value", ("a b", 'a"', "a,b", "a;b", "a\\b", "\u00e9", '"a b"')),
}


@pytest.mark.parametrize("compare", PLAIN)
@pytest.mark.parametrize("kind", BAD_VALUES)
def test_values_beyond_the_alphabet(kind, compare):
    what, values = BAD_VALUES[kind]
    for value in values:
        found = refused(kind, compare, **{**GOOD[kind], "value": value})
        assert found == f"{PARSING}Invalid characters in {what}", value


@pytest.mark.parametrize("value", ["a\u200bb", "a\xa0b", "\ufeffa", "a\u202eb"])
@pytest.mark.parametrize(
    ("kind", "compare"),
    [
        (RuleType.PATH, CompareType.REGEX),
        (RuleType.HEADER, CompareType.REGEX),
        (RuleType.SSL_DN_FIELD, CompareType.EQUAL_TO),
    ],
)
def test_letters_that_nobody_can_see(kind, compare, value):
    body = GOOD[kind] | {"value": value}
    assert "do not print" in refused(kind, compare, **body)


@pytest.mark.parametrize("kind", [RuleType.HOST_NAME, RuleType.PATH, RuleType.HEADER])
def test_values_of_the_alphabet(kind):
    for value in ("!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", '"a b\tc"', '""', 'a"', "-f"):
        assert created(kind, CompareType.EQUAL_TO, **{**GOOD[kind], "value": value})["value"] == value


@pytest.mark.parametrize("kind", [kind for kind in RuleType if CompareType.REGEX in COMPARES[kind]])
def test_regular_expressions(kind):
    for good in ("^/(a|b) c$", r"\.(jpg|png)$", "(?i)x"):
        assert created(kind, CompareType.REGEX, **{**GOOD[kind], "value": good})
    for bad in ("(", "a{2,1}", "[z-a]", "*", "(" * 200, "(?P<a>x)(?P<a>y)", "a{99999999999}"):
        found = refused(kind, CompareType.REGEX, **{**GOOD[kind], "value": bad})
        assert found.startswith(f"{PARSING}Unable to parse regular expression: "), bad


@pytest.mark.parametrize(
    "value",
    [
        "^(?P<a>x)(?P=a)$",
        r"[\1]",
        r"\\1",
        "[(?(]",
        "[[:alpha:]]",
        "[:a]",
        r"\101",
        "a{65535}",
        "(?i:x)",
        "{9",
        "[{,3}]",
        r"\{,3}",
        r"\Q{,3}\1\E",
        "a++",
        r"\p{L}",
        "a(?i)x",
        "a\tb",
    ],
)
def test_regular_expressions_at_the_edge_of_the_data_planes(value):
    assert created(RuleType.PATH, CompareType.REGEX, value=value)


@pytest.mark.parametrize("kind", [kind for kind in RuleType if CompareType.REGEX in COMPARES[kind]])
@pytest.mark.parametrize(
    "value",
    ["^/[[:number:]]+$", "[[=a=]]", "[[.a.]]", "^/((a{1,200}){1,200}){1,100}$", "(*UTF)a", "(*UCP)a", "(*NO_JIT)a",
     "a{,3}", "{,3}", "a{1, 3}", r"\10", r"(?P<n>a)\1", "(?<=a+)b", r"(a)\1", r"(a)\\\1", "(a)(?(1)b|c)", r"\u00e9", r"[^]\u00e9]", r"\U0001f600", r"\N{DIGIT ONE}", "(?a)x",
     "(?u:x)", "a{65536}", "a{1,70000}", "[:alpha:]"],
)  # fmt: skip
def test_regular_expressions_that_the_data_plane_has_not(kind, value):
    found = refused(kind, CompareType.REGEX, **{**GOOD[kind], "value": value})
    assert found.startswith(f"{PARSING}Unable to parse regular expression: ")


@pytest.mark.parametrize("kind", RuleType)
def test_values_must_be_there_and_stay_on_their_line(kind):
    assert (
        refused(kind, CompareType.EQUAL_TO, **{**GOOD[kind], "value": ""})
        == f"{UNFIT}L7 rule type requires a value"
    )
    for value in (None, "a\r\nb", "a\nb", "\x00", "x" * 256):
        found = refused(kind, CompareType.EQUAL_TO, **{**GOOD[kind], "value": value})
        assert found.startswith("Invalid input for field/attribute value. ")
    assert refused(kind, CompareType.EQUAL_TO, **{**GOOD[kind], "key": "a\nb"}).startswith(
        "Invalid input for field/attribute key. "
    )


def test_values_of_methods_and_addresses():
    for value in ("GET", "M-SEARCH", "get"):
        assert created(RuleType.METHOD, CompareType.EQUAL_TO, value=value)
    for value in ("G T", "GET,POST", '"GET"', "\u00c9"):
        found = refused(RuleType.METHOD, CompareType.EQUAL_TO, value=value)
        assert found == f"{PARSING}Invalid characters in method"
    for value in ("192.0.2.1", "2001:DB8::/32", "0.0.0.0/0", "10.1.2.3/255.0.0.0"):
        assert created(RuleType.SOURCE_IP, CompareType.EQUAL_TO, value=value)
    for value in ("192.0.2", "192.0.2.0/33", "a", "fe80::1%eth0", "192.0.2.1 10.0.0.1"):
        assert "needs an address or a network" in refused(
            RuleType.SOURCE_IP, CompareType.EQUAL_TO, value=value
        )


def test_values_of_tls():
    for value in ("false", "1", "yes"):
        assert "is not a boolean True string" in refused(
            RuleType.SSL_CONN_HAS_CERT, CompareType.EQUAL_TO, value=value
        )
    for value in ("0", "007", str(2**63 - 1)):
        assert created(RuleType.SSL_VERIFY_RESULT, CompareType.EQUAL_TO, value=value)
    for value in ("-1", "1.0", "x", "\u0663", str(2**63), "9" * 255):
        assert "whole number" in refused(RuleType.SSL_VERIFY_RESULT, CompareType.EQUAL_TO, value=value)


CHANGES = {
    "a value for the comparison that it has": ({"compare_type": "REGEX", "value": "a"}, {"value": "("}, "regular"),
    "a comparison for the value that it has": ({"value": "("}, {"compare_type": "REGEX"}, "regular"),
    "a type that needs a key": ({}, {"type": "HEADER"}, "requires a key"),
    "the key of one that needs it": ({"type": "HEADER", "key_name": "a"}, {"key": None}, "requires a key"),
    "a type for the comparison that it has": ({"compare_type": "STARTS_WITH"}, {"type": "FILE_TYPE"}, "comparison"),
    "a type for the value that it has": ({"value": "a,b"}, {"type": "COOKIE", "key": "a"}, "cookie value"),
    "a type that has no key": (
        {"type": "HEADER", "key_name": "a", "compare_type": "EQUAL_TO", "value": "1"}, {"type": "SSL_VERIFY_RESULT"},
        "does not use",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_judged_by_the_rule_that_it_leads_to(case):
    stored, body, part = CHANGES[case]
    words = {"type": RuleType, "compare_type": CompareType}
    rule = trees.rule(
        **{name: words[name](value) if name in words else value for name, value in stored.items()}
    )
    with pytest.raises(Invalid, match=f"^{PARSING}.*{part}"):
        rules.rule_updated(rule, parse_update(L7Rule, body, {}))


def test_nothing_at_all_is_a_change():
    assert rules.rule_updated(trees.rule(), {}) == {}
    assert rules.rule_updated(trees.rule(), {"invert": True}) == {"invert": True}
