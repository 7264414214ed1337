"""Kinds: what each takes, in which form it keeps it, and what it refuses (contract 1.4)."""

from datetime import datetime

import pytest

from hydria.model import alphabets, kinds
from hydria.model.statuses import ListenerProtocol, TLSVersion

UUID = "11111111-2222-4333-8444-55555555aaaa"
HUGE = 10**5000  # more digits than Python prints
PORT = kinds.Integer(1, 65535)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (kinds.Text(), "", ""),
        (kinds.Text(3), "\U0001f600" * 3, "\U0001f600" * 3),
        (kinds.Text(lines=True), "one\n\ttwo\r\nthree\u2028four", "one\n\ttwo\r\nthree\u2028four"),
        (kinds.Identifier(), UUID, UUID),
        (kinds.Identifier(), UUID.upper().replace("-", ""), UUID),
        (PORT, "80", 80),
        (PORT, " +80 ", 80),
        (PORT, 80.9, 80),
        (kinds.Integer(0, 9), -0.9, 0),
        (kinds.Boolean(), 1, True),
        (kinds.Boolean(), "No", False),
        (kinds.Boolean(), " ON ", True),
        (kinds.Choice(ListenerProtocol), "HTTP", ListenerProtocol.HTTP),
        (kinds.NumberChoice((1.0, 1.1)), 1, 1.0),
        (kinds.NumberChoice((1.0, 1.1)), "1", 1.0),
        (kinds.NumberChoice((1.0, 1.1)), "1.1", 1.1),
        (kinds.Address(), "2001:DB8::1", "2001:DB8::1"),
        (kinds.Address(), "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        (kinds.Network(), "192.0.2.77/24", "192.0.2.0/24"),
        (kinds.Network(), "192.0.2.77/255.255.255.0", "192.0.2.0/24"),
        (kinds.Network(), "192.0.2.77", "192.0.2.77/32"),
        (kinds.Network(), "2001:DB8::77/32", "2001:db8::/32"),
        (kinds.ListOf(kinds.Text()), ["b", "a", "b"], ["b", "a"]),
        (kinds.ListOf(kinds.Network(), empty_is_null=True), [], None),
        (kinds.ListOf(kinds.Network()), ["192.0.2.1/24", "192.0.2.9/24"], ["192.0.2.0/24"]),
        (kinds.TextMap(), {"a": "b"}, {"a": "b"}),
        (kinds.Record({"a": PORT, "b": PORT}), {"a": "1"}, {"a": 1, "b": None}),
        (kinds.Time(), "2026-01-02T03:04:05", datetime.fromisoformat("2026-01-02T03:04:05")),
        (kinds.Time(), "2026-01-02T03:04:05+02:00", datetime.fromisoformat("2026-01-02T01:04:05")),
        (alphabets.COOKIE_NAME, "JSESSION!#$%&'*+-.^_`|~1", "JSESSION!#$%&'*+-.^_`|~1"),
        (alphabets.URL_PATH, "/", "/"),
        (alphabets.URL_PATH, "/a%20b;c?d=[e]&f='g'", "/a%20b;c?d=[e]&f='g'"),
        *(
            (alphabets.REDIRECT_URL, url, url)
            for url in (
                "http://a",
                "HTTPS://user@a.example:8443/a%20b/[c];d",
                'https://a/?q={a|b}&c=100%&d="<>\\^`',
                "https://a?q=%zz#{f}%",
                "https://a/#\\",
            )
        ),
        (alphabets.EXPECTED_CODES, "200", "200"),
        (alphabets.EXPECTED_CODES, "200, 202,301", "200, 202,301"),
        (alphabets.EXPECTED_CODES, "200-204", "200-204"),
        (alphabets.HOST_NAME, "a_b.example.org.", "a_b.example.org."),
        (alphabets.CIPHERS, "AES128-GCM-SHA256:!aNULL:@SECLEVEL=2", "AES128-GCM-SHA256:!aNULL:@SECLEVEL=2"),
    ],
)
def test_takes(kind, given, kept):
    value = kind.parse(given)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (kinds.Text(3), "abcd", "Value should have a maximum character requirement of 3"),
        (kinds.Text(), "a\nb", "control characters"),
        (kinds.Text(), "a\u2029b", "control characters"),
        (kinds.Text(), "a\x85b", "control characters"),
        (kinds.Text(), "a\ud800b", "control characters"),
        (kinds.Text(lines=True), "a\rb", "control characters"),
        (kinds.Text(lines=True), "a\x00b", "control characters"),
        (kinds.Text(lines=True), "a\x1b[2Jb", "control characters"),
        (kinds.Text(), 5, "Expected a string, not a number."),
        (kinds.Text(), {}, "Expected a string, not an object."),
        (kinds.Identifier(), "lb1", "Value should be UUID format"),
        (kinds.Identifier(), f"{{{UUID}}}", "Value should be UUID format"),
        (PORT, 0, "Value should be greater or equal to 1"),
        (PORT, "65536", "Value should be lower or equal to 65535"),
        pytest.param(PORT, HUGE, "Value should be lower or equal to 65535", id="huge integer"),
        (PORT, float("nan"), "Unable to convert the value to an integer."),
        (PORT, float("inf"), "Unable to convert the value to an integer."),
        (PORT, "80.5", "Unable to convert the value to an integer."),
        (PORT, "\u0668\u0660", "Unable to convert the value to an integer."),
        (PORT, True, "Expected an integer, not a boolean."),
        (kinds.Boolean(), 2, "Unable to convert the value to a boolean"),
        pytest.param(kinds.Boolean(), HUGE, "Unable to convert the value to a boolean", id="huge boolean"),
        (kinds.Boolean(), "maybe", "Unable to convert the value to a boolean"),
        (kinds.Choice(ListenerProtocol), "http", "Value should be one of: TCP, HTTP, HTTPS, "),
        (kinds.Choice(ListenerProtocol), ["HTTP"], "Value should be one of: TCP, "),
        (kinds.Choice(TLSVersion, "Invalid TLS versions"), "TLSv9", "Invalid TLS versions: TLSv9."),
        (kinds.NumberChoice((1.0, 1.1)), 1.2, "Value should be one of: 1.0, 1.1"),
        (kinds.NumberChoice((1.0, 1.1)), True, "Value should be one of: 1.0, 1.1"),
        pytest.param(
            kinds.NumberChoice((1.0, 1.1)), HUGE, "Value should be one of: 1.0, 1.1", id="huge number"
        ),
        (kinds.Address(), "fe80::1%eth0", "Value should be IPv4 or IPv6 format"),
        (kinds.Address(), "192.0.2.1/24", "Value should be IPv4 or IPv6 format"),
        (kinds.Address(), 3232235777, "Value should be IPv4 or IPv6 format"),
        (kinds.Network(), "192.0.2.0/33", "Value should be IPv4 or IPv6 CIDR format"),
        (kinds.Network(), "fe80::%eth0/64", "Value should be IPv4 or IPv6 CIDR format"),
        (kinds.ListOf(kinds.Text()), "a", "Expected a list, not a string."),
        (kinds.ListOf(kinds.Text()), ["a", None], "Expected a string, not null."),
        (kinds.ListOf(kinds.Text(), limit=1), ["a", "b"], "Value should have at most 1 items"),
        (kinds.TextMap(), ["a"], "Expected an object, not a list."),
        (kinds.TextMap(), {"a": True}, "Expected a string, not a boolean."),
        (kinds.TextMap(alphabets.HEADER_NAME), {"X\r\nY": "true"}, "control characters"),
        (kinds.Record({"a": PORT}), {"b": 1, "a": 1}, "Unknown attribute: b"),
        (kinds.Record({"a": PORT}, required=("a",)), {"a": None}, "Mandatory field missing."),
        (kinds.Record({"a": PORT}), {"a": 0}, "Value should be greater or equal to 1"),
        (kinds.Time(), "0001-01-01T00:00:00+14:00", "Value should be a date and time"),
        (alphabets.COOKIE_NAME, "a b", 'Supplied "cookie_name" is invalid.'),
        (alphabets.COOKIE_NAME, "a;b", 'Supplied "cookie_name" is invalid.'),
        (alphabets.COOKIE_NAME, "", "Value should have a minimum character requirement of 1"),
        (alphabets.URL_PATH, "health", "Not a valid URLPath"),
        (alphabets.URL_PATH, "", "Not a valid URLPath"),
        (alphabets.URL_PATH, "//host/health", "Not a valid URLPath"),
        (alphabets.URL_PATH, "http://host/health", "Not a valid URLPath"),
        (alphabets.URL_PATH, "/a b", "Not a valid URLPath"),
        (alphabets.URL_PATH, "/%zz", "Not a valid URLPath"),
        (alphabets.URL_PATH, '/"', "Not a valid URLPath"),
        (alphabets.URL_PATH, "/a\r\nHost: b", "control characters"),
        *(
            (alphabets.REDIRECT_URL, url, "Not a valid URL")
            for url in (
                "ftp://a/",
                "//a/",
                "/a",
                "https://",
                "https:///a",
                "https://a/{b}",
                "https://a/%zz",
                "https://a/\\",
            )
        ),
        *(
            (alphabets.REDIRECT_URL, url, "Not a valid URL")
            for url in ("https://a/?b c", "https://a/?\u00e9", "https://a b/")
        ),
        (alphabets.REDIRECT_URL, "https://a/?b\r\nX: y", "control characters"),
        (alphabets.EXPECTED_CODES, "204-200", "The range of codes should run upwards: 200-204"),
        (alphabets.EXPECTED_CODES, "200,\n202", "control characters"),
        (alphabets.EXPECTED_CODES, 200, "Expected a string, not a number."),
        (alphabets.EXPECTED_CODES, "20", "Value should be a code (200)"),
        (alphabets.HOST_NAME, "-a.example.org", "Value should be a host name."),
        (alphabets.HOST_NAME, "a..b", "Value should be a host name."),
        (alphabets.HOST_NAME, 'a" b', "Value should be a host name."),
        (alphabets.HOST_NAME, "a." * 127 + "aa", "Value should have a maximum character requirement of 255"),
        (alphabets.CIPHERS, "AES 128", "Invalid characters in cipher string."),
    ],
)
def test_refuses(kind, given, reason):
    with pytest.raises(kinds.BadValue) as refusal:
        kind.parse(given)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("a" * 300, "a" * 256 + "…"),
        ("a\nb\ud800", "a\\nb\\ud800"),
        ("é\U0001f600", "é\U0001f600"),
        pytest.param(HUGE, "(too long to show)", id="huge"),
        pytest.param([HUGE], "(too long to show)", id="huge in a list"),
    ],
)
def test_values_in_messages_are_short_and_printable(value, shown):
    assert kinds.shown(value) == shown


def test_a_deep_nest_is_shown_too():
    nest: list = []
    for _ in range(100_000):
        nest = [nest]
    assert kinds.shown(nest) == "(too long to show)"
    with pytest.raises(kinds.BadValue):
        kinds.Choice(ListenerProtocol, "Invalid").parse(nest)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:DB8:0:0::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_spellings_of_one_address_compare_equal(one, other, same):
    assert (kinds.plain_address(one) == kinds.plain_address(other)) is same
