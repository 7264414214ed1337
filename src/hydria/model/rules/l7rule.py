"""Rules of L7 rules (contract 1.16): what key and value may be for each type and way to compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hydria.model import alphabets, kinds
from hydria.model.errors import Invalid
from hydria.model.l7rule import L7Rule
from hydria.model.rules import draft, regular_expression
from hydria.model.statuses import CompareType, RuleType

_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_QUOTED = re.compile(r'"[ -~\t]*"', re.ASCII)
_COOKIE_VALUE = re.compile(r"[!-~]+", re.ASCII)
_NOT_IN_COOKIES = frozenset('",;\\')
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z0-9\-._~%!$'()*,:;@\[\]/+]+", re.ASCII)
_MOST = 2**63 - 1  # of HAProxy's numbers
_DN_FIELD = re.compile(r"[a-zA-Z][A-Za-z0-9-]*", re.ASCII)


def rule_created(values: Mapping[str, object]) -> dict[str, object]:
    """A new rule's values."""
    _judge(draft.created(L7Rule, values))
    return dict(values)


def rule_updated(rule: L7Rule, changes: Mapping[str, object]) -> dict[str, object]:
    """A rule's changes, judged by the rule that they lead to."""
    _judge(draft.updated(rule, changes))
    return dict(changes)


def _judge(rule: L7Rule) -> None:
    try:
        _has_value(rule)
        _CHECKS[rule.type](rule)
        _prints(rule)
        if rule.compare_type is CompareType.REGEX:
            _regular_expression(rule)
    except _Unfit as error:
        raise Invalid(f"Error parsing L7Rule: Invalid L7 Rule: {error}") from None
    except _Malformed as error:
        raise Invalid(f"Error parsing L7Rule: {error}") from None


def _has_value(rule: L7Rule) -> None:
    if not rule.value:
        raise _Unfit("L7 rule type requires a value")


def _prints(rule: L7Rule) -> None:
    """Regular expressions and names in certificates are of any letters, but those that nobody can see."""
    if not rule.value.replace("\t", "").isprintable():
        raise _Malformed(
            "Invalid characters in value: some do not print; a regular expression can escape them"
        )


class _Unfit(Exception):  # noqa: N818  (never leaves this module)
    """Attributes that do not go together."""


class _Malformed(Exception):  # noqa: N818  (never leaves this module)
    """A text that is not what it has to be."""


def _text_of_request(rule: L7Rule) -> None:
    """HOST_NAME and PATH: a key means nothing to them, and does no harm."""
    if rule.compare_type is not CompareType.REGEX:
        _header_value(rule.value, "comparison value")


def _file_type(rule: L7Rule) -> None:
    if rule.compare_type not in (CompareType.REGEX, CompareType.EQUAL_TO):
        raise _Unfit("invalid comparison type for rule type")
    _text_of_request(rule)


def _header(rule: L7Rule) -> None:
    _name(rule)
    if rule.compare_type is not CompareType.REGEX:
        _header_value(rule.value, "header value")


def _cookie(rule: L7Rule) -> None:
    _name(rule)
    if rule.compare_type is CompareType.REGEX:
        return
    if not _PRINTABLE.fullmatch(rule.value) or not _NOT_IN_COOKIES.isdisjoint(rule.value):
        raise _Malformed("Invalid characters in cookie value")


def _has_certificate(rule: L7Rule) -> None:
    _no_key(rule)
    if rule.value.lower() != "true":
        raise _Unfit(f"L7 rule value {rule.value} is not a boolean True string; use 'true'")
    _equality_alone(rule)


def _verification(rule: L7Rule) -> None:
    _no_key(rule)
    if not re.fullmatch(r"[0-9]+", rule.value, re.ASCII):
        raise _Unfit(f"L7 rule type {rule.type} needs a whole number >= 0 as its value")
    if int(rule.value) > _MOST:
        raise _Unfit(f"L7 rule type {rule.type} needs a whole number <= {_MOST} as its value")
    _equality_alone(rule)


def _distinguished_name(rule: L7Rule) -> None:
    if not rule.key_name:
        raise _Unfit(f"L7 rule type {rule.type} needs to specify a key and a value")
    if not _DN_FIELD.fullmatch(rule.key_name):
        raise _Unfit("invalid distinguished name field")


def _method(rule: L7Rule) -> None:
    """Methods are tokens, and have a case (RFC 9110, section 9.1)."""
    _no_key(rule)
    if rule.compare_type not in (CompareType.REGEX, CompareType.EQUAL_TO):
        raise _Unfit("invalid comparison type for rule type")
    if rule.compare_type is CompareType.EQUAL_TO and not _TOKEN.fullmatch(rule.value):
        raise _Malformed("Invalid characters in method")


def _query(rule: L7Rule) -> None:
    """The key is the parameter's name as the client writes it; the value is compared decoded."""
    if not rule.key_name:
        raise _Unfit("L7 rule type requires a key")
    if not _PARAMETER.fullmatch(rule.key_name):
        raise _Malformed("Invalid characters in key")
    if rule.compare_type is not CompareType.REGEX:
        _header_value(rule.value, "comparison value")


def _source(rule: L7Rule) -> None:
    _no_key(rule)
    _equality_alone(rule)
    try:
        kinds.Network().parse(rule.value)
    except kinds.BadValue:
        raise _Malformed(f"L7 rule type {rule.type} needs an address or a network as its value") from None


def _name(rule: L7Rule) -> None:
    if not rule.key_name:
        raise _Unfit("L7 rule type requires a key")
    try:
        alphabets.HEADER_NAME.parse(rule.key_name)
    except kinds.BadValue:
        raise _Malformed("Invalid characters in key") from None


def _no_key(rule: L7Rule) -> None:
    if rule.key_name:
        raise _Unfit(f'L7 rule type {rule.type} does not use the "key" field')


def _equality_alone(rule: L7Rule) -> None:
    if rule.compare_type is not CompareType.EQUAL_TO:
        raise _Unfit(
            f"invalid comparison type for rule type: {rule.type} only supports {CompareType.EQUAL_TO}"
        )


def _header_value(value: str, what: str) -> None:
    if not _PRINTABLE.fullmatch(value) and not _QUOTED.fullmatch(value):
        raise _Malformed(f"Invalid characters in {what}")


def _regular_expression(rule: L7Rule) -> None:
    try:
        # Names of hosts have no case.
        regular_expression.judge(rule.value, caseless=rule.type is RuleType.HOST_NAME)
    except regular_expression.Unusable as error:
        raise _Malformed(f"Unable to parse regular expression: {error}") from None


_CHECKS: Mapping[RuleType, Callable[[L7Rule], None]] = {
    RuleType.HOST_NAME: _text_of_request,
    RuleType.PATH: _text_of_request,
    RuleType.FILE_TYPE: _file_type,
    RuleType.HEADER: _header,
    RuleType.COOKIE: _cookie,
    RuleType.SSL_CONN_HAS_CERT: _has_certificate,
    RuleType.SSL_VERIFY_RESULT: _verification,
    RuleType.SSL_DN_FIELD: _distinguished_name,
    RuleType.METHOD: _method,
    RuleType.QUERY: _query,
    RuleType.SOURCE_IP: _source,
}
