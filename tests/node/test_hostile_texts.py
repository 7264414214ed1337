"""Thousands of hostile texts that the API takes, in configurations that the real daemons load."""

import dataclasses
import http.client
import random
import subprocess
from collections import defaultdict
from itertools import islice

import pytest

from hydria.amphora import datagrams
from hydria.amphora.live import word
from hydria.dataplane import desired_state
from hydria.dataplane.haproxy.token import literal, pattern, token
from hydria.model.kinds import Network
from hydria.model.resource import Resource
from hydria.model.statuses import RuleType
from hydria.testing import trees
from hydria.wire.state import Service
from tests import certificates
from tests.hostile_fields import FIELDS, REFERENCE, TUNING, Field
from tests.hostile_texts import SEED, hostile_texts
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node

CA = certificates.make("Test CA", ca=True)
SERVER = certificates.make("www.example.com", CA)
NAMES = {field.name for field in FIELDS}
TRIED, TAKEN = 500, 60  # texts of a field: that are generated, and that HAProxy gets at most


def taken(field: Field) -> list[str]:
    """Texts that the API takes."""
    drawn = islice(hostile_texts(f"{SEED} {field.name}", field.sample, field.takes), TRIED)
    return list(islice(dict.fromkeys(filter(field.takes, drawn)), TAKEN))


def groups() -> dict[str, list[Field]]:
    """By what they are fields of: a configuration each."""
    found = defaultdict(list)
    for field in FIELDS:
        if not field.alone:
            found[field.attribute.partition(".")[0]].append(field)
    return dict(found)


@pytest.mark.parametrize("resource", groups())
def test_haproxy_loads_hostile_texts_that_the_api_takes(resource, tmp_path):
    objects: dict[tuple[type[Resource], str], Resource] = {}
    secrets, number = {REFERENCE: SERVER.bundle}, 0
    for field in groups()[resource]:
        for text in taken(field):
            number += 1
            secrets.setdefault(text, SERVER.bundle)
            objects |= {(type(each), each.id): each for each in field.make(number, text)}
    state = desired_state(trees.tree(*objects.values()), (), TUNING, secrets, lab.CAPABILITIES)
    lab.write(state.files, tmp_path)
    for file in tmp_path.glob("tls/*.c*"):  # of authorities and of revoked certificates
        file.write_text(CA.pem if file.suffix == ".ca" else CA.revoking())
    assert [line for line in lab.check(state.haproxy, tmp_path).splitlines() if "ALERT" in line] == []
    assert number >= TAKEN


def test_haproxy_loads_regular_expressions_that_the_api_takes(tmp_path):
    """Of rules of every type; HAProxy has all of them."""
    chance, objects = random.Random(SEED), [trees.listener()]
    fields = [field for field in FIELDS if field.name.endswith(" REGEX]")]
    assert len(fields) == 8
    while len(objects) < 2 * EXPRESSIONS:
        text = "".join(chance.choices(OF_EXPRESSIONS, k=chance.randint(1, 8)))
        field = chance.choice(fields)
        if field.takes(text):
            objects += field.make(len(objects), text)[1:]
    state = desired_state(trees.tree(*objects), (), TUNING, capabilities=lab.CAPABILITIES)
    lab.write(state.files, tmp_path)
    assert [line for line in lab.check(state.haproxy, tmp_path).splitlines() if "ALERT" in line] == []


@pytest.mark.parametrize("kind", [kind for kind in RuleType if f"l7rule.value [{kind} REGEX]" in NAMES])
def test_the_api_refuses_regular_expressions_that_haproxy_does(kind, tmp_path):
    """One after another, for HAProxy ends at the first of a file of patterns."""
    (field,) = (field for field in FIELDS if field.name == f"l7rule.value [{kind} REGEX]")
    for text in NOT_OF_HAPROXY:
        (tmp_path / "x.acl").write_text(pattern(text) + "\n")
        flag = "-i " if kind is RuleType.HOST_NAME else ""
        config = (
            f"frontend x\n mode http\n bind unix@x\n http-request deny if {{ path {flag}-m reg -f x.acl }}\n"
        )
        assert "regex" in lab.check(config, tmp_path), text
        assert not field.takes(text), text


NOT_OF_HAPROXY = (
    "^/[[:number:]]+$", "[[=a=]]", "[[.a.]]", "^/((a{1,200}){1,200}){1,100}$", r"(a)\1", "(?<=a+)b", "(?u:x)",
)  # fmt: skip


