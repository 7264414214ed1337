"""No text breaks out of its token, and what the API accepts can be rendered."""

import os
import re
import string

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hydria.amphora import files, live
from hydria.dataplane import Tuning, desired_state, haproxy
from hydria.dataplane.haproxy.token import call, literal, pattern, token
from hydria.model.errors import Invalid
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.statuses import PolicyAction, RuleType
from hydria.model.tree import Tree
from hydria.testing import strategies
from tests.haproxy_words import argument, words
from tests.hostile_fields import of_prefix

some = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Nearly all of them count: a tree has dozens of texts, and a filter that one fails in two would leave none.
_printing = st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" ")
printable = st.text(_printing, min_size=1) | strategies.hostile_texts().map(
    lambda text: "".join(filter(str.isprintable, text)) or "x"
)


@some
@given(st.lists(printable, min_size=1))
def test_words_come_back_as_they_were(texts):
    line = " ".join(token(text) for text in texts)
    assert "\n" not in line
    assert words(line) == texts


@some
@given(st.text() | strategies.hostile_texts())
def test_any_text_is_one_word_or_refused(text):
    try:
        line = token(text)
    except Invalid:
        assert not text or not text.isprintable()
    else:
        assert words(f"uri {line} ver") == ["uri", text, "ver"]


@some
@given(printable)
def test_arguments_come_back_as_they_were(text):
    (word,) = words(token(call("req.cook", text)))
    assert argument(word, "req.cook") == text


@some
@given(st.lists(st.text() | strategies.hostile_texts()))
def test_any_pattern_is_one_line_or_refused(texts):
    kept = []
    for text in texts:
        try:
            kept.append((pattern(text), text))
        except Invalid:
            assert not text or not text.isprintable() or text[0] == " "
    content = "".join(f"{line}\n" for line, _ in kept)
    assert patterns(content) == [text for _, text in kept] == files.patterns(content)


@some
@given(printable)
def test_any_text_is_one_word_on_the_command_line(text):
    said = live.word(text)
    assert not said.endswith("<<"), "a text would follow"
    escaped = iter(said)
    assert "".join(next(escaped) if char == "\\" else char for char in escaped) == text
    assert not set(re.sub(r"\\.", "", said, flags=re.DOTALL)) - set(string.ascii_letters + string.digits)


@some
@given(printable)
def test_nothing_in_a_literal_is_a_log_format(text):
    # Every percent sign that is left after the pairs would start an expression.
    assert "%" not in literal(text).replace("%%", "")
    assert literal(text).replace("%%", "%") == text


@some
@given(strategies.hostile_trees(strategies.hostile_texts()))
def test_hostile_texts_are_refused_or_stay_words(tree):
    try:
        rendered = haproxy.render(tree, Tuning())
    except Invalid:
        return
    same_shape_as_tame(rendered, tree)


@some
@given(strategies.hostile_trees(printable))
def test_printable_hostile_texts_stay_words(tree):
    monitor = tree.health_monitors[0]
    assume(monitor.expected_codes.strip(" "))
    assume(tree.l7policies[0].redirect_prefix != "/")  # it has a scheme and a host
    same_shape_as_tame(haproxy.render(tree, Tuning()), tree)


