"""Every text of a request that an amphora's configuration could come to hold, and how it is to stand there.

A field makes objects of a text as the API does: by the attribute's kind, then by the rules of the resource.
What is refused there goes nowhere. For what is not, a field says how the text is to be written in the words
of the configuration, all other words of which must not depend on it.
"""

import functools
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hydria.dataplane import Tuning
from hydria.dataplane.haproxy.paths import normal
from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.health_monitor import HealthMonitor
from hydria.model.kinds import Network, plain_address
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.modification import FixedResponse, HeaderChange, UrlRewrite
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Configured, Resource, attributes, name_of, parse_create
from hydria.model.statuses import CompareType, ListenerProtocol, MonitorType, PoolProtocol, RuleType
from hydria.testing import trees
from hydria.wire.logs import Syslog

DEPLOYMENT = rules.Deployment()
VIP = "192.0.2.10"
REFERENCE = "local:web"
TUNING = Tuning()
LOGGING = Tuning(tenant_logs=Syslog(("192.0.2.1:514",)))


@dataclass(frozen=True)
class Field:
    """``name``: the resource and the attribute, in brackets what else was chosen.

    ``sample``: a good value, and a word that nothing else in the configuration has.
    ``make``: objects for the place of this number in a tree, made of a text; Invalid when it is refused.
    ``said``: how the text is written; two, when it is written in two ways. ``tame``: a good value that leads
    to the same lines as the text. ``tuning``: what the operator chose. ``alone``: only one to a tree.
    """

    name: str
    sample: str
    make: Callable[[int, str], list[Resource]]
    said: Callable[[str], tuple[str, ...]] = lambda text: (text,)
    tame: Callable[[str], str] | None = None
    tuning: Tuning = TUNING
    alone: bool = False

    @property
    def attribute(self) -> str:
        return self.name.partition(" [")[0]

    def takes(self, text: str) -> bool:
        try:
            self.make(1, text)
        except Invalid:
            return False
        return True

    def harmless(self, text: str) -> str:
        return self.tame(text) if self.tame else self.sample


# --- through the door


def _parsed(resource: type[Resource], body: Mapping[str, Any]) -> dict[str, Any]:
    return parse_create(resource, {"project_id": trees.PROJECT, **body}, _defaults(resource))


@functools.cache
def _defaults(resource: type[Resource]) -> Mapping[str, Any]:
    like = {"provider": "amphora", **msgspec.structs.asdict(trees.listener())}
    return {
        attribute.default.name: like[field]
        for field, attribute in attributes(resource).items()
        if isinstance(attribute.default, Configured)
    }


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in ("tags", "load_balancer_id")}


def _balancer(**given: Any) -> LoadBalancer:
    values = _parsed(LoadBalancer, {"vip_address": VIP, **given})
    return trees.load_balancer(**_own(values))


def _listener(number: int, vip: str = VIP, **given: Any) -> Listener:
    body = {"loadbalancer_id": trees.BALANCER, "protocol": "HTTP", "protocol_port": 1000 + number, **given}
    values = rules.listener_created(_parsed(Listener, body), [vip], DEPLOYMENT)
    return trees.listener(number, **_own(values))


def _pool(number: int, **given: Any) -> Pool:
    body = {"loadbalancer_id": trees.BALANCER, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **given}
    values = rules.pool_created(_parsed(Pool, body), DEPLOYMENT)
    record = values["session_persistence"]
    values["session_persistence"] = record and SessionPersistence(**record)
    return trees.pool(number, **_own(values))


def _member(number: int, **given: Any) -> Member:
    body = {"address": "198.51.100.1", "protocol_port": 80, **given}
    values = rules.member_created(_parsed(Member, body), DEPLOYMENT)
    return trees.member(number, **_own(values), pool_id=trees.identifier(Pool, number))


