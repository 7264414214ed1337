"""Requests that mean what a rule forbids, but are written, or are long, such that it does not match them."""

import http.client
import socket
from collections.abc import Iterable
from typing import Any

import pytest

from hydria.dataplane.haproxy import paths
from hydria.dataplane.usable import Unusable, usable
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.modification import Direction, FixedResponse, HeaderChange, Operation
from hydria.model.resource import Resource
from hydria.model.statuses import CompareType, PolicyAction, RateLimitMetric, RuleType
from hydria.model.tree import Tree
from hydria.testing import trees
from hydria.testing.trees import (
    POOL,
    limit_policy,
    limit_rule,
    listener,
    load_balancer,
    member,
    policy,
    pool,
    rule,
    tree,
)
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node

REGEX, STARTS, EQUAL = CompareType.REGEX, CompareType.STARTS_WITH, CompareType.EQUAL_TO
PATH, HOST, HEADER = RuleType.PATH, RuleType.HOST_NAME, RuleType.HEADER
SECOND = trees.identifier(trees.Pool, 2)


def served(port: int, *items: L7Policy | L7Rule, web: lab.WebServer | None = None) -> Tree:
    """What no policy takes gets 503, or the member's answer where there is one."""
    members = [member(1, address=web.host, protocol_port=web.port)] if web else []
    balancer = load_balancer(vip_address="127.0.0.1")
    return tree(balancer, listener(protocol_port=port, default_pool_id=POOL), pool(), *members, *items)


def status(port: int, path: str, host: str = "x", **headers: str | list[str]) -> int:
    """What HAProxy answers to a request that is sent as it stands."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    for name, values in headers.items():
        lines += [f"{name}: {value}" for value in ([values] if isinstance(values, str) else values)]
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status


LONG = [
    (r"^/(a|b)*/admin", "/" + "ab" * 800 + "/admin"),
    (r"^(?:/[^/]+)+/secret$", "/ab" * 2000 + "/secret"),
    (r"^/((x|y)+ ?)*/# ?admin", "/" + "xy" * 2000 + "/#admin"),
    (r"(?x) ^/ (a|b)* /admin  # whoever it is", "/" + "ab" * 2000 + "/admin"),
]


@pytest.mark.parametrize(("expression", "path"), LONG)
def test_what_nobody_can_judge_is_refused(proxy: lab.Proxy, port: int, expression: str, path: str) -> None:
    """PCRE2's stack ends before the text does, which is an error; HAProxy takes that for "does not match"."""
    proxy.serve(served(port, policy(), rule(compare_type=REGEX, value=expression)))
    assert status(port, path.replace("#", "%23")) in (400, 403)
    assert status(port, "/harmless") == 503
    assert status(port, "/") == 503


def test_what_takes_too_many_steps_is_refused(proxy: lab.Proxy, port: int) -> None:
    """Also a short text can bring PCRE2 to its limit, so a bound on lengths would be none."""
    proxy.serve(served(port, policy(), rule(compare_type=REGEX, value=r"^/(a+)+(?:b|/admin)$")))
    assert status(port, "/" + "a" * 20 + "/admin") == 403
    assert status(port, "/" + "a" * 40 + "/x") == 400
    assert status(port, "/x") == 503


def test_one_text_of_several_is_enough(proxy: lab.Proxy, port: int) -> None:
    """Harmless headers beside the one that nobody can judge do not help it."""
    of_header = {"type": HEADER, "key_name": "X-Test", "compare_type": REGEX, "value": r"^(a|b)*admin$"}
    proxy.serve(served(port, policy(), rule(**of_header)))
    for values in (
        ["ab" * 2000 + "admin", "ok"],
        ["ok", "ab" * 2000 + "admin"],
        ["ok, " + "ab" * 2000 + "admin"],
    ):
        assert status(port, "/", **{"X-Test": values}) == 400
    assert status(port, "/", **{"X-Test": ["ok", "fine"]}) == 503
    assert status(port, "/") == 503


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    "action",
    [
        {},
        {"action": PolicyAction.REDIRECT_TO_POOL, "redirect_pool_id": POOL},
        {"action": PolicyAction.REDIRECT_TO_URL, "redirect_url": "http://a.example/"},
        {"action": PolicyAction.REDIRECT_PREFIX, "redirect_prefix": "http://a.example"},
        {"action": PolicyAction.FIXED_RESPONSE, "fixed_response": FixedResponse(status=200)},
        {
            "action": PolicyAction.MODIFY,
            "header_changes": [
                HeaderChange(direction=Direction.REQUEST, operation=Operation.SET, name="X-A", value="1")
            ],
        },
    ],
    ids=lambda action: str(action.get("action", "REJECT")),
)
def test_no_action_is_taken_or_left_out_on_a_guess(
    proxy: lab.Proxy,
    port: int,
    action: dict[str, Any],
    *,
    invert: bool,
) -> None:
    unclear = {"compare_type": REGEX, "value": LONG[0][0], "invert": invert}
    certain = {"type": RuleType.METHOD, "compare_type": EQUAL, "value": "GET"}
    other = {"type": HEADER, "key_name": "X-Test", "compare_type": REGEX, "value": r"^(a|b)*$"}
    rules = (rule(1, **unclear), rule(2, **certain), rule(3, **other))
    proxy.serve(served(port, policy(**action), *rules))
    assert status(port, LONG[0][1]) == 400
    assert status(port, LONG[0][1], **{"X-Test": "ab" * 3000}) == 400, "each of two that cannot tell"


def test_what_other_rules_leave_alone_goes_on(proxy: lab.Proxy, port: int) -> None:
    other = {"type": RuleType.METHOD, "compare_type": EQUAL, "value": "POST"}
    proxy.serve(served(port, policy(), rule(1, compare_type=REGEX, value=LONG[0][0]), rule(2, **other)))
    assert status(port, LONG[0][1]) == 503


