"""Every attribute of every resource, derived from the declarations: nulls, defaults, alphabets, refusals."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydria.model import kinds, rules
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
from hydria.model.resource import (
    Configured,
    Null,
    Use,
    attributes,
    default_of,
    parse_create,
    parse_update,
    wire_name,
)
from hydria.model.statuses import ListenerProtocol, PoolProtocol
from hydria.store.tables import OFFERED
from hydria.testing import bodies, trees
from tests.unit.test_model_resource import MINIMAL

RESOURCES = (
    LoadBalancer, Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule, RateLimitPolicy, RateLimitRule, *OFFERED,
)  # fmt: skip
WITHOUT_RULES = (LoadBalancer, *OFFERED)
DEFAULTS = {
    attribute.default.name: number
    for number, attribute in enumerate(attributes(Listener).values())
    if isinstance(attribute.default, Configured)
} | {"default_provider_driver": "amphora"}
SITE = rules.Deployment()
EVERY = [
    pytest.param(resource, field, creating, id=f"{resource.root}.{field}-{'post' if creating else 'put'}")
    for resource in RESOURCES
    for field, attribute in attributes(resource).items()
    for creating in (True, False)
    if bodies.accepted(attribute, creating=creating)
]
some = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_attribute = pytest.mark.parametrize(("resource", "field", "creating"), EVERY)
every_resource = pytest.mark.parametrize("resource", RESOURCES)


def parse(resource, body, *, creating):
    return parse_create(resource, body, DEFAULTS) if creating else parse_update(resource, body, DEFAULTS)


def one(resource, field, value, *, creating):
    """A body with this one attribute, and what a POST needs besides."""
    return {**(MINIMAL[resource] if creating else {}), wire_name(field, attributes(resource)[field]): value}


def wired(resource, values):
    """Parsed values as a body again."""
    return {wire_name(field, attributes(resource)[field]): value for field, value in values.items()}


def apply_rules(resource, values, *, creating):
    """What the rules make of the values; None when they refuse them."""
    calls = {
        Listener: lambda: (
            rules.listener_created(values, ("192.0.2.1", "2001:db8::1"), SITE)
            if creating
            else rules.listener_updated(trees.listener(), values, ("192.0.2.1",), SITE)
        ),
        Pool: lambda: (
            rules.pool_created(values, SITE) if creating else rules.pool_updated(trees.pool(), values, SITE)
        ),
        Member: lambda: (
            rules.member_created(values, SITE)
            if creating
            else rules.member_updated(trees.member(), values, SITE)
        ),
        HealthMonitor: lambda: (
            rules.monitor_created(values, PoolProtocol.HTTP, SITE)
            if creating
            else rules.monitor_updated(trees.monitor(), values, PoolProtocol.HTTP, SITE)
        ),
        L7Policy: lambda: (
            rules.policy_created(values, ListenerProtocol.HTTP)
            if creating
            else rules.policy_updated(trees.policy(), values)
        ),
        L7Rule: lambda: rules.rule_created(values) if creating else rules.rule_updated(trees.rule(), values),
        RateLimitPolicy: lambda: (
            rules.limit_policy_created(values, ListenerProtocol.HTTP)
            if creating
            else rules.limit_policy_updated(trees.limit_policy(), values, ListenerProtocol.HTTP)
        ),
        RateLimitRule: lambda: (
            rules.limit_rule_created(values, ListenerProtocol.HTTP)
            if creating
            else rules.limit_rule_updated(trees.limit_rule(), values, ListenerProtocol.HTTP)
        ),
    }
    try:
        return calls[resource]()
    except Invalid:
        return None


@every_attribute
def test_null_and_absence(resource, field, creating):
    attribute = attributes(resource)[field]
    if creating and attribute.create is Use.REQUIRED:
        refused = "Mandatory field missing."
    elif attribute.null is Null.REFUSE:
        refused = "null is not allowed here."
    else:
        refused = ""
    body = one(resource, field, None, creating=creating)
    if refused:
        with pytest.raises(Invalid) as refusal:
            parse(resource, body, creating=creating)
        name = wire_name(field, attribute)
        assert str(refusal.value) == f"Invalid input for field/attribute {name}. Value: 'None'. {refused}"
    else:
        meant = default_of(attribute, DEFAULTS) if attribute.null is Null.DEFAULT else attribute.null
        assert parse(resource, body, creating=creating)[field] == meant
    if creating and wire_name(field, attribute) not in MINIMAL[resource]:
        assert parse(resource, MINIMAL[resource], creating=True)[field] == default_of(attribute, DEFAULTS)
    elif not creating:
        assert parse(resource, {}, creating=False) == {}


@every_attribute
def test_defaults_are_values_of_their_kind(resource, field, creating):
    attribute = attributes(resource)[field]
    for default in (default_of(attribute, DEFAULTS), attribute.null):
        if default is not None and not isinstance(default, Null):
            assert attribute.kind.parse(default) == default


@every_attribute
@given(data=st.data())
@some
def test_valid_values_are_taken_and_stay_as_they_are(resource, field, creating, data):
    value = data.draw(bodies.valid_values(attributes(resource)[field].kind))
    once = parse(resource, one(resource, field, value, creating=creating), creating=creating)
    assert parse(resource, wired(resource, once), creating=creating) == once


@every_attribute
@given(data=st.data())
@some
def test_refusals_name_the_attribute_and_the_value(resource, field, creating, data):
    attribute = attributes(resource)[field]
    name = wire_name(field, attribute)
    value = data.draw(bodies.invalid_values(attribute.kind))
    with pytest.raises(Invalid) as refusal:
        parse(resource, one(resource, field, value, creating=creating), creating=creating)
    message = str(refusal.value)
    if message.startswith("Unknown attribute"):  # of a record
        assert f".{name}: nonsense" in message
        return
    assert message.startswith(f"Invalid input for field/attribute {name}")
    if not isinstance(attribute.kind, kinds.Record) and not isinstance(
        getattr(attribute.kind, "item", None), kinds.Record
    ):
        assert f"field/attribute {name}. Value: '{kinds.shown(value)}'. " in message
    assert len(message) < 1200
    assert message.isprintable()


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.text(st.characters(categories=("Cs", "Cc", "Nd"))),
        st.sampled_from((10**4000, -(10**4000), 1e308, "\ud800", "9" * 5000, "{" * 300)),
        st.sampled_from(string.printable),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@every_resource
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_but_invalid_is_raised(resource, data):
    known = [
        (wire_name(field, attribute), attribute)
        for field, attribute in attributes(resource).items()
        if bodies.accepted(attribute, creating=True)
    ]
    body = data.draw(
        st.fixed_dictionaries({}, optional={name: anything for name, _ in known} | {"nonsense": anything})
        | anything
    )
    for creating in (True, False):
        try:
            parse(resource, body, creating=creating)
        except Invalid as refusal:
            refusal.message.encode()


@every_resource
@pytest.mark.parametrize("creating", [True, False], ids=["post", "put"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_valid_bodies_are_taken_and_rules_are_stable(resource, creating, data):
    body = data.draw(bodies.valid_bodies(resource, creating=creating))
    values = parse(resource, body, creating=creating)
    assert parse(resource, wired(resource, values), creating=creating) == values
    if resource in WITHOUT_RULES:
        return
    before = dict(values)
    completed = apply_rules(resource, values, creating=creating)
    assert values == before
    if completed is not None:
        assert completed.keys() >= values.keys()
        # What was completed is what it would be completed to.
        assert apply_rules(resource, completed, creating=creating) == completed


@every_resource
def test_rules_take_the_least_body(resource):
    values = parse(resource, MINIMAL[resource], creating=True)
    if resource not in WITHOUT_RULES:
        assert apply_rules(resource, values, creating=True) is not None
