"""Hypothesis strategies for request bodies, derived from the declarations of the model.

A new attribute or resource is covered without a change here; a new kind needs one entry in each of the two
tables at the end. Values are JSON values as clients send them, in all the spellings that contract 1.4 allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from hydria.model import alphabets, kinds
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.l7rule import L7Rule
from hydria.model.listener import HEADERS, Listener
from hydria.model.pool import Pool
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Attribute, Declared, Null, Use, attributes, wire_name
from hydria.model.rules.rate_limit import MOST_KBYTES
from hydria.model.statuses import PersistenceType

JSON: TypeAlias = Any
Values: TypeAlias = st.SearchStrategy[JSON]

_TAME = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))
# What no text on one line may hold: line ends in several alphabets, and other control characters.
_CONTROLS = ("\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029")
_CONTROLS_BESIDE_TABS = tuple(control for control in _CONTROLS if control != "\t")
_CONTROLS_IN_LINES = ("\x00", "\r", "\x0b", "\x1b", "\x7f", "\x85")
# What ends or opens something in a daemon's configuration, and so is in none of the closed alphabets.
_SYNTAX = (" ", '"', "\\", "\n", "\x00", "\u00e9")

_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_containers = st.sampled_from(([], {}, [1], ["a"], {"a": 1}, [[]]))


def valid_bodies(resource: type[Declared], *, creating: bool, without: Collection[str] = ()) -> Values:
    """Bodies of a POST (``creating``) or PUT, without the root key.

    Each attribute is valid by itself; together they may break a rule, and references point nowhere.
    ``without`` names attributes (as the API does) that the caller fills in or leaves out.
    """
    required: dict[str, Values] = {}
    optional: dict[str, Values] = {}
    for field, attribute in attributes(resource).items():
        name = wire_name(field, attribute)
        if name in without or not accepted(attribute, creating=creating):
            continue
        values = _OF_ATTRIBUTES.get((resource, field), valid_values(attribute.kind))
        if creating and attribute.create is Use.REQUIRED:
            required[name] = values
        else:
            optional[name] = values if attribute.null is Null.REFUSE else st.none() | values
    return st.fixed_dictionaries(required, optional=optional)


def accepted(attribute: Attribute, *, creating: bool) -> bool:
    """Whether a POST or a PUT may carry the attribute."""
    return attribute.create is not Use.NEVER if creating else attribute.update


def valid_values(kind: kinds.Kind) -> Values:
    """Values that a kind takes."""
    return _VALID[type(kind)](kind)


def invalid_values(kind: kinds.Kind) -> Values:
    """Values that a kind must refuse; never null, which the attribute judges."""
    return _INVALID[type(kind)](kind)


# --- valid values ----------------------------------------------------------------------------------------


def _texts(kind: kinds.Text) -> Values:
    drawn = st.text(_TAME, max_size=min(kind.limit, 20))
    longest = st.just("\N{GRINNING FACE}" * kind.limit)
    return drawn | longest | st.just("one\n\ttwo\r\n") if kind.lines else drawn | longest


def _url_parts(kind: kinds.UrlPart) -> Values:
    drawn = st.text(_TAME.filter(lambda char: char != "/"), min_size=1, max_size=20)
    drawn = drawn.filter(lambda text: text not in (".", "..") and not text.endswith(".json"))
    return drawn | st.just("\N{GRINNING FACE}" * kind.limit)


def _patterns(kind: kinds.Pattern) -> Values:
    if kind is alphabets.CIPHERS:
        names = "ECDHE+AESGCM", "AES128-SHA", "TLS_AES_128_GCM_SHA256", "!aNULL", "UNKNOWN", "@SECLEVEL=1"
        return st.lists(st.sampled_from(names), max_size=5).map(lambda some: ":".join(["DEFAULT", *some]))
    return st.from_regex(re.compile(kind.pattern, re.ASCII), fullmatch=True).filter(
        lambda text: kind.least <= len(text) <= kind.limit
    )


def _identifiers(_: kinds.Identifier) -> Values:
    return st.one_of(
        st.uuids().map(str),
        st.uuids().map(lambda value: value.hex),
        st.uuids().map(lambda value: str(value).upper()),
    )


def _integers(kind: kinds.Integer) -> Values:
    drawn = st.integers(kind.low, kind.high)
    return st.one_of(drawn, drawn.map(str), st.integers(kind.low, min(kind.high, 2**53)).map(float))


def _choices(kind: kinds.Choice) -> Values:
    return st.sampled_from([word.value for word in kind.words])


def _integer_choices(kind: kinds.IntegerChoice) -> Values:
    return st.sampled_from([*kind.numbers, *map(str, kind.numbers)])


def _number_choices(kind: kinds.NumberChoice) -> Values:
    return st.sampled_from([*kind.numbers, *map(str, kind.numbers)])


def _addresses(_: kinds.Address | None = None) -> Values:
    # Of networks where members can be; rules refuse a few special addresses.
    drawn = st.ip_addresses(network="198.18.0.0/15") | st.ip_addresses(network="2001:db8::/32")
    return drawn.map(str) | drawn.map(lambda address: address.exploded.upper())


def _networks(_: kinds.Network) -> Values:
    return st.one_of(
        st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)),
        st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
        st.sampled_from(("10.1.2.3/255.0.0.0", "192.0.2.1", "2001:DB8::1")),
    )


def _lists(kind: kinds.ListOf) -> Values:
    # An empty list of words (TLS versions) is refused by rules.
    least = 1 if isinstance(kind.item, kinds.Choice) else 0
    return st.lists(valid_values(kind.item), min_size=least, max_size=3)


def _text_maps(kind: kinds.TextMap) -> Values:
    return st.dictionaries(valid_values(kind.key), valid_values(kind.value), max_size=3)


def _records(kind: kinds.Record) -> Values:
    fields = {name: valid_values(item) for name, item in kind.fields.items()}
    return st.fixed_dictionaries(
        {name: values for name, values in fields.items() if name in kind.required},
        optional={name: st.none() | values for name, values in fields.items() if name not in kind.required},
    )


_codes = st.integers(100, 599).map(str)


def _expected_codes(_: alphabets.ExpectedCodes) -> Values:
    return st.one_of(
        _codes,
        st.lists(_codes, min_size=1, max_size=5).map(", ".join),
        st.tuples(_codes, _codes).map(lambda ends: "-".join(sorted(ends))),
    )


# --- invalid values --------------------------------------------------------------------------------------


def _spoilt(values: Values, spoilers: Collection[str]) -> Values:
    """Texts with something in them that may not be there."""
    return st.builds(
        lambda text, spoiler, place: (
            text[: place % (len(text) + 1)] + spoiler + text[place % (len(text) + 1) :]
        ),
        values,
        st.sampled_from(sorted(spoilers)),
        st.integers(0, 300),
    )


_not_texts: Values = _numbers | st.booleans() | _containers


def _bad_texts(kind: kinds.Text) -> Values:
    tame = st.text("abc", min_size=2, max_size=9)
    controls = _CONTROLS_BESIDE_TABS if kind.tabs else _CONTROLS
    if kind.lines:
        controls = _CONTROLS_IN_LINES
    return _not_texts | st.just("x" * (kind.limit + 1)) | _spoilt(tame, controls)


def _bad_url_parts(kind: kinds.UrlPart) -> Values:
    bad = ("", ".", "..", "a/b", "/", "a.json", ".json", "x" * (kind.limit + 1))
    return _not_texts | st.sampled_from(bad) | _spoilt(_url_parts(kinds.UrlPart(64)), _CONTROLS)


def _bad_patterns(kind: kinds.Pattern) -> Values:
    too_long = st.just("x" * (kind.limit + 1))
    spoilt = _spoilt(valid_values(kind), _SYNTAX)  # some alphabets have blanks and more
    return _not_texts | too_long | spoilt.filter(lambda text: not re.fullmatch(kind.pattern, text, re.ASCII))


def _bad_identifiers(_: kinds.Identifier) -> Values:
    good = st.uuids().map(str)
    return st.one_of(
        _not_texts,
        st.sampled_from(("", "lb1", "g" * 32, "0" * 31, "-" * 32)),
        good.map(lambda text: text + "0"),
        good.map(lambda text: f"{{{text}}}"),
        _spoilt(good, _SYNTAX),
    )


def _bad_integers(kind: kinds.Integer) -> Values:
    return st.one_of(
        st.integers(max_value=kind.low - 1),
        st.integers(min_value=kind.high + 1),
        st.sampled_from((10**30, -(10**30), 1e300, str(kind.low - 1), str(kind.high + 1), "9" * 400)),
        st.sampled_from(("", "abc", "1.5", "1e3", "0x10", "1_0", "\u0663", "1\x00")),
        st.booleans() | _containers,
    )


def _bad_booleans(_: kinds.Boolean) -> Values:
    return st.sampled_from(("", "maybe", "tru", "2", "1.0", 2, -1, 10**30, 0.5)) | _containers


def _bad_choices(kind: kinds.Choice) -> Values:
    words = [word.value for word in kind.words]
    respelt = [word.swapcase() for word in words if word.swapcase() not in words]
    return st.one_of(
        _not_texts,
        st.sampled_from(
            ["", "NONSENSE", *(f"{word} " for word in words), *(f"{word}\n" for word in words), *respelt]
        ),
    )


def _bad_integer_choices(kind: kinds.IntegerChoice) -> Values:
    beside = st.integers().filter(lambda number: number not in kind.numbers)
    return beside | st.sampled_from(("", "x", f"{kind.numbers[0]}0", True)) | _containers


def _bad_number_choices(kind: kinds.NumberChoice) -> Values:
    return (
        st.sampled_from((max(kind.numbers) + 1, -1, 10**30, "", "x", f"{kind.numbers[0]}0", True))
        | _containers
    )


_BAD_ADDRESSES = (
    "", "localhost", "192.0.2", "192.0.2.256", "192.0.2.1/24", "192.0.2.1 ", "192.0.2.1\n", "192.0.2.01",
    "fe80::1%eth0", "::1%1", "1::2::3", "[::1]", "0x7f000001", "3232235777",
)  # fmt: skip


def _bad_addresses(_: kinds.Address) -> Values:
    return _not_texts | st.sampled_from(_BAD_ADDRESSES)


def _bad_networks(_: kinds.Network) -> Values:
    bad = (
        "",
        "any",
        "192.0.2.0/33",
        "2001:db8::/129",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "192.0.2.0/24/8",
        "fe80::%1/64",
    )
    return _not_texts | st.sampled_from(bad)


def _bad_lists(kind: kinds.ListOf) -> Values:
    good, bad = valid_values(kind.item), invalid_values(kind.item)
    return st.one_of(
        _numbers | st.booleans() | st.sampled_from(("", "a", {}, {"a": 1})),
        st.tuples(good, bad).map(list),
        st.just([None]),
        st.just(["a"] * (kind.limit + 1)),
    )


def _bad_text_maps(kind: kinds.TextMap) -> Values:
    bad_keys = invalid_values(kind.key).filter(lambda key: isinstance(key, str))  # JSON has no others
    return st.one_of(
        _numbers | st.booleans() | st.sampled_from(("", "a", [], [1])),
        st.dictionaries(valid_values(kind.key), invalid_values(kind.value), min_size=1, max_size=1),
        st.dictionaries(bad_keys, valid_values(kind.value), min_size=1, max_size=1),
    )


def _bad_records(kind: kinds.Record) -> Values:
    whole = _records(kind)
    # One key is replaced by a bad value, or by null where it is mandatory.
    bad = [st.tuples(st.just(name), invalid_values(item)) for name, item in kind.fields.items()]
    lacking = [st.just((name, None)) for name in kind.required]
    replaced = st.one_of(*bad, *lacking, st.just(("nonsense", 1)))
    return st.one_of(
        _numbers | st.booleans() | st.sampled_from(("", "a", [], [1])),
        st.builds(lambda record, item: {**record, item[0]: item[1]}, whole, replaced),
    )


def _bad_expected_codes(_: alphabets.ExpectedCodes) -> Values:
    bad = (
        "",
        "20",
        "2000",
        "200-",
        "-204",
        "204-200",
        "200,",
        "200;201",
        "200\n",
        "2xx",
        "200-204,301",
        "200," * 16 + "200",
    )
    return _not_texts | st.sampled_from(bad)


# --- tables ----------------------------------------------------------------------------------------------

_PROFILE_DATA = st.dictionaries(
    st.text(_TAME, max_size=9), st.integers(-99, 99) | st.booleans() | st.text(_TAME, max_size=9), max_size=4
).map(json.dumps)

# Where what the kind takes is much more than what rules take.
_OF_ATTRIBUTES: Mapping[tuple[type[Declared], str], Values] = {
    (FlavorProfile, "flavor_data"): _PROFILE_DATA,
    (AvailabilityZoneProfile, "availability_zone_data"): _PROFILE_DATA,
    (Listener, "insert_headers"): st.dictionaries(
        st.sampled_from(HEADERS), st.sampled_from(("true", "True", "false")), max_size=3
    ),
    # Drawn from the alphabet that all types and ways to compare have in common, regular expressions too.
    (L7Rule, "key_name"): _patterns(alphabets.HEADER_NAME),
    (L7Rule, "value"): st.text("abcXYZ019/._-=~", min_size=1, max_size=20),
    # What every metric takes.
    (RateLimitRule, "threshold"): st.integers(1, MOST_KBYTES),
    (RateLimitRule, "urls"): st.lists(_patterns(alphabets.PATH), min_size=1, max_size=3),
    (Pool, "session_persistence"): st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from((PersistenceType.SOURCE_IP.value, PersistenceType.HTTP_COOKIE.value))}
        ),
        st.fixed_dictionaries(
            {
                "type": st.just(PersistenceType.APP_COOKIE.value),
                "cookie_name": _patterns(alphabets.COOKIE_NAME),
            }
        ),
    ),
}

_VALID: Mapping[type[Any], Callable[[Any], Values]] = {
    kinds.Text: _texts,
    kinds.UrlPart: _url_parts,
    kinds.Pattern: _patterns,
    kinds.Identifier: _identifiers,
    kinds.Integer: _integers,
    kinds.Boolean: lambda _: st.sampled_from((True, False, 0, 1, "true", "False", "YES", "n", "on", "0")),
    kinds.Choice: _choices,
    kinds.NumberChoice: _number_choices,
    kinds.IntegerChoice: _integer_choices,
    kinds.Address: _addresses,
    kinds.Network: _networks,
    kinds.ListOf: _lists,
    kinds.TextMap: _text_maps,
    kinds.Record: _records,
    alphabets.ExpectedCodes: _expected_codes,
}

_INVALID: Mapping[type[Any], Callable[[Any], Values]] = {
    kinds.Text: _bad_texts,
    kinds.UrlPart: _bad_url_parts,
    kinds.Pattern: _bad_patterns,
    kinds.Identifier: _bad_identifiers,
    kinds.Integer: _bad_integers,
    kinds.Boolean: _bad_booleans,
    kinds.Choice: _bad_choices,
    kinds.NumberChoice: _bad_number_choices,
    kinds.IntegerChoice: _bad_integer_choices,
    kinds.Address: _bad_addresses,
    kinds.Network: _bad_networks,
    kinds.ListOf: _bad_lists,
    kinds.TextMap: _bad_text_maps,
    kinds.Record: _bad_records,
    alphabets.ExpectedCodes: _bad_expected_codes,
}