def _monitor(number: int, **given: Any) -> HealthMonitor:
    pool = trees.identifier(Pool, number)
    body = {"pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, **given}
    values = rules.monitor_created(_parsed(HealthMonitor, body), PoolProtocol.HTTP, DEPLOYMENT)
    return trees.monitor(number, **_own(values))


def _policy(number: int, **given: Any) -> L7Policy:
    body = {"listener_id": trees.LISTENER, "action": "REJECT", "position": number, **given}
    values = rules.policy_created(_parsed(L7Policy, body), ListenerProtocol.HTTP)
    for name, kind in _CARRIED.items():
        values[name] = msgspec.convert(values[name], kind | None)
    return trees.policy(number, **_own(values))


_CARRIED: Mapping[str, Any] = {
    "fixed_response": FixedResponse,
    "header_changes": tuple[HeaderChange, ...],
    "url_rewrite": UrlRewrite,
}


def _rule(number: int, **given: Any) -> L7Rule:
    body = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x", **given}
    values = rules.rule_created(_parsed(L7Rule, body))
    return trees.rule(number, **_own(values), l7policy_id=trees.identifier(L7Policy, number))


def _limit_policy(number: int, **given: Any) -> RateLimitPolicy:
    body = {"listener_id": trees.LISTENER, "action": "DENY", **given}
    values = rules.limit_policy_created(_parsed(RateLimitPolicy, body), ListenerProtocol.HTTP)
    return trees.limit_policy(number, **_own(values))


def _limit_rule(number: int, **given: Any) -> RateLimitRule:
    body = {"metric": "REQUESTS_PER_URL", "threshold": 7, "urls": ["/x"], **given}
    values = rules.limit_rule_created(_parsed(RateLimitRule, body), ListenerProtocol.HTTP)
    policy = trees.identifier(RateLimitPolicy, number)
    return trees.limit_rule(number, **_own(values), rate_limit_policy_id=policy)


# --- places in a tree

# What has nothing of the text is made once.
_plain_listener, _plain_pool, _plain_member = map(functools.cache, (_listener, _pool, _member))
_plain_monitor, _plain_policy, _plain_rule = map(functools.cache, (_monitor, _policy, _rule))


def _served(number: int, *objects: Resource, **of_pool: Any) -> list[Resource]:
    """A pool that a listener of its own uses, with these objects of it."""
    pool = _pool(number, **of_pool) if of_pool else _plain_pool(number)
    member = [] if any(isinstance(each, Member) for each in objects) else [_plain_member(number)]
    return [_plain_listener(number, default_pool_id=pool.id), pool, *member, *objects]


def _monitored(**given: Any) -> Callable[[int, str], list[Resource]]:
    """``given``: the attributes of the monitor; the text is in the place of None."""
    return lambda number, text: _served(number, _monitor(number, **_filled(given, text)))


def _acting(**given: Any) -> Callable[[int, str], list[Resource]]:
    return lambda number, text: [
        _plain_listener(1),
        _policy(number, **_filled(given, text)),
        _plain_rule(number),
    ]


def _matching(**given: Any) -> Callable[[int, str], list[Resource]]:
    return lambda number, text: [
        _plain_listener(1),
        _plain_policy(number),
        _rule(number, **_filled(given, text)),
    ]


def _with_pool(**given: Any) -> Callable[[int, str], list[Resource]]:
    return lambda number, text: _served(number, **_filled(given, text))


def _listening(**given: Any) -> Callable[[int, str], list[Resource]]:
    return lambda number, text: [_listener(number, **_filled(given, text))]


def _limited(policy: RateLimitPolicy, rule: RateLimitRule) -> list[Resource]:
    return [_plain_listener(1), policy, rule]


def _limiting(number: int, text: str) -> list[Resource]:
    return _limited(_limit_policy(number), _limit_rule(number, urls=[text]))


def _filled(given: Any, text: str) -> Any:
    if isinstance(given, dict):
        return {name: _filled(value, text) for name, value in given.items()}
    if isinstance(given, list):
        return [_filled(value, text) for value in given]
    return text if given is None else given


# --- how texts are written


def _in_format(text: str) -> tuple[str, ...]:
    """Where a log-format is expected (section 8.2.4)."""
    return (text.replace("%", "%%"),)


def of_prefix(text: str) -> tuple[str, ...]:
    """Without the slash that the path behind it has."""
    return _in_format(text if set("?#") & set(text) else text.removesuffix("/"))


def _ciphers(text: str) -> tuple[str, ...]:
    """TLS 1.3's in a word of their own."""
    names = text.split(":")
    suites = [name for name in names if name.startswith("TLS_")]
    others = [name for name in names if not name.startswith("TLS_")]
    return tuple(":".join(group) for group in (others, suites) if group)


def _tame_ciphers(text: str) -> str:
    suite = any(name.startswith("TLS_") for name in text.split(":"))
    other = any(not name.startswith("TLS_") for name in text.split(":"))
    return ":".join(("DHE-PSK-AES128-CBC-SHA256",) * other + ("TLS_AES_128_CCM_8_SHA256",) * suite)


def _escaped(text: str) -> str:
    """A regular expression for the text itself."""
    plain = string.ascii_letters + string.digits + "/"
    return "".join(char if char in plain else f"\\{char}" for char in text)


def _value(kind: RuleType, compare: CompareType) -> Callable[[str], tuple[str, ...]]:
    def said(text: str) -> tuple[str, ...]:
        if compare is CompareType.REGEX:
            blank = {" ": r"\x20", "\t": r"\x09"}.get(text[0])
            return (_line(f"{blank}{text[1:]}" if blank else text),)
        if kind is RuleType.FILE_TYPE:
            return (text if text.startswith(".") else f".{text}",)
        text = _unquoted(kind, text)
        if _needs_expression(text):
            letters = ("\\t" if char == "\t" else char if char.isalnum() else f"\\{char}" for char in text)
            return ("".join(letters),)
        return (_line(text),)

    return said


def _line(text: str) -> str:
    """As it stands in a file of patterns, where a hash begins a comment."""
    return f" {text}" if text.startswith("#") else text


def _unquoted(kind: RuleType, text: str) -> str:
    quoted = kind in (RuleType.HEADER, RuleType.QUERY) and len(text) > 2 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text


def _needs_expression(text: str) -> bool:
    """What begins with a blank, or has a tab, can only be said by a regular expression: another way to match."""
    return "\t" in text or text.startswith(" ")


def _address(text: str) -> tuple[str, ...]:
    return (_bracketed(str(plain_address(text))),)


def _bracketed(text: str) -> str:
    return f"[{text}]" if ":" in text else text


def _same_family(text: str) -> str:
    return "2001:db8::7a3e" if ":" in _address(text)[0] else "198.51.100.77"


# --- all of them


def _of_rules() -> Iterator[Field]:
    for kind in (RuleType.HOST_NAME, RuleType.PATH, RuleType.HEADER, RuleType.COOKIE, RuleType.QUERY):
        key = {"key": "X-Key"} if kind in (RuleType.HEADER, RuleType.COOKIE, RuleType.QUERY) else {}
        for compare in CompareType:
            yield _of_value(kind, compare, **key)
    for kind in (RuleType.FILE_TYPE, RuleType.METHOD):
        for compare in (CompareType.EQUAL_TO, CompareType.REGEX):
            yield _of_value(kind, compare)
    for compare in CompareType:
        yield _of_value(RuleType.SSL_DN_FIELD, compare, key="CN")
    for kind in (RuleType.HEADER, RuleType.COOKIE, RuleType.QUERY, RuleType.SSL_DN_FIELD):
        make = _matching(type=kind, compare_type="EQUAL_TO", key=None, value="x")
        yield Field(f"l7rule.key [{kind}]", "TAMEkey", make)
    make = _matching(type="SOURCE_IP", compare_type="EQUAL_TO", value=None)
    yield Field(
        "l7rule.value [SOURCE_IP]", "198.51.100.64/26", make, lambda text: (str(Network().parse(text)),)
    )
    make = _matching(type="SSL_VERIFY_RESULT", compare_type="EQUAL_TO", value=None)
    yield Field("l7rule.value [SSL_VERIFY_RESULT]", "7777777", make)
    make = _matching(type="SSL_CONN_HAS_CERT", compare_type="EQUAL_TO", value=None)
    yield Field("l7rule.value [SSL_CONN_HAS_CERT]", "true", make, lambda _: ())


def _of_value(kind: RuleType, compare: CompareType, **key: str) -> Field:
    def tame(text: str) -> str:
        if compare is CompareType.REGEX or not _needs_expression(_unquoted(kind, text)):
            return "TAMEvalue"
        return '"TAME\tvalue"' if kind in (RuleType.HEADER, RuleType.QUERY) else "TAME\tvalue"

    make = _matching(type=kind, compare_type=compare, value=None, **key)
    return Field(f"l7rule.value [{kind} {compare}]", "TAMEvalue", make, _value(kind, compare), tame)


def _of_texts_that_go_nowhere() -> Iterator[Field]:
    """Names and descriptions are for people."""
    made: Mapping[type[Resource], Callable[..., list[Resource]]] = {
        LoadBalancer: lambda _, **given: [_balancer(**given), _plain_listener(1)],
        Listener: lambda number, **given: [_listener(number, **given)],
        Pool: _served,
        Member: lambda number, **given: _served(number, _member(number, **given)),
        HealthMonitor: lambda number, **given: _served(number, _monitor(number, **given)),
        L7Policy: lambda number, **given: [_plain_listener(1), _policy(number, **given), _plain_rule(number)],
        RateLimitPolicy: lambda number, **given: _limited(
            _limit_policy(number, **given), _limit_rule(number)
        ),
        RateLimitRule: lambda number, **given: _limited(_limit_policy(number), _limit_rule(number, **given)),
    }
    for resource, make in made.items():
        for name in ("name", "description"):
            if name in attributes(resource):
                yield Field(
                    f"{name_of(resource)}.{name}",
                    "TAMEname",
                    lambda number, text, make=make, name=name: make(number, **{name: text}),
                    lambda _: (),
                    alone=resource is LoadBalancer,
                )


def _of_references() -> Iterator[Field]:
    """Files are named after a digest of the reference."""
    server = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": REFERENCE}
    authority = {"client_authentication": "MANDATORY", "client_ca_tls_container_ref": REFERENCE}
    given: Mapping[str, dict[str, Any]] = {
        "listener.default_tls_container_ref": {**server, "default_tls_container_ref": None},
        "listener.sni_container_refs": {**server, "sni_container_refs": [None]},
        "listener.client_ca_tls_container_ref": {**server, **authority, "client_ca_tls_container_ref": None},
        "listener.client_crl_container_ref": {**server, **authority, "client_crl_container_ref": None},
        "pool.tls_container_ref": {"tls_enabled": True, "tls_container_ref": None},
        "pool.ca_tls_container_ref": {"tls_enabled": True, "ca_tls_container_ref": None},
        "pool.crl_container_ref": {
            "tls_enabled": True, "ca_tls_container_ref": REFERENCE, "crl_container_ref": None,
        },
    }  # fmt: skip
    for name, values in given.items():
        make = _listening(**values) if name.startswith("listener") else _with_pool(**values)
        yield Field(name, "TAME reference", make, lambda _: ())


def _of_header_names(number: int, text: str) -> list[Resource]:
    return [_listener(number, insert_headers={text: "true"})]


def _vip(number: int, text: str) -> list[Resource]:
    return [_balancer(vip_address=text), _listener(number, vip=text)]


def _second_vip(number: int, text: str) -> list[Resource]:
    vips = [{"subnet_id": trees.POOL, "ip_address": text}]
    return [_balancer(additional_vips=vips), _plain_listener(number)]


def _networks(number: int, text: str) -> list[Resource]:
    vips = [{"subnet_id": trees.POOL, "ip_address": "2001:db8::10"}]
    listener = _listener(number, allowed_cidrs=[text], vip="2001:db8::10" if ":" in text else VIP)
    return [_balancer(additional_vips=vips), listener]


_TLS_LISTENER = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": REFERENCE}
_CHANGE = {"direction": "REQUEST", "operation": "SET", "name": "X-Test", "value": "x"}

FIELDS: tuple[Field, ...] = (
    Field("loadbalancer.vip_address", "198.51.100.77", _vip, lambda text: (_bracketed(text),), _same_family, alone=True),
    Field("loadbalancer.additional_vips.ip_address", "198.51.100.77", _second_vip, lambda text: (_bracketed(text),), _same_family, alone=True),
    Field("listener.project_id", "TAME7project", lambda number, text: [_listener(number, project_id=text)],
          lambda text: ("".join(char if char in string.ascii_letters + string.digits + "_.:-" else "_" for char in text),), tuning=LOGGING),
    Field("listener.insert_headers", "X-Forwarded-Port", _of_header_names, lambda _: (), lambda text: text),
    Field("listener.insert_headers [value]", "true", _listening(insert_headers={"X-Forwarded-Port": None}), lambda _: (),
          lambda text: "true" if text.lower() == "true" else "no"),
    Field("listener.allowed_cidrs", "198.51.100.64/26", _networks, lambda text: (str(Network().parse(text)),),
          lambda text: "2001:db8:7a3e::/48" if ":" in text else "198.51.100.64/26", alone=True),
    Field("listener.tls_ciphers", "DHE-PSK-AES128-CBC-SHA256", _listening(**_TLS_LISTENER, tls_ciphers=None), _ciphers, _tame_ciphers),
    *_of_references(),
    Field("pool.session_persistence.cookie_name", "TAMEcookie", _with_pool(session_persistence={"type": "APP_COOKIE", "cookie_name": None})),
    Field("pool.tls_ciphers", "DHE-PSK-AES128-CBC-SHA256", _with_pool(tls_enabled=True, tls_ciphers=None), _ciphers, _tame_ciphers),
    Field("member.address", "198.51.100.77", lambda number, text: _served(number, _member(number, address=text)), _address, _same_family),
    Field("member.monitor_address", "198.51.100.77",
          lambda number, text: _served(number, _member(number, monitor_address=text), _plain_monitor(number)), _address, _same_family),
    Field("healthmonitor.url_path", "/TAME", _monitored(url_path=None)),
    Field("healthmonitor.expected_codes", "277, 299", _monitored(expected_codes=None), lambda text: (text.replace(" ", ""),)),
    Field("healthmonitor.domain_name [HTTP]", "TAME.example", _monitored(http_version=1.1, domain_name=None), _in_format),
    Field("healthmonitor.domain_name [HTTPS]", "TAME.example", _monitored(type=MonitorType.HTTPS, http_version=1.1, domain_name=None)),
    Field("l7policy.redirect_url", "http://TAME.example/", _acting(action="REDIRECT_TO_URL", redirect_url=None), _in_format),
    Field("l7policy.redirect_prefix", "https://TAME.example", _acting(action="REDIRECT_PREFIX", redirect_prefix=None), of_prefix),
    Field("l7policy.fixed_response.content_type", "text/TAME",
          _acting(action="FIXED_RESPONSE", fixed_response={"status": 200, "content_type": None, "body": "x"})),
    Field("l7policy.fixed_response.body", "TAME body", _acting(action="FIXED_RESPONSE", fixed_response={"status": 200, "body": None})),
    Field("l7policy.header_changes.name", "X-TAME", _acting(action="MODIFY", header_changes=[_CHANGE | {"name": None}])),
    Field("l7policy.header_changes.value", "TAME value", _acting(action="MODIFY", header_changes=[_CHANGE | {"value": None}]), _in_format),
    Field("l7policy.url_rewrite.prefix", "/TAME", _acting(action="MODIFY", url_rewrite={"prefix": None, "replacement": "/x"}),
          lambda text: (f"^{_escaped(text.rstrip('/'))}(/",)),
    Field("l7policy.url_rewrite.replacement", "/TAME", _acting(action="MODIFY", url_rewrite={"prefix": "/x", "replacement": None}),
          lambda text: _in_format(text.rstrip("/")), lambda text: "/TAME" if text.strip("/") else "/"),
    Field("ratelimitrule.urls", "/TAME", _limiting, lambda text: (normal(text),)),
    *_of_rules(),
    *_of_texts_that_go_nowhere(),
)  # fmt: skip
