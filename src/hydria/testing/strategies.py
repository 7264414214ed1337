"""Hypothesis strategies for load-balancer trees, their attributes drawn from the declarations of the model.

:func:`served_trees` draws what the API accepts and the data plane serves. :func:`hostile_trees` draws what no
API should ever have let in: every free text is an attempt to break out of a configuration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from hydria.model import alphabets, kinds
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import HEADERS, Listener
from hydria.model.member import Member
from hydria.model.modification import Direction, FixedResponse, HeaderChange, Operation, UrlRewrite
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Attribute, Configured, Resource, Use, attributes, parse_create, wire_name
from hydria.model.statuses import (
    ListenerProtocol,
    MonitorType,
    PersistenceType,
    PolicyAction,
    PoolProtocol,
    RateLimitAction,
    RateLimitMetric,
    RuleType,
)
from hydria.model.tree import Tree
from hydria.testing import bodies, trees

Values: TypeAlias = dict[str, Any]

_TREES = 3  # listeners, pools, and members of a pool, at most
_PROXY = (PoolProtocol.PROXY, PoolProtocol.PROXYV2)
_POOLS_OF: Mapping[ListenerProtocol, tuple[PoolProtocol, ...]] = {
    ListenerProtocol.HTTP: (PoolProtocol.HTTP, *_PROXY),
    ListenerProtocol.HTTPS: (PoolProtocol.HTTPS, PoolProtocol.TCP, *_PROXY),
    ListenerProtocol.TCP: (PoolProtocol.HTTP, PoolProtocol.HTTPS, PoolProtocol.TCP, *_PROXY),
    ListenerProtocol.PROMETHEUS: (),
}
_TLS = (
    "default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref", "client_authentication",
    "client_crl_container_ref", "hsts_max_age", "hsts_include_subdomains", "hsts_preload", "tls_enabled",
    "tls_container_ref", "ca_tls_container_ref", "crl_container_ref",
)  # fmt: skip
_REFERENCES = (
    "redirect_pool_id",
    "loadbalancer_id",
    "listener_id",
    "pool_id",
    "default_pool_id",
    "project_id",
    "subnet_id",
)
_ASKING = (MonitorType.HTTP, MonitorType.HTTPS)
_REDIRECTS = (PolicyAction.REDIRECT_TO_URL, PolicyAction.REDIRECT_PREFIX)
# Rules of these types take free text.
_FREE_RULES = (
    RuleType.HOST_NAME, RuleType.PATH, RuleType.FILE_TYPE, RuleType.HEADER, RuleType.COOKIE,
    RuleType.METHOD, RuleType.QUERY,
)  # fmt: skip
_OF_HTTP = ("http_method", "url_path", "expected_codes", "http_version", "domain_name")

_vips = st.sampled_from((("192.0.2.10",), ("2001:db8::10",), ("192.0.2.10", "2001:db8::10")))


@st.composite
def served_trees(draw: st.DrawFn) -> Tree:
    """Trees that the API accepts and that the data plane serves."""
    vips = draw(_vips)
    pools = [draw(_pools(number)) for number in range(1, draw(st.integers(0, _TREES)) + 1)]
    listeners = [draw(_listeners(number, pools)) for number in range(1, draw(st.integers(0, _TREES)) + 1)]
    members = [member for number, pool in enumerate(pools) for member in draw(_members(pool, number * 100))]
    monitored = [pool for pool in pools if draw(st.booleans())]
    monitors = [draw(_monitors(number, pool)) for number, pool in enumerate(monitored, start=1)]
    policies, rules = draw(_policies(listeners, pools))
    limits = draw(_limits(listeners))
    additional = [{"subnet_id": trees.POOL, "ip_address": vip, "port_id": trees.POOL} for vip in vips[1:]]
    balancer = trees.load_balancer(
        vip_address=vips[0],
        additional_vips=additional,
        admin_state_up=draw(st.booleans()) or draw(st.booleans()),
    )
    return trees.tree(balancer, *listeners, *pools, *members, *monitors, *policies, *rules, *limits)


def hostile_texts() -> st.SearchStrategy[str]:
    """Texts made of what has a meaning to HAProxy, nftables or a shell, and of characters that end lines."""
    pieces = (
        "a", "/", " ", "\t", "\n", "\r", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\u00e9",
        "\\", "\\\\", "\\x0a", "\\n", '"', "'", "'\\''", "`", "#", " # ", "$", "$HOME", "${HOME}", '"$HOME"',
        "%", "%%", "%[", "%[hostname]", "%{+Q}o", "]", "(", ")", ",", ";", "|", "{", "}", "!", "if TRUE",
        "\n    server evil 192.0.2.66:80", "\nglobal\n",
    )  # fmt: skip
    return st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=6).map("".join)


@st.composite
def hostile_trees(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> Tree:
    """A tree in which ``texts`` stand wherever the model has text, whatever its alphabet."""
    persistence = SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name=draw(texts))
    headers = {draw(texts): draw(texts), "X-Forwarded-For": draw(texts), draw(texts): "true"}
    written: dict[type[Resource], Values] = {
        resource: {name: draw(texts) for name in _free_texts(resource)}
        for resource in (Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule)
    }
    return trees.tree(
        trees.listener(default_pool_id=trees.POOL, **{**written[Listener], "insert_headers": headers}),
        trees.pool(**{**written[Pool], "session_persistence": persistence}),
        trees.member(**written[Member]),
        trees.monitor(**{**written[HealthMonitor], "http_version": 1.1}),
        trees.policy(**written[L7Policy], action=draw(st.sampled_from(_REDIRECTS))),
        trees.rule(**written[L7Rule], type=draw(st.sampled_from(_FREE_RULES))),
        *modifying(*(draw(texts) for _ in range(6))),
    )


def modifying(kind: str, body: str, name: str, value: str, prefix: str, replacement: str) -> list[Resource]:
    """Two policies, behind the first one, in which these texts stand, each with a rule."""
    header: Values = {
        "direction": Direction.REQUEST,
        "operation": Operation.SET,
        "name": name,
        "value": value,
    }
    removed: Values = {"direction": Direction.RESPONSE, "operation": Operation.REMOVE, "name": name}
    policies = (
        trees.policy(
            2,
            action=PolicyAction.FIXED_RESPONSE,
            fixed_response=FixedResponse(status=200, content_type=kind, body=body),
        ),
        trees.policy(
            3,
            action=PolicyAction.MODIFY,
            header_changes=(HeaderChange(**header), HeaderChange(**removed)),
            url_rewrite=UrlRewrite(prefix=prefix, replacement=replacement),
        ),
    )
    return [
        *policies,
        *(trees.rule(number, l7policy_id=each.id) for number, each in enumerate(policies, 2)),
    ]


@st.composite
def _listeners(draw: st.DrawFn, number: int, pools: Collection[Pool]) -> Listener:
    values = draw(_values(Listener))
    protocol = draw(st.sampled_from(list(_POOLS_OF)))
    values["protocol"] = protocol
    values["protocol_port"] = 8000 + number
    if protocol is not ListenerProtocol.HTTP:
        values["insert_headers"] = {}
    values["insert_headers"] = {
        name: value for name, value in values["insert_headers"].items() if name in HEADERS
    }
    fitting = [pool.id for pool in pools if pool.protocol in _POOLS_OF[protocol]]
    values["default_pool_id"] = draw(st.sampled_from([None, *fitting]))
    return trees.listener(number, **values)


@st.composite
def _pools(draw: st.DrawFn, number: int) -> Pool:
    values = draw(_values(Pool))
    values["protocol"] = draw(st.sampled_from(sorted({kind for fit in _POOLS_OF.values() for kind in fit})))
    record = values["session_persistence"]
    values["session_persistence"] = None if record is None else SessionPersistence(**record)
    return trees.pool(number, **values)


def _members(pool: Pool, first: int) -> st.SearchStrategy[list[Member]]:
    drawn = st.lists(
        _values(Member),
        max_size=_TREES,
        unique_by=lambda values: (values["address"], values["protocol_port"]),
    )
    return drawn.map(
        lambda members: [
            trees.member(first + number, pool_id=pool.id, **values) for number, values in enumerate(members)
        ]
    )


@st.composite
def _monitors(draw: st.DrawFn, number: int, pool: Pool) -> HealthMonitor:
    values = draw(_values(HealthMonitor))
    values["type"] = draw(
        st.sampled_from((*_ASKING, MonitorType.TCP, MonitorType.PING, MonitorType.TLS_HELLO))
    )
    if values["type"] not in _ASKING:
        values.update(dict.fromkeys(_OF_HTTP))
    elif values["http_version"] != 1.1:
        values["domain_name"] = None
    return trees.monitor(number, **{**values, "pool_id": pool.id})


@st.composite
def _policies(
    draw: st.DrawFn, listeners: Collection[Listener], pools: Collection[Pool]
) -> tuple[list[L7Policy], list[L7Rule]]:
    """Policies of the listeners that speak HTTP, with rules."""
    policies: list[L7Policy] = []
    rules: list[L7Rule] = []
    fitting = [pool.id for pool in pools if pool.protocol in _POOLS_OF[ListenerProtocol.HTTP]]
    for listener in listeners:
        for _ in range(draw(st.integers(0, 2)) if listener.protocol is ListenerProtocol.HTTP else 0):
            values = draw(_values(L7Policy)) | {"redirect_pool_id": draw(st.sampled_from([None, *fitting]))}
            number = len(policies) + 1
            targets = {"REDIRECT_TO_POOL": "redirect_pool_id", "REDIRECT_TO_URL": "redirect_url"}
            targets |= {"FIXED_RESPONSE": "fixed_response", "MODIFY": "header_changes"}
            if values[targets.get(values["action"], "redirect_prefix")] is None:
                values["action"] = PolicyAction.REJECT
            _fit_modification(values)
            policies.append(trees.policy(number, **{**values, "listener_id": listener.id}))
    for policy in policies:
        for _ in range(draw(st.integers(0, 2))):
            values = draw(_values(L7Rule)) | {"type": draw(st.sampled_from(_FREE_RULES))}
            values["key_name"] = values["key_name"] or "X-Test"
            rules.append(trees.rule(len(rules) + 1, **{**values, "l7policy_id": policy.id}))
    return policies, rules


@st.composite
def _limits(draw: st.DrawFn, listeners: Collection[Listener]) -> list[Resource]:
    """Rate limit policies of the listeners that may have some, with rules; those look at few windows."""
    found: list[Resource] = []
    number = 0
    for listener in listeners:
        http = listener.protocol is ListenerProtocol.HTTP
        limited = http or listener.protocol in (ListenerProtocol.TCP, ListenerProtocol.HTTPS)
        for _ in range(draw(st.integers(0, 2)) if limited else 0):
            number += 1
            values = draw(_values(RateLimitPolicy)) | {"listener_id": listener.id}
            if not http:
                values["action"] = draw(
                    st.sampled_from((RateLimitAction.REJECT, RateLimitAction.SILENT_DROP))
                )
            policy = trees.limit_policy(number, **values)
            found.append(policy)
            for place in range(draw(st.integers(0, 2))):
                rule = draw(_values(RateLimitRule)) | {"rate_limit_policy_id": policy.id}
                per_url = rule["metric"] is RateLimitMetric.REQUESTS_PER_URL
                if per_url and not (http and rule["urls"]):
                    rule["metric"] = RateLimitMetric.KBYTES
                found.append(trees.limit_rule(number * 10 + place, **rule | {"interval": 30}))
    return found


def _fit_modification(values: Values) -> None:
    """What a policy carries as the model has it, each part as it has to be."""
    response, rewrite = values["fixed_response"], values["url_rewrite"]
    if response is not None:
        response |= {"body": response["body"] or "x", "status": min(response["status"], 203)}
        values["fixed_response"] = FixedResponse(**response)
    if rewrite is not None:
        values["url_rewrite"] = UrlRewrite(**rewrite)
    changes = [] if values["header_changes"] is None else values["header_changes"]
    for change in changes:
        change["name"] = f"X-{change['name']}"
        removes = change["operation"] is Operation.REMOVE
        change["value"] = None if removes else change["value"] or "x"
    values["header_changes"] = tuple(HeaderChange(**change) for change in changes) or None


def _values(resource: type[Resource]) -> st.SearchStrategy[Values]:
    """Field -> canonical value of what a POST decides, references and TLS left out."""
    needed = [
        wire_name(field, attribute)
        for field, attribute in attributes(resource).items()
        if attribute.create is Use.REQUIRED and wire_name(field, attribute) in _REFERENCES
    ]
    references = dict.fromkeys(needed, trees.BALANCER)
    defaults = {
        attribute.default.name: getattr(_DEFAULTS, field)
        for field, attribute in attributes(resource).items()
        if isinstance(attribute.default, Configured)
    }
    drawn = bodies.valid_bodies(resource, creating=True, without=(*_REFERENCES, *_TLS))

    def parsed(body: Values) -> Values:
        values = parse_create(resource, {**body, **references}, defaults)
        return {
            field: value for field, value in values.items() if field not in (*_REFERENCES, *_TLS, *_LEFT_OUT)
        }

    return drawn.map(parsed)


def _free_texts(resource: type[Resource]) -> list[str]:
    return [field for field, attribute in attributes(resource).items() if _is_free_text(field, attribute)]


def _is_free_text(field: str, attribute: Attribute) -> bool:
    # Codes too, for their kind is a text to whoever reads it.
    texts = (kinds.Text, kinds.Pattern, alphabets.ExpectedCodes)
    return isinstance(attribute.kind, texts) and attribute.create is not Use.NEVER and field != "project_id"


_LEFT_OUT = ("load_balancer_id", "tags")
_DEFAULTS = trees.listener()