EXPRESSIONS = 3_000
OF_EXPRESSIONS = (
    "a", "\u00e9", "/", "-", ",", "0", "1", "77", " ", "#", "'", '"', "=", "!", "<", ">", ":", "&",
    "(", ")", "(?:", "(?i)", "(?i:", "(?-i:", "(?s-i:", "(?x)", "(?m:", "(?a)", "(?u:", "(?#a)", "(?P<n>", "(?P<m>a)", "(?P=n)",
    "(?=", "(?!", "(?<=a", "(?<!a", "(?>", "(?(1)", "|", ".", "*", "+", "?", "*?", "++", "*+", "{", "}", "{2}", "{2,}", "{,3}",
    "{3,2}", "{65535}", "{65536}", "{1,99999}", "{a}", "[", "]", "[]", "[^]", "[^]a]", "[a-f]", "[f-a]", "[\\w]", "[\\w-z]",
    "[a-\\d]", "[[:alpha:]]", "[[:number:]]", "[[=a=]]", "[[.a.]]", "{1,200}", "(?R)", "(?1)", "(*UTF)", "(*NO_JIT)", "(*ACCEPT)", "\t", "[\\]]", "[\\", "[-a]", "[a&&b]", "^", "$", "\\", "\\\\", "\\A", "\\Z", "\\b", "\\B", "\\d",
    "\\D", "\\s", "\\S", "\\w", "\\W", "\\n", "\\r", "\\t", "\\v", "\\f", "\\a", "\\0", "\\1", "\\2", "\\07", "\\101", "\\377",
    "\\400", "\\8", "\\x41", "\\x4", "\\u00e9", "\\U0001f600", "\\N{DIGIT ONE}", "\\z", "\\G", "\\K", "\\R", "\\X", "\\Q", "\\E", "\\c",
    "\\p", "\\g", "\\k", "\\h", "\\.", "\\/", "\\-", "\\ ", "\\#", "\\'",
)  # fmt: skip


def test_nft_loads_networks_that_the_api_takes():
    (field,) = (field for field in FIELDS if field.name == "listener.allowed_cidrs")
    texts = [*taken(field), *taken(dataclasses.replace(field, sample="2001:db8:77::/64"))]
    networks = [str(Network().parse(text)) for text in texts]
    fours = tuple(network for network in networks if ":" not in network)
    sixes = tuple(network for network in networks if ":" in network)
    rules = [desired_state(trees.tree(*field.make(1, text)), (), TUNING).nftables for text in texts]
    service = Service("l", "p", "udp", ("192.0.2.10", "2001:db8::10"), 53, (), (*fours, *sixes))
    script = datagrams.script([service], {}, "eth0")
    for text in (*rules, script.text(None)):
        done = subprocess.run(
            ["nft", "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.stderr, done.returncode) == ("", 0)
    assert fours
    assert sixes


def test_haproxy_reads_tokens_as_they_were_meant(proxy, port):
    """HAProxy itself says what it understood: it answers with the token."""
    texts = [text for text in islice(hostile_texts(SEED, "sample"), 800) if text.isprintable()]
    lines = [
        "global",
        "    stats socket unix@stats.sock",
        "frontend echo",
        "    mode http",
        "    timeout client 5s",
        f"    bind 127.0.0.1:{port}",
    ]
    for number, text in enumerate(texts):
        for kind, said in (("string", text), ("lf-string", literal(text))):
            answer = f"return status 200 content-type text/plain {kind} {token(said)}"
            lines.append(f"    http-request {answer} if {{ path /{kind}/{number} }}")
    proxy.start("\n".join(lines) + "\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, 10)
    for kind in ("string", "lf-string"):
        for number, text in enumerate(texts):
            connection.request("GET", f"/{kind}/{number}")
            assert connection.getresponse().read().decode() == text
    connection.close()


def test_haproxy_reads_patterns_as_they_were_meant(proxy, port):
    """From a file and by command; HAProxy itself says what it understood."""
    drawn = islice(hostile_texts(SEED, "sample"), 800)
    texts = [text for text in drawn if text and text.isprintable() and text[0] != " "]
    texts += ["#", "# x", "a  ", "a\tb", "a\\\tb\t", "<<", "a <<", "@1", "-f", ";", "show acl", "\\"]
    (proxy.directory / "read.acl").write_text("".join(f"{pattern(text)}\n" for text in texts))
    (proxy.directory / "told.acl").write_text("x\n")
    proxy.start(
        "global\n    stats socket unix@stats.sock level admin\n"
        f"frontend echo\n    mode http\n    timeout client 5s\n    bind 127.0.0.1:{port}\n"
        "    http-request deny if { path -f read.acl }\n    http-request deny if { path -f told.acl }\n"
    )
    proxy.ask("del acl told.acl x")
    for text in texts:
        assert proxy.ask(f"add acl told.acl {word(text)}").strip() == "", text
    for name in ("read.acl", "told.acl"):
        rows = proxy.ask(f"show acl {name}").removesuffix("\n\n").split("\n")
        assert [row.partition(" ")[2] for row in rows] == texts