@pytest.mark.parametrize("others", [0, 1])
def test_a_refusal_outlives_a_rule_that_cannot_be_used(proxy: lab.Proxy, port: int, others: int) -> None:
    """Whatever its other rules match, or all, is refused."""
    rules = [rule(1, compare_type=REGEX, value="("), *(rule(2, value="/admin") for _ in range(others))]
    found = usable(served(port, policy(), *rules), Unusable(refused={rules[0].id: "missing )"}))
    proxy.serve(found.tree)
    assert status(port, "/admin") == 403
    assert status(port, "/") == (503 if others else 403)


SPELLINGS = [
    "//admin",
    "/%61dmin",
    "/./admin",
    "/x/../admin",
    "/%2e/admin",
    "/x/%2E%2e//%61dmin?y",
    "/../admin",
]


@pytest.mark.parametrize(
    "of_rule",
    [
        {"value": "/admin"},
        {"value": "/admin", "compare_type": EQUAL},
        {"value": "^/admin", "compare_type": REGEX},
    ],
)
def test_paths_are_judged_by_what_they_mean(proxy: lab.Proxy, port: int, of_rule: dict[str, Any]) -> None:
    """And members get them as they were sent."""
    with lab.web_servers(1) as (web,):
        proxy.serve(served(port, policy(), rule(**of_rule), web=web))
        assert {path: status(port, path) for path in SPELLINGS} == dict.fromkeys(SPELLINGS, 403)
        others = ["/a//b/%61?x=//%61/../c", "/a/./%7e/..;/", "/%2f%zz/", "/.well-known/x", "/a%2Fb/..%2f"]
        assert {path: status(port, path) for path in others} == dict.fromkeys(others, 200)
        assert [first.split()[1] for first, _ in web.requests] == others


def test_what_is_allowed_by_an_inverted_rule_is_what_is_meant(proxy: lab.Proxy, port: int) -> None:
    proxy.serve(served(port, policy(), rule(value="/public/", invert=True)))
    assert status(port, "/public/x") == status(port, "//public/./x") == 503
    for path in ("/public/../admin", "/public/%2e%2e/admin", "/public//../../admin", "/admin"):
        assert status(port, path) == 403


def test_a_rule_may_still_name_what_is_written(proxy: lab.Proxy, port: int) -> None:
    proxy.serve(served(port, policy(), rule(value="//x/%61", compare_type=EQUAL)))
    assert status(port, "//x/%61") == 403
    assert status(port, "/x/a") == 503


def test_file_types_hosts_and_queries_are_judged_by_what_they_mean(proxy: lab.Proxy, port: int) -> None:
    policies = [policy(number) for number in (1, 2, 3)]
    proxy.serve(
        served(
            port,
            *policies,
            rule(1, type=RuleType.FILE_TYPE, compare_type=EQUAL, value="php"),
            rule(2, l7policy_id=policies[1].id, type=HOST, compare_type=EQUAL, value="admin.example"),
            rule(
                3,
                l7policy_id=policies[2].id,
                type=RuleType.QUERY,
                key_name="r",
                compare_type=CompareType.CONTAINS,
                value="admin",
            ),
        )
    )
    assert status(port, "/x.%70hp") == status(port, "/a/../x.php?b") == 403
    for host in ("admin.example.", "ADMIN.example.:80", "admin.example:80"):
        assert status(port, "/", host) == 403
    for query in ("r=%61dmin", "r=admin%zz", "a=b&r=1&r=admin"):
        assert status(port, f"/?{query}") == 403
    assert status(port, "/?r=none%zz", "admin.example.org") == 503


def test_limits_of_urls_count_what_is_meant(proxy: lab.Proxy, port: int) -> None:
    """However it is written, in the request or in the rule."""
    limited = limit_rule(
        metric=RateLimitMetric.REQUESTS_PER_URL, urls=["/./login"], threshold=2, interval=600
    )
    whole = served(port)
    proxy.serve(tree(whole.load_balancer, *whole.children(), limit_policy(), limited))
    paths_ = ["/login", "//login", "/%6cogin", "/./login", "/x/../login?y", "/login"]
    assert [status(port, path) for path in paths_] == [503, 503, 429, 429, 429, 429]
    assert status(port, "/logins") == 503


def written() -> Iterable[str]:
    parts = ["", ".", "..", "a", "%61", "%2e", "%2E%2e", "%2f", "%7e", "a.b", "%zz", "..a"]
    for first in parts:
        for second in parts:
            for end in ("", "/"):
                yield f"/{first}/{second}{end}"
                yield f"/x/{first}/y/{second}{end}"


def test_the_form_that_rules_are_given_is_the_one_of_requests(proxy: lab.Proxy) -> None:
    """A limit of each URL, in its normal form as it is computed here, by requests as HAProxy reads them."""
    wanted = list(written())
    chunks = [wanted[start : start + 90] for start in range(0, len(wanted), 90)]
    ports, items = lab.free_ports(len(chunks)), list[Resource]()
    for number, (port, some) in enumerate(zip(ports, chunks, strict=True), 1):
        urls = [paths.normal(path) for path in some]
        of_url = {"metric": RateLimitMetric.REQUESTS_PER_URL, "threshold": 1, "interval": 600, "urls": urls}
        one = listener(number, protocol_port=port)
        its = limit_policy(number, listener_id=one.id)
        items += [one, its, limit_rule(number, rate_limit_policy_id=its.id, **of_url)]
    proxy.serve(tree(load_balancer(vip_address="127.0.0.1"), *items))
    for port, some in zip(ports, chunks, strict=True):
        for path in some:
            assert 429 in (status(port, path), status(port, path)), path
