"""L7 policies on the wire: each type of rule, each way to compare, each action, and the order of policies."""

from collections.abc import Iterator
from typing import Any

import pytest

from hydria.model.statuses import CompareType, ListenerProtocol, PolicyAction, RuleType
from hydria.model.tree import Tree
from hydria.testing import trees
from hydria.testing.trees import POOL, listener, load_balancer, member, policy, pool, rule, tree
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import Answer, WebServer, get

pytestmark = pytest.mark.node

SECOND = trees.identifier(trees.Pool, 2)
ELSEWHERE = {"action": PolicyAction.REDIRECT_TO_POOL, "redirect_pool_id": SECOND}


@pytest.fixture(scope="module")
def webs() -> Iterator[list[WebServer]]:
    with lab.web_servers(2) as servers:
        yield servers


def served(port: int, webs: list[WebServer], *more: Any, **of_second: Any) -> Tree:
    """The first web server is the default pool's, the second one that of the pool to redirect to."""
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, default_pool_id=POOL),
        pool(),
        pool(2, **of_second),
        member(1, address=webs[0].host, protocol_port=webs[0].port),
        member(2, address=webs[1].host, protocol_port=webs[1].port, pool_id=SECOND),
        *more,
    )


def location(answer: Answer) -> str:
    return {name.lower(): value for name, value in answer.headers}["location"]


# type, key, comparison, value, and requests (path, headers) that match and that do not
HOST, PATH, HEADER, COOKIE = RuleType.HOST_NAME, RuleType.PATH, RuleType.HEADER, RuleType.COOKIE
REGEX, STARTS, ENDS = CompareType.REGEX, CompareType.STARTS_WITH, CompareType.ENDS_WITH
CONTAINS, EQUAL = CompareType.CONTAINS, CompareType.EQUAL_TO
Request = tuple[str, dict[str, str]]


def at(path: str) -> Request:
    return path, {}


def to(host: str) -> Request:
    return "/", {"Host": host}


def with_header(value: str, name: str = "x-test") -> Request:
    return "/", {name: value}


def with_cookie(value: str) -> Request:
    return "/", {"Cookie": f"other=nonsense; sid={value}; more=1"}


RULES: list[tuple[RuleType, str | None, CompareType, str, list[Request], list[Request]]] = [
    (HOST, None, EQUAL, "a.example", [to("a.example"), to("A.Example:8080")], [to("b.a.example"), to("a.example.org")]),
    (HOST, None, STARTS, "www.", [to("WWW.a.example")], [to("a.www.example")]),
    (HOST, None, ENDS, ".example", [to("x.example"), to("x.example:81")], [to("x.example.org")]),
    (HOST, None, CONTAINS, "b", [to("a.b.c")], [to("a.c")]),
    (HOST, None, REGEX, r"^(a|b)\.example$", [to("A.example"), to("b.example:1")], [to("c.example"), to("aa.example")]),
    (PATH, None, EQUAL, "/a", [at("/a"), at("/a?b=c")], [at("/A"), at("/a/"), at("/x?/a")]),
    (PATH, None, STARTS, "/api/", [at("/api/x")], [at("/api"), at("/x/api/")]),
    (PATH, None, ENDS, "/end", [at("/the/end"), at("/end?x=/y")], [at("/end/x")]),
    (PATH, None, CONTAINS, "$HOME'", [at("/x$HOME'y")], [at("/HOME")]),
    (PATH, None, REGEX, r"^/[0-9]+ ?$", [at("/123")], [at("/12a"), at("/")]),
    (PATH, None, EQUAL, "-f", [], [at("/-f"), at("/")]),
    (RuleType.FILE_TYPE, None, EQUAL, "jpg", [at("/x.jpg"), at("/a.b/y.jpg?q=.png")], [at("/jpg"), at("/x.jpgs")]),
    (RuleType.FILE_TYPE, None, REGEX, r"\.(gif|png)$", [at("/x.gif"), at("/y.png")], [at("/x.gif/y"), at("/gif")]),
    (HEADER, "X-Test", EQUAL, "one", [with_header("one"), with_header("two, one")], [with_header("One"), with_header("ones")]),
    (HEADER, "X-Test", EQUAL, '"a, b"', [with_header("a, b")], [with_header("a"), with_header('"a, b"')]),
    (HEADER, "X-Test", EQUAL, '"a\tb"', [with_header("a\tb")], [with_header("a b"), with_header("xa\tb")]),
    (HEADER, "X-Test", STARTS, "(o'", [with_header("(o'k")], [with_header("x(o'")]),
    (HEADER, "X-Test", ENDS, '\\"', [with_header('x\\"')], [with_header('\\"x')]),
    (HEADER, "X-Test", CONTAINS, "%[src]", [with_header("a%[src]b")], [with_header("127.0.0.1")]),
    (HEADER, "X-Test", REGEX, "^a.b$", [with_header("a b"), with_header("a,b")], [with_header("ab")]),
    (HEADER, "X-Test", REGEX, "^a\\\t{1}b$", [with_header("a\tb")], [with_header("a b"), with_header("a\\tb")]),
    (HEADER, "X-Test", REGEX, " {2}|[[:alpha:]]7", [with_header("a  b"), with_header("x7")], [with_header("a b"), with_header("77")]),
    (HEADER, "X!#$%&'*+-.^_`|~", EQUAL, "1", [with_header("1", "x!#$%&'*+-.^_`|~")], [with_header("1")]),
    (COOKIE, "sid", EQUAL, "abc", [with_cookie("abc")], [with_cookie("abcd"), with_cookie("ABC"), at("/")]),
    (COOKIE, "sid", STARTS, "ab", [with_cookie("abc")], [with_cookie("cab")]),
    (COOKIE, "sid", ENDS, "bc", [with_cookie("abc")], [with_cookie("bca")]),
    (COOKIE, "sid", CONTAINS, "b", [with_cookie("abc")], [with_cookie("ac")]),
    (COOKIE, "sid", REGEX, "^[a-c]+$", [with_cookie("abc")], [with_cookie("abd")]),
    (RuleType.SSL_CONN_HAS_CERT, None, EQUAL, "true", [], [at("/")]),
    (RuleType.SSL_VERIFY_RESULT, None, EQUAL, "7", [], [at("/")]),
    (RuleType.SSL_DN_FIELD, "CN", CONTAINS, "a", [], [at("/")]),
]  # fmt: skip


