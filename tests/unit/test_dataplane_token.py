import pytest

from hydria.dataplane import Tuning, haproxy
from hydria.dataplane.haproxy.token import call, literal, plain, token
from hydria.model.errors import Invalid
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import PersistenceType
from hydria.testing.trees import POOL, listener, member, monitor, pool, tree


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("roundrobin", "roundrobin"),
        (80, "80"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("a b", "'a b'"),
        ("it's", "'it'\\''s'"),
        ("'", "''\\'''"),
        ('say "x"', "'say \"x\"'"),
        ("$HOME", "'$HOME'"),
        ("a#b", "'a#b'"),
        ("a\\nb", "'a\\nb'"),
        ("é", "'é'"),
    ],
)
def test_token(text, written):
    assert token(text) == written


@pytest.mark.parametrize(
    "text", ["", "a\nb", "a\rb", "\x00", "a\tb", "\x7f", "\x85", "\u2028", "\ud800", "a\n"]
)
def test_what_no_quoting_makes_safe_is_refused(text):
    with pytest.raises(Invalid, match="cannot be written into HAProxy's configuration"):
        token(text)
    with pytest.raises(Invalid):
        call("req.cook", text)


def test_a_refusal_shows_little_of_a_long_text():
    with pytest.raises(Invalid) as refusal:
        token("x\n" * 10_000)
    assert len(refusal.value.message) < 500


@pytest.mark.parametrize("text", ["", "a b", "a'b", "a;b", "a\\b", "a\nb", "$x", "é"])
def test_a_word_for_the_command_line_must_be_plain(text):
    with pytest.raises(Invalid):
        plain(text)


def test_arguments_are_quoted_within_the_word():
    assert call("req.cook", "SRV") == "req.cook(SRV)"
    assert call("req.cook", "a,b)") == 'req.cook("a,b)")'
    assert call("req.cook", 'a"\\b') == 'req.cook("a\\"\\\\b")'
    assert token(call("req.cook", "it's")) == "'req.cook(\"it'\\''s\")'"


def test_percent_signs_are_literal():
    assert literal("%[src] 5%") == "%%[src] 5%%"


@pytest.mark.parametrize("attribute", ["url_path", "domain_name", "expected_codes"])
def test_a_line_end_in_a_monitor_is_refused(attribute):
    of = tree(
        listener(default_pool_id=POOL),
        pool(),
        member(),
        monitor(http_version=1.1, **{attribute: "/\n server evil 192.0.2.66:80"}),
    )
    with pytest.raises(Invalid):
        haproxy.render(of, Tuning())


def test_a_line_end_in_a_cookie_name_is_refused():
    persistence = SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name="a)\nglobal")
    with pytest.raises(Invalid):
        haproxy.render(tree(listener(default_pool_id=POOL), pool(session_persistence=persistence)), Tuning())


def test_header_names_and_values_are_compared_and_never_written():
    headers = {"X-Forwarded-For": "true\n", "evil": "true", "X-Forwarded-Port": "true if { src 0.0.0.0/0 }"}
    config = haproxy.render(tree(listener(insert_headers=headers)), Tuning()).config
    assert config == haproxy.render(tree(listener()), Tuning()).config