def same_shape_as_tame(rendered: haproxy.HAProxyArtifacts, tree: Tree) -> None:
    """What is rendered differs from what is harmless only in words that are the tree's own texts."""
    monitor, pool, policy, rule = tree.health_monitors[0], tree.pools[0], tree.l7policies[0], tree.l7rules[0]
    value = unquoted(rule.value) if rule.type in MAY_BE_QUOTED else rule.value
    assume("\t" not in value and value[0] != " ")  # which only a regular expression can say
    forwarded = tree.listeners[0].insert_headers["X-Forwarded-For"]
    response, modified = tree.l7policies[1].fixed_response, tree.l7policies[2]
    assume(modified.url_rewrite.replacement.strip("/"))  # without it, the path is another expression
    tamed = haproxy.render(tame_tree(forwarded, policy, rule), Tuning())
    tame, lines = tamed.config.splitlines(), rendered.config.splitlines()
    assert len(lines) == len(tame)
    arguments = {"TAME.cookie": pool.session_persistence.cookie_name, "TAME.key": rule.key_name}
    to_url = policy.action is PolicyAction.REDIRECT_TO_URL
    texts = {
        "TAME.path": monitor.url_path or "/",
        "TAME.host": literal(monitor.domain_name or "192.0.2.10"),
        "TAME.codes": (monitor.expected_codes or "200").replace(" ", ""),
        "TAME.target": literal(policy.redirect_url) if to_url else of_prefix(policy.redirect_prefix)[0],
        "TAME.value": value,
        "TAME.type": response.content_type,
        "TAME.body": response.body,
        "TAME.name": modified.header_changes[0].name,
        "TAME.change": literal(modified.header_changes[0].value),
        "^TAME\\.prefix(/.*)?$": f"^{escaped(modified.url_rewrite.prefix.rstrip('/'))}(/.*)?$",
        r"TAME.other\1": literal(modified.url_rewrite.replacement.rstrip("/")) + r"\1",
        ".TAME.value": rule.value if rule.value.startswith(".") else f".{rule.value}",
    }
    for line, expected in zip(lines, tame, strict=True):
        for word, harmless in zip(words(line), words(expected), strict=True):
            function, _, inner = harmless.removesuffix(DECODED).rstrip(")").partition("(")
            if inner in arguments:
                assert argument(word.removesuffix(DECODED), function) == arguments[inner]
            else:
                assert word == (texts.get(harmless) or harmless)
    for file, expected in zip(rendered.files, tamed.files, strict=True):
        assert file.name == expected.name
        assert patterns(file.content) == [texts.get(each) or each for each in patterns(expected.content)]


def patterns(content: str) -> list[str]:
    """What HAProxy reads in a file of patterns (configuration manual, section 7.1.2)."""
    lines = [line.lstrip(" \t") for line in content.split("\n") if not line.startswith("#")]
    return [line for line in lines if line]


MAY_BE_QUOTED = (RuleType.HEADER, RuleType.QUERY)
DECODED = ",url_dec(1)"


def escaped(text: str) -> str:
    """A regular expression for the text itself."""
    plain = string.ascii_letters + string.digits + "/"
    return "".join(char if char in plain else f"\\{char}" for char in text)


def unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value


def tame_tree(forwarded: str, policy: L7Policy, rule: L7Rule) -> Tree:
    monitor = {"url_path": "TAME.path", "domain_name": "TAME.host", "expected_codes": "TAME.codes"}
    persistence = strategies.SessionPersistence(
        type=strategies.PersistenceType.APP_COOKIE, cookie_name="TAME.cookie"
    )
    pool_id = strategies.trees.POOL
    return strategies.trees.tree(
        strategies.trees.listener(default_pool_id=pool_id, insert_headers={"X-Forwarded-For": forwarded}),
        strategies.trees.pool(session_persistence=persistence),
        strategies.trees.member(),
        strategies.trees.monitor(http_version=1.1, **monitor),
        strategies.trees.policy(
            action=policy.action, redirect_url="TAME.target", redirect_prefix="TAME.target"
        ),
        strategies.trees.rule(type=rule.type, key_name="TAME.key", value="TAME.value"),
        *strategies.modifying(
            "TAME.type", "TAME.body", "TAME.name", "TAME.change", "TAME.prefix", "TAME.other"
        ),
    )


@some
@given(strategies.served_trees())
def test_what_the_api_accepts_is_served_and_rendered(tree):
    state = desired_state(tree, (), Tuning())
    for line in (state.haproxy + state.nftables).splitlines():
        assert line.isprintable() or line.startswith("\t")
    for server in state.servers:
        plain = set(string.ascii_letters + string.digits + "-.:[]")
        assert set("".join((server.backend, server.name, server.address, *server.options))) <= plain
    assert bool(state.haproxy) == bool(state.structure)


def test_the_environment_has_no_say():
    # So that a property above that would read it could not pass by luck.
    assert "$HOME" not in token("$HOME").replace("'$HOME'", "")
    assert words(token("$HOME")) == ["$HOME"] != [os.environ.get("HOME")]