def test_every_type_of_rule_and_way_to_compare(proxy: lab.Proxy, webs: list[WebServer]) -> None:
    """A policy of its own for each, on a port of its own; and the same with the rule inverted."""
    ports, items = {}, []
    free = iter(lab.free_ports(2 * len(RULES) + 1))
    for number, (kind, key, compare, value, _, _) in enumerate(RULES):
        for inverted in (False, True):
            at_port = 2 * number + inverted + 1
            ports[number, inverted] = next(free)
            one = listener(at_port, protocol_port=ports[number, inverted], default_pool_id=POOL)
            its = policy(at_port, listener_id=one.id, **ELSEWHERE)
            test = {
                "type": kind,
                "key_name": key,
                "compare_type": compare,
                "value": value,
                "invert": inverted,
            }
            items += [one, its, rule(at_port, l7policy_id=its.id, **test)]
    whole = served(next(free), webs)
    proxy.serve(tree(whole.load_balancer, *whole.pools, *whole.members, *items))
    default, second = webs[0].name, webs[1].name
    for number, (kind, key, compare, value, good, bad) in enumerate(RULES):
        for requests, matches in ((good, True), (bad, False)):
            for path, headers in requests:
                for inverted in (False, True):
                    found = get(ports[number, inverted], path, headers=headers).member
                    expected = second if matches != inverted else default
                    assert found == expected, (kind, key, compare, value, path, headers, inverted)


def test_every_action(proxy: lab.Proxy, port: int, webs: list[WebServer]) -> None:
    url = "https://www.example.org/%20a?b=$HOME&c=%0a&d='#e"
    to_url = {"action": PolicyAction.REDIRECT_TO_URL, "redirect_url": url}
    to_prefix = {"action": PolicyAction.REDIRECT_PREFIX, "redirect_prefix": "http://b.example:8080"}
    policies = [policy(1), policy(2, **ELSEWHERE)]
    policies += [
        policy(10 + n, **to_url, redirect_http_code=code) for n, code in enumerate((301, 302, 303, 307, 308))
    ]
    policies += [policy(20 + n, **to_prefix, redirect_http_code=code) for n, code in enumerate((301, 308))]
    rules = [rule(each.position, l7policy_id=each.id, value=f"/{each.position}/") for each in policies]
    proxy.serve(served(port, webs, *policies, *rules))
    assert get(port, "/1/").status == 403
    assert get(port, "/2/").member == webs[1].name
    for number, code in enumerate((301, 302, 303, 307, 308), start=10):
        answer = get(port, f"/{number}/x?y")
        assert (answer.status, location(answer)) == (code, url)
    for number, code in enumerate((301, 308), start=20):
        answer = get(port, f"/{number}/x?y=%20z")
        assert (answer.status, location(answer)) == (code, f"http://b.example:8080/{number}/x?y=%20z")
    assert get(port, "/").member == webs[0].name


def test_targets_of_redirects_mean_what_they_say(proxy: lab.Proxy, port: int, webs: list[WebServer]) -> None:
    """Whatever HAProxy makes of such letters elsewhere; and the path's slash is there once."""
    every = "".join(map(chr, range(0x21, 0x7F)))
    urls = [f"https://a.example/?{every}", f"https://a.example/#{every}", "https://a.example/?q={a|b}&c=100%"]
    prefixes = {
        "https://a.example": "https://a.example",
        "https://a.example/": "https://a.example",
        "https://a.example/b/": "https://a.example/b",
        "https://a.example/b//": "https://a.example/b/",
        "https://a.example/?u=%[src]/": "https://a.example/?u=%[src]/",
    }
    policies = [
        policy(10 + number, action=PolicyAction.REDIRECT_TO_URL, redirect_url=url)
        for number, url in enumerate(urls)
    ]
    policies += [
        policy(20 + number, action=PolicyAction.REDIRECT_PREFIX, redirect_prefix=prefix)
        for number, prefix in enumerate(prefixes)
    ]
    rules = [rule(each.position, l7policy_id=each.id, value=f"/{each.position}/") for each in policies]
    proxy.serve(served(port, webs, *policies, *rules))
    assert [location(get(port, f"/{number}/")) for number in range(10, 13)] == urls
    for number, put in enumerate(prefixes.values(), start=20):
        assert location(get(port, f"/{number}/x?y")) == f"{put}/{number}/x?y"


