"""L7 policies as HAProxy's rules: an ACL for each rule, a decision for each policy (contract 1.15, 1.16).

What a rule compares with is in a file of its own, for so it can change while HAProxy runs.

HAProxy evaluates all ``http-request`` lines before any ``use_backend``. So that policies are still tried in
their order, one that redirects to a pool only notes the backend, and everything behind it asks whether one is
noted.

Where a regular expression cannot be judged (:mod:`.doubt`) the request is refused: it might be one that a
policy is there to stop. Paths are judged in their normal form (:mod:`.paths`), and as they were written, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hydria.dataplane.haproxy import doubt, modification, paths
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.token import call, literal
from hydria.dataplane.haproxy.writer import Section
from hydria.model import kinds
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.statuses import CompareType, PolicyAction, RuleType

_CANNOT_TELL = 400
_NOTED = "txn.pool"
_METHOD = "txn.method"
_MATCH = {
    CompareType.REGEX: "reg",
    CompareType.STARTS_WITH: "beg",
    CompareType.ENDS_WITH: "end",
    CompareType.CONTAINS: "sub",
    CompareType.EQUAL_TO: "str",
}
_PATHS = (RuleType.PATH, RuleType.FILE_TYPE)
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


def looks_at_paths(routes: Iterable[Route]) -> bool:
    """Whether a rule of the policies is about the path of requests."""
    return any(rule.type in _PATHS for route in routes for rule in route.rules)


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
                for words in _doubts(rule, files):
                    section.add("acl", _doubt(rule), *words)
    noted = False
    modifying: list[L7Policy] = []
    for route in routes:
        conditions = [_condition(rule) for rule in route.rules]
        if noted:
            conditions.insert(0, "!routed")
        with section.of(route.policy.id):
            _refuse_doubts(section, route.rules, ("!routed",) if noted else ())
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


def _condition(rule: L7Rule) -> str:
    return f"!{rule.id}" if rule.invert else rule.id


def _doubt(rule: L7Rule) -> str:
    return f"{rule.id}.doubt"


def _refuse_doubts(section: Section, rules: Iterable[L7Rule], conditions: Iterable[str]) -> None:
    """Refuse requests that rules which can tell leave to one which cannot.

    Two that cannot tell must not wait for one another, so only those are asked before that always can.
    """
    certain = [_condition(rule) for rule in rules if rule.compare_type is not CompareType.REGEX]
    for rule in rules:
        if rule.compare_type is CompareType.REGEX:
            unknown = (*conditions, *certain, f"!{rule.id}", _doubt(rule))
            section.add("http-request", "deny", "deny_status", _CANNOT_TELL, "if", *unknown)


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
        flags = ("-i",) if _caseless(rule) else ()
        for fetch in _fetches(rule):
            yield (fetch, *flags, "-m", match, "-f", path)


def _doubts(rule: L7Rule, files: Files) -> Iterator[tuple[str, ...]]:
    """The tests that hold where nobody can tell whether a text matches; only expressions have some."""
    if rule.compare_type is CompareType.REGEX:
        told = files.map(rule.id, doubt.entries(_pattern(rule)[1], caseless=_caseless(rule)))
        for fetch in _fetches(rule):
            yield (f"{fetch},map_reg({told},{doubt.UNKNOWN})", "-m", "str", doubt.UNKNOWN)


def _caseless(rule: L7Rule) -> bool:
    return rule.type is RuleType.HOST_NAME  # names of hosts have no case


def _fetches(rule: L7Rule) -> Iterable[str]:
    """What is compared. Of several texts it is enough that one matches; an inverted rule wants none to.

    So an inverted rule about paths looks at the normal form alone: ``/public/../admin`` is not below
    ``/public``, though it begins like that.
    """
    name = rule.key_name or ""
    match rule.type:
        case RuleType.HOST_NAME:
            # Clients name other ports than the usual one, and may write the dot at the end of the root.
            return "req.hdr(host)", "req.hdr(host),host_only", "req.hdr(host),host_only,rtrim(.)"
        case RuleType.HEADER:
            return call("req.hdr", name), call("req.fhdr", name)  # an item of a list, or the whole of it
        case RuleType.COOKIE:
            return (call("req.cook", name),)
        case RuleType.SSL_DN_FIELD:
            return (call("ssl_c_s_dn", name),)
        case RuleType.METHOD:
            return (f"var({_METHOD})",)
        case RuleType.QUERY:
            # What cannot be decoded is nothing to HAProxy, but may be the text itself to a member.
            return f"{call('url_param', name)},url_dec(1)", call("url_param", name)
        case _:
            return (f"var({paths.NORMAL})", *(() if rule.invert else (f"var({paths.WRITTEN})",)))


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
