"""A hundred thousand hostile texts: refused at the door, or one word of a configuration and nothing more."""

import functools
import re
import string
from collections.abc import Iterator, Sequence

import pytest

from hydria.dataplane import desired_state
from hydria.dataplane.haproxy.token import call, literal, plain, token
from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource, Use, attributes, name_of, wire_name
from hydria.model.statuses import ListenerProtocol
from hydria.testing import trees
from hydria.wire.state import DesiredState
from tests.haproxy_words import argument, words
from tests.hostile_fields import FIELDS, REFERENCE, TUNING, Field
from tests.hostile_texts import SEED, hostile_texts

TEXTS = 100_000
EACH = TEXTS // len(FIELDS) + 1
_CALL = re.compile(r"([a-z0-9_.]+)\((.*?)\)((?:,url_dec\(1\))?)", re.DOTALL)
_DIGEST = re.compile(r"tls/[0-9a-f]{32}\.")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_hostile_texts_are_refused_or_stay_words(field):
    tried = accepted = 0
    for text in texts_for(field):
        tried += 1
        try:
            objects = field.make(1, text)
        except Invalid:
            continue
        accepted += 1
        try:
            same_but_for_the_text(field, text, rendered(field, text, objects))
        except (AssertionError, Invalid) as failure:
            raise AssertionError(f"{text!r}, number {tried} of seed {SEED}: {failure}") from failure
    assert tried == EACH
    # Else the text would show nothing, for nothing that is hostile came as far as the renderer.
    assert accepted >= (1 if field.name in NEARLY_CLOSED else EACH // 20), accepted


# Of these hardly anything is taken but plain values, of which the texts are few.
NEARLY_CLOSED = {field.name for field in FIELDS if field.sample[0].isdigit()} | {
    "listener.insert_headers",
    "l7rule.value [SSL_CONN_HAS_CERT]",
}


def test_a_hundred_thousand_texts_are_tried():
    assert EACH * len(FIELDS) >= TEXTS


def texts_for(field: Field) -> Iterator[str]:
    drawn = hostile_texts(f"{SEED} {field.name}", field.sample, field.takes)
    return (text for text, _ in zip(drawn, range(EACH), strict=False))


def rendered(field: Field, text: str, objects: Sequence[Resource]) -> DesiredState:
    secrets = {REFERENCE: "PEM", text: "PEM"}
    return desired_state(trees.tree(*objects), (), field.tuning, secrets)


@functools.cache
def harmless(field: Field, text: str) -> DesiredState:
    return rendered(field, text, field.make(1, text))


def same_but_for_the_text(field: Field, text: str, state: DesiredState) -> None:
    tame = field.harmless(text)
    other = harmless(field, tame)
    assert all(each in whole(other) for each in field.said(tame)), "the field is not in what is rendered"
    written = sorted(zip(field.said(tame), field.said(text), strict=True), key=lambda pair: -len(pair[0]))
    assert state.haproxy.replace("\n", "").isprintable()
    lines, expected = state.haproxy.split("\n"), other.haproxy.split("\n")
    assert len(lines) == len(expected), "another number of lines"
    for line, like in zip(lines, expected, strict=True):
        if line != like:
            same_words(_DIGEST.sub("tls/", line), _DIGEST.sub("tls/", like), (tame, text), written)
    nothing_but_drops(state.nftables, field.said(text) if state.nftables else ())
    for file, like in zip(state.files, other.files, strict=True):
        assert re.fullmatch(r"[0-9a-f-]+\.(pem|ca|crl|list|acl|map|lua)", file.name)
        if "REGEX" in field.name and file.name.endswith(".map"):
            # The expression's opposite, written otherwise than it: a key of one word, and what is said of it.
            assert re.fullmatch(r"(?:[!-~]+ told\n){1,2}", file.content)
            continue
        content = _DIGEST.sub("tls/", like.content)
        for old, new in written:
            content = content.replace(old, new)
        assert _DIGEST.sub("tls/", file.content) == content
    # These become commands for a process that runs, in which nothing is quoted.
    for server in state.servers:
        assert set("".join((server.backend, server.name, server.address, *server.options))) <= PLAIN


@functools.cache
def whole(state: DesiredState) -> str:
    """All words of the configuration, and the files that it names."""
    lines = state.haproxy.split("\n")
    return "\n".join(
        [*(word for line in lines for word in words(line)), *(file.content for file in state.files)]
    )


PLAIN = set(string.ascii_letters + string.digits + "_.:/,@+=-{}()!%[]")


def same_words(line: str, like: str, texts: tuple[str, str], written: list[tuple[str, str]]) -> None:
    tame, text = texts
    for word, harmless_word in zip(words(line), words(like), strict=True):
        called = _CALL.fullmatch(harmless_word)
        if called and called[2] == tame:
            assert word.endswith(called[3])
            assert argument(word.removesuffix(called[3]), called[1]) == text
            continue
        expected = harmless_word
        for old, new in written:
            if old in harmless_word:
                expected = harmless_word.replace(old, new)
                break
        assert word == expected


def nothing_but_drops(rules: str, networks: Sequence[str]) -> None:
    """The text of nftables' rules is of numbers alone, and has these networks, but for everybody's."""
    assert not rules or _FILTER.fullmatch(rules)
    assert all(network in rules or network.endswith("/0") for network in networks)


_ADDRESSES = r"\{ [0-9a-f.:/]+ \}"
_RULE = rf"\t\tip6? daddr {_ADDRESSES} tcp dport \d+ (?:ip6? saddr != {_ADDRESSES} )?drop\n"
_FILTER = re.compile(
    "table inet hydria\ndelete table inet hydria\ntable inet hydria {\n\tchain input {\n"
    rf"\t\ttype filter hook input priority filter; policy accept;\n(?:{_RULE})+\t}}\n}}\n"
)


def test_hostile_texts_past_the_door_are_refused_or_one_word():
    """The renderer's own wall, on which no field's alphabet is relied."""
    refused = 0
    for text, _ in zip(hostile_texts(SEED, "sample"), range(TEXTS), strict=False):
        try:
            line = f"a {token(text)} {token(literal(text))} {token(call('req.cook', text))} z"
        except Invalid:
            assert not text.isprintable()
            refused += 1
        else:
            assert line.isprintable()
            first, word, format_, called, last = words(line)
            assert (first, word, format_.replace("%%", ""), last) == ("a", text, text.replace("%", ""), "z")
            assert argument(called, "req.cook") == text
        try:
            assert set(plain(text)) <= PLAIN
        except Invalid:
            assert not set(text) <= PLAIN
    assert TEXTS // 10 < refused < TEXTS // 2


def test_what_agents_ask_members_of_datagrams_is_one_line_and_one_header():
    """Probes of UDP pools are the agent's own requests, with no quotes to rely on."""
    for name, other in (("url_path", {}), ("domain_name", {"http_version": 1.1})):
        field = next(field for field in FIELDS if field.attribute == f"healthmonitor.{name}")
        for text in texts_for(field):
            try:
                values = trees.monitor(**{"http_version": 1.1, **other, name: parsed(name, text)})
            except kinds.BadValue:
                continue
            listener = trees.listener(protocol=ListenerProtocol.UDP, default_pool_id=trees.POOL)
            tree = trees.tree(listener, trees.pool(protocol="UDP"), trees.member(), values)
            (service,) = desired_state(tree, (), TUNING).services
            said = service.probe.path if name == "url_path" else service.probe.host
            assert said == text
            assert set(said) <= set(string.printable) - set(string.whitespace)


def parsed(name: str, text: str) -> object:
    return attributes(HealthMonitor)[name].kind.parse(text)


def test_every_text_of_a_request_is_among_the_fields():
    """A new attribute that takes text has to be tried, too."""
    limits = RateLimitPolicy, RateLimitRule
    resources = (LoadBalancer, Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule, *limits)
    declared = {
        path
        for resource in resources
        for field, attribute in attributes(resource).items()
        if attribute.create is not Use.NEVER
        for path in texts_of(f"{name_of(resource)}.{wire_name(field, attribute)}", attribute.kind)
    }
    assert declared - {field.attribute for field in FIELDS} == ELSEWHERE


# The project is the same for all of a load balancer, and shown for listeners. Tags never leave the database,
# provider and availability zone choose who makes the load balancer. A granularity becomes a number of bits.
LIMITS = ("ratelimitpolicy", "ratelimitrule")
ELSEWHERE = {
    *(f"{name}.{attribute}" for name in LIMITS for attribute in ("project_id", "tags")),
    *(f"{name}.project_id" for name in ("loadbalancer", "pool", "member", "healthmonitor", "l7policy", "l7rule")),
    *(f"{name}.tags" for name in ("loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule")),
    "loadbalancer.provider",
    "loadbalancer.availability_zone",
    "pool.session_persistence.persistence_granularity",
}  # fmt: skip


def texts_of(path: str, kind: kinds.Kind) -> Iterator[str]:
    if isinstance(kind, kinds.ListOf):
        yield from texts_of(path, kind.item)
    elif isinstance(kind, kinds.Record):
        for name, item in kind.fields.items():
            yield from texts_of(f"{path}.{name}", item)
    elif not isinstance(kind, CLOSED):
        yield path


CLOSED = (
    kinds.Identifier,
    kinds.Integer,
    kinds.Boolean,
    kinds.Choice,
    kinds.NumberChoice,
    kinds.IntegerChoice,
)
