"""L7 policies as HAProxy's rules: an ACL for each rule, a decision for each policy (contract 1.15, 1.16).

What a rule compares with is in a file of its own, for so it can change while HAProxy runs.

HAProxy evaluates all ``http-request`` lines before any ``use_backend``. So that policies are still tried in
their order, one that redirects to a pool only notes the backend, and everything behind it asks whether one is
noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hydria.dataplane.haproxy import modification
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.token import call, literal
from hydria.dataplane.haproxy.writer import Section
from hydria.model import kinds
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.statuses import CompareType, PolicyAction, RuleType

_NOTED = "txn.pool"
_METHOD = "txn.method"
_MATCH = {
    CompareType.REGEX: "reg",
    CompareType.STARTS_WITH: "beg",
    CompareType.ENDS_WITH: "end",
    CompareType.CONTAINS: "sub",
    CompareType.EQUAL_TO: "str",
}
_MAY_BE_QUOTED = (RuleType.HEADER, RuleType.QUERY)
_ANCHORED = {
    CompareType.STARTS_WITH: "^{}",
    CompareType.ENDS_WITH: "{}$",
    CompareType.CONTAINS: "{}",
    CompareType.EQUAL_TO: "^{}$",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A policy that is enabled with its enabled rules, at least one; ``backend``: where it redirects to."""

    policy: L7Policy
    rules: tuple[L7Rule, ...]
    backend: str = ""


def decide(section: Section, routes: Sequence[Route], files: Files) -> None:
    """Add the policies of a listener, in the order in which they are tried, to its frontend."""
    if any(rule.type is RuleType.METHOD for route in routes for rule in route.rules):
        # As a string: "method" has a way of its own to compare, and newer versions warn of any other.
        section.add("http-request", f"set-var({_METHOD})", "method")
    for route in routes:
        for rule in route.rules:
            with section.of(rule.id):
                for words in _tests(rule, files):
                    section.add("acl", rule.id, *words)
    noted = False
    modifying: list[L7Policy] = []
    for route in routes:
        conditions = [f"!{rule.id}" if rule.invert else rule.id for rule in route.rules]
        if noted:
            conditions.insert(0, "!routed")
        with section.of(route.policy.id):
            if route.policy.action is PolicyAction.MODIFY:
                modifying.append(route.policy)
                section.add("http-request", *modification.note(len(modifying)), "if", *conditions)
                continue
            section.add("http-request", *_action(route), "if", *conditions)
        if route.backend and not noted:
            section.add("acl", "routed", f"var({_NOTED})", "-m", "found")
        noted = noted or bool(route.backend)
    for number, policy in enumerate(modifying, start=1):
        with section.of(policy.id):
            modification.modify(section, number, policy)


def send(section: Section, routes: Iterable[Route]) -> None:
    """Send requests where policies have decided: behind all other lines, for HAProxy comes to it last."""
    for backend in dict.fromkeys(route.backend for route in routes if route.backend):
        section.add("use_backend", backend, "if", "{", f"var({_NOTED})", "-m", "str", "--", backend, "}")


def _action(route: Route) -> Iterator[str | int]:
    policy = route.policy
    if policy.action is PolicyAction.REJECT:
        yield from ("deny", "deny_status", 403)
    elif policy.action is PolicyAction.REDIRECT_TO_POOL:
        yield from (f"set-var({_NOTED})", call("str", route.backend))
    elif policy.fixed_response is not None:
        yield from modification.answer(policy.fixed_response)
    else:
        to_url = policy.action is PolicyAction.REDIRECT_TO_URL
        target = policy.redirect_url or "" if to_url else _prefix(policy.redirect_prefix or "")
        yield from ("redirect", "location" if to_url else "prefix", literal(target))
        yield from ("code", policy.redirect_http_code or 302)


def _prefix(url: str) -> str:
    """What HAProxy puts before a path, which has a slash of its own."""
    return url if "?" in url or "#" in url else url.removesuffix("/")


def _tests(rule: L7Rule, files: Files) -> Iterator[tuple[str, ...]]:
    """What comes behind the name in each line of the rule's ACL; it holds where one of them does."""
    if rule.type is RuleType.SSL_CONN_HAS_CERT:
        yield ("ssl_c_used",)
    elif rule.type is RuleType.SSL_VERIFY_RESULT:
        yield ("ssl_c_verify", "-f", files.patterns(rule.id, [rule.value]))
    elif rule.type is RuleType.SOURCE_IP:
        yield ("src", "-f", files.patterns(rule.id, [str(kinds.Network().parse(rule.value))]))
    else:
        match, pattern = _pattern(rule)
        path = files.patterns(rule.id, [pattern])
        flags = ("-i",) if rule.type is RuleType.HOST_NAME else ()  # names of hosts have no case
        for fetch in _fetches(rule):
            yield (fetch, *flags, "-m", match, "-f", path)


def _fetches(rule: L7Rule) -> Iterable[str]:
    name = rule.key_name or ""
    match rule.type:
        case RuleType.HOST_NAME:
            return "req.hdr(host)", "req.hdr(host),host_only"  # clients name other ports than the usual one
        case RuleType.HEADER:
            return call("req.hdr", name), call("req.fhdr", name)  # an item of a list, or the whole of it
        case RuleType.COOKIE:
            return (call("req.cook", name),)
        case RuleType.SSL_DN_FIELD:
            return (call("ssl_c_s_dn", name),)
        case RuleType.METHOD:
            return (f"var({_METHOD})",)
        case RuleType.QUERY:
            return (f"{call('url_param', name)},url_dec(1)",)
        case _:
            return ("path",)


def _pattern(rule: L7Rule) -> tuple[str, str]:
    """How HAProxy matches, and with what."""
    text, compare = rule.value, rule.compare_type
    if compare is CompareType.REGEX:
        return _MATCH[compare], _leading_blank(text)
    if rule.type is RuleType.FILE_TYPE:
        return "end", text if text.startswith(".") else f".{text}"
    if rule.type in _MAY_BE_QUOTED and len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]  # the quotes say that there may be blanks
    if "\t" in text or text.startswith(" "):
        # Nothing but a regular expression can say a tab in letters that print, or begin with a blank.
        escaped = "".join(char if char.isalnum() else f"\\{char}" for char in text)
        return "reg", _ANCHORED[compare].format(escaped.replace("\\\t", r"\t"))
    return _MATCH[compare], text


def _leading_blank(expression: str) -> str:
    """The regular expression with a blank or tab that it begins with in other words."""
    return rf"\x{ord(expression[0]):02x}{expression[1:]}" if expression[0] in " \t" else expression