def test_all_rules_of_a_policy_must_match(proxy: lab.Proxy, port: int, webs: list[WebServer]) -> None:
    header = {"type": HEADER, "key_name": "x-test", "compare_type": EQUAL, "value": "1"}
    cookie = {"type": COOKIE, "key_name": "sid", "compare_type": REGEX, "value": ".", "invert": True}
    off = rule(4, value="/never", admin_state_up=False)
    proxy.serve(served(port, webs, policy(), rule(1, value="/a"), rule(2, **header), rule(3, **cookie), off))
    assert get(port, "/a", headers={"x-test": "1"}).status == 403
    assert get(port, "/a").status == 200
    assert get(port, "/b", headers={"x-test": "1"}).status == 200
    assert get(port, "/a", headers={"x-test": "1", "Cookie": "sid=x"}).status == 200


@pytest.mark.parametrize("first", ["reject", "pool", "url"])
def test_the_first_that_matches_wins(proxy: lab.Proxy, port: int, webs: list[WebServer], first: str) -> None:
    """Whatever HAProxy would evaluate first by itself."""
    actions = {
        "reject": {"action": PolicyAction.REJECT},
        "pool": ELSEWHERE,
        "url": {"action": PolicyAction.REDIRECT_TO_URL, "redirect_url": "http://a.example/"},
    }
    order = [first, *(name for name in actions if name != first)]
    policies = [
        policy(10 - place, **{**actions[name], "position": place})
        for place, name in enumerate(order, start=1)
    ]
    rules = [rule(number, l7policy_id=each.id, value="/") for number, each in enumerate(policies, start=1)]
    proxy.serve(served(port, webs, *policies, *rules))
    answer = get(port, "/")
    expected = {"reject": (403, ""), "pool": (200, webs[1].name), "url": (302, "")}
    assert (answer.status, answer.member) == expected[first]


SKIPPED = {
    "disabled": (policy(admin_state_up=False, **ELSEWHERE), rule(), {}),
    "without rules": (policy(**ELSEWHERE), None, {}),
    "its only rule is disabled": (policy(**ELSEWHERE), rule(admin_state_up=False), {}),
    "its pool is disabled": (policy(**ELSEWHERE), rule(), {"admin_state_up": False}),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_a_policy_that_is_skipped(proxy: lab.Proxy, port: int, webs: list[WebServer], case: str) -> None:
    one, its, of_second = SKIPPED[case]
    next_one = policy(2, action=PolicyAction.REDIRECT_TO_URL, redirect_url="http://next.example")
    rules = [each for each in (its, rule(2, l7policy_id=next_one.id, value="/1")) if each is not None]
    proxy.serve(served(port, webs, one, next_one, *rules, **of_second))
    assert location(get(port, "/1")) == "http://next.example"
    assert get(port, "/2").member == webs[0].name


def test_policies_without_a_default_pool(proxy: lab.Proxy, port: int, webs: list[WebServer]) -> None:
    whole = served(port, webs, policy(**ELSEWHERE), rule())
    without = [each for each in whole.children() if not isinstance(each, trees.Listener)]
    proxy.serve(tree(whole.load_balancer, listener(protocol_port=port), *without))
    assert get(port, "/1").member == webs[1].name
    assert get(port, "/2").status == 503


def test_policies_on_a_listener_that_does_not_speak_http_do_nothing(
    proxy: lab.Proxy, port: int, webs: list[WebServer]
) -> None:
    """The API takes none; what is in the database all the same keeps nothing else from being served."""
    whole = served(port, webs, policy(), rule(value="/"))
    others = [each for each in whole.children() if not isinstance(each, trees.Listener)]
    tcp = listener(protocol_port=port, default_pool_id=POOL, protocol=ListenerProtocol.TCP)
    proxy.serve(tree(whole.load_balancer, tcp, *others))
    assert get(port, "/").member == webs[0].name


def test_as_many_and_as_long_as_they_may_be(proxy: lab.Proxy, port: int, webs: list[WebServer]) -> None:
    url = "http://a.example/" + "%20" * 79
    first = policy(1, **ELSEWHERE)
    long = policy(2, action=PolicyAction.REDIRECT_TO_URL, redirect_url=url)
    rules = [rule(number, l7policy_id=long.id, value="/" + "'" * 254, invert=True) for number in range(1, 51)]
    proxy.serve(served(port, webs, first, rule(99, value="/x"), long, *rules))
    assert location(get(port, "/")) == url
    assert get(port, "/x").member == webs[1].name
