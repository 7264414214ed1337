"""Kinds: what values an attribute takes, and the alphabet they are written in.

A kind turns what a client sent (decoded JSON, or the text of a query parameter) into the one canonical value
that Hydria stores, or raises :class:`BadValue` with the reason. Leniency follows what Octavia's clients rely
on (contract 1.4): digits for integers, ``yes``/``no`` for booleans, UUIDs without dashes.

Text that ends up in a daemon's configuration is of a kind of its own (:mod:`.alphabets`), so that nothing a
renderer sees can break out of its token.
"""

from __future__ import annotations

import ipaddress
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

Schema: TypeAlias = dict[str, object]


class BadValue(Exception):  # noqa: N818  (not an error of the program; it never leaves the model)
    """A value that its kind refuses; the text is the reason.

    ``key`` and ``value`` say which part of a record was bad; without a key it was the whole.
    """

    def __init__(self, reason: str, *, key: str = "", value: object = None) -> None:
        super().__init__(reason)
        self.key = key
        self.value = value


class UnknownKeys(BadValue):
    """A record with keys that it does not have."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"Unknown attribute: {', '.join(names)}")
        self.names = names


class Kind(Protocol):
    """One alphabet of values."""

    @property
    def column(self) -> str:
        """How the store keeps it: ``text:N``, ``integer``, ``float``, ``boolean``, ``time`` or ``json``."""

    def parse(self, value: object) -> object:
        """Turn a client's value into the canonical one; raise BadValue with the reason."""

    def schema(self) -> Schema:
        """The JSON schema of the canonical value."""


# Line breaks and other control characters have no use in any text of this API, and are how text breaks out
# of a line of configuration or of a log. Surrogates cannot be stored as UTF-8. Where lines are allowed, a
# carriage return may end one (web forms send them so). Characters that turn the direction of what follows, or
# mean something to who formats it, make a text look like another one. What joins letters (U+200C, U+200D) and
# what says of which direction a single place is (U+200E, U+200F) belongs to the writing of languages.
_MISLEADING = r"\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_CONTROL = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_MISLEADING}]")
_CONTROL_BUT_TABS = re.compile(rf"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_MISLEADING}]")
_CONTROL_BUT_LINES = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff{_MISLEADING}]|\r(?!\n)")
# The same for JSON schemas, whose texts have no surrogates.
_PRINTABLE = rf"^[^\x00-\x1f\x7f-\x9f\u2028\u2029{_MISLEADING}]*$"
_PRINTABLE_LINES = rf"^(?:[^\x00-\x08\x0b-\x1f\x7f-\x9f{_MISLEADING}]|\r\n)*$"


@dataclass(frozen=True, slots=True)
class Text:
    """Free text, at most ``limit`` characters.

    ``lines`` allows tabs and newlines (descriptions), ``tabs`` tabs alone (values of headers).
    """

    limit: int = 255
    lines: bool = False
    tabs: bool = False

    @property
    def column(self) -> str:
        return f"text:{self.limit}"

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise BadValue(f"Expected a string, not {_type_name(value)}.")
        if len(value) > self.limit:
            raise BadValue(f"Value should have a maximum character requirement of {self.limit}")
        if self._unprintable.search(value):
            raise BadValue("Value should not contain control characters, nor others that do not print.")
        return value

    @property
    def _unprintable(self) -> re.Pattern[str]:
        if self.lines:
            return _CONTROL_BUT_LINES
        return _CONTROL_BUT_TABS if self.tabs else _CONTROL

    def schema(self) -> Schema:
        pattern = _PRINTABLE_LINES if self.lines else _PRINTABLE
        return {"type": "string", "maxLength": self.limit, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text over a closed alphabet: ``pattern`` must match the whole of it."""

    pattern: str
    reason: str
    limit: int = 255
    least: int = 0

    @property
    def column(self) -> str:
        return f"text:{self.limit}"

    def parse(self, value: object) -> str:
        text = Text(self.limit).parse(value)
        if len(text) < self.least:
            raise BadValue(f"Value should have a minimum character requirement of {self.least}")
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise BadValue(self.reason)
        return text

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": self.limit, "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class UrlPart:
    """Text that names an object in URLs: one part of a path, which nothing on the way takes apart."""

    limit: int = 255

    @property
    def column(self) -> str:
        return f"text:{self.limit}"

    def parse(self, value: object) -> str:
        text = Text(self.limit).parse(value)
        if not text or "/" in text or text in (".", "..") or text.endswith(".json"):
            raise BadValue("Value should fit into a URL: not empty, without '/', and not ending in '.json'.")
        return text

    def schema(self) -> Schema:
        pattern = rf"^(?!\.{{1,2}}$)(?!.*\.json$)[^/\x00-\x1f\x7f-\x9f\u2028\u2029{_MISLEADING}]+$"
        return {"type": "string", "maxLength": self.limit, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Identifier:
    """A UUID; accepted with or without dashes, kept dashed and in lower case."""

    column: str = "text:36"

    def parse(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F-]{32,36}", value, re.ASCII):
            try:
                return str(uuid.UUID(value))
            except ValueError:
                pass
        raise BadValue("Value should be UUID format")

    def schema(self) -> Schema:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number of ``low`` to ``high``, both included."""

    low: int
    high: int
    column: str = "integer"

    def parse(self, value: object) -> int:
        number = self._whole(value)
        if number < self.low:
            raise BadValue(f"Value should be greater or equal to {self.low}")
        if number > self.high:
            raise BadValue(f"Value should be lower or equal to {self.high}")
        return number

    @staticmethod
    def _whole(value: object) -> int:
        if isinstance(value, bool):
            raise BadValue("Expected an integer, not a boolean.")
        if isinstance(value, int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return int(value)  # truncated, as clients of Octavia know it
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", value, re.ASCII):
            return int(value)
        raise BadValue("Unable to convert the value to an integer.")

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false, in any of the spellings that OpenStack clients use."""

    column: str = "boolean"

    def parse(self, value: object) -> bool:
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise BadValue("Unable to convert the value to a boolean; use true or false.")

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the words of an enumeration, spelt exactly.

    ``refusal`` opens the message where clients know one of its own ("Invalid TLS versions").
    """

    words: type[StrEnum]
    refusal: str = ""

    @property
    def column(self) -> str:
        return "text:36"

    def parse(self, value: object) -> StrEnum:
        # Only of a string: an enumeration compares and prints whatever it is asked for, also what cannot be.
        if isinstance(value, str):
            try:
                return self.words(value)
            except ValueError:
                pass
        opening = f"{self.refusal}: {shown(value)}. " if self.refusal else ""
        raise BadValue(f"{opening}Value should be one of: {', '.join(self.words)}")

    def schema(self) -> Schema:
        return {"type": "string", "enum": [str(word) for word in self.words]}


@dataclass(frozen=True, slots=True)
class NumberChoice:
    """One of a few decimal numbers (HTTP versions)."""

    numbers: tuple[float, ...]
    column: str = "float"

    def parse(self, value: object) -> float:
        for number in self.numbers:
            text = str(number)
            if isinstance(value, str) and value.strip() in (text, text.removesuffix(".0")):
                return number
            if isinstance(value, int | float) and not isinstance(value, bool) and value == number:
                return number
        raise BadValue(f"Value should be one of: {', '.join(str(number) for number in self.numbers)}")

    def schema(self) -> Schema:
        return {"type": "number", "enum": list(self.numbers)}


@dataclass(frozen=True, slots=True)
class IntegerChoice:
    """One of a few whole numbers (codes of redirects)."""

    numbers: tuple[int, ...]
    column: str = "integer"

    def parse(self, value: object) -> int:
        try:
            number = Integer(min(self.numbers), max(self.numbers)).parse(value)
        except BadValue:
            number = None
        if number not in self.numbers:
            raise BadValue(f"Value should be one of: {', '.join(map(str, self.numbers))}")
        return number

    def schema(self) -> Schema:
        return {"type": "integer", "enum": list(self.numbers)}


@dataclass(frozen=True, slots=True)
class Address:
    """A complete IPv4 or IPv6 address without zone; the text is kept as given (contract 1.4).

    Also one of the IPv4-mapped form: rules that compare addresses look through it (:func:`plain_address`).
    """

    column: str = "text:64"

    def parse(self, value: object) -> str:
        if isinstance(value, str) and "%" not in value:
            try:
                ipaddress.ip_address(value)
            except ValueError:
                pass
            else:
                return value
        raise BadValue("Value should be IPv4 or IPv6 format")

    def schema(self) -> Schema:
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


@dataclass(frozen=True, slots=True)
class Network:
    """A network in CIDR notation; host bits are cleared."""

    column: str = "text:64"

    def parse(self, value: object) -> str:
        if isinstance(value, str) and "%" not in value:
            try:
                return str(ipaddress.ip_network(value, strict=False))
            except ValueError:
                pass
        raise BadValue("Value should be IPv4 or IPv6 CIDR format")

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one kind; repeated items are kept once, in the order of their first appearance.

    ``empty_is_null``: an empty list says "none", as null does (``allowed_cidrs``).
    """

    item: Kind
    limit: int = 1024
    empty_is_null: bool = False
    column: str = "json"

    def parse(self, value: object) -> list[object] | None:
        if not isinstance(value, list):
            raise BadValue(f"Expected a list, not {_type_name(value)}.")
        if len(value) > self.limit:
            raise BadValue(f"Value should have at most {self.limit} items")
        parsed = [self.item.parse(item) for item in value]
        if self.empty_is_null and not parsed:
            return None
        return parsed if isinstance(self.item, Record) else list(dict.fromkeys(parsed))

    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.limit}


@dataclass(frozen=True, slots=True)
class TextMap:
    """An object whose keys and values are texts (``insert_headers``)."""

    key: Kind = field(default_factory=Text)
    value: Kind = field(default_factory=Text)
    column: str = "json"

    def parse(self, value: object) -> dict[str, object]:
        if not isinstance(value, Mapping):
            raise BadValue(f"Expected an object, not {_type_name(value)}.")
        return {str(self.key.parse(key)): self.value.parse(item) for key, item in value.items()}

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.value.schema(),
        }


@dataclass(frozen=True, slots=True)
class Record:
    """An object with fixed keys (``session_persistence``, one of ``additional_vips``).

    Absent keys are None. ``required`` keys must be there and not null. ``merge``: a PUT changes the keys that
    it carries and leaves the others as they are, so only those are handed on (resource.parse_update); rules
    join them with the stored record.
    """

    fields: Mapping[str, Kind]
    required: Sequence[str] = ()
    merge: bool = False
    column: str = "json"

    def parse(self, value: object) -> dict[str, object]:
        if not isinstance(value, Mapping):
            raise BadValue(f"Expected an object, not {_type_name(value)}.")
        unknown = sorted(str(key) for key in value if key not in self.fields)
        if unknown:
            raise UnknownKeys(unknown)
        record: dict[str, object] = {}
        for name, kind in self.fields.items():
            item = value.get(name)
            if item is None and name in self.required:
                raise BadValue("Mandatory field missing.", key=name)
            try:
                record[name] = None if item is None else kind.parse(item)
            except BadValue as refusal:
                raise BadValue(str(refusal), key=name, value=item) from None
        return record

    def schema(self) -> Schema:
        optional = {
            name: {"anyOf": [kind.schema(), {"type": "null"}]}
            for name, kind in self.fields.items()
            if name not in self.required
        }
        return {
            "type": "object",
            "properties": {name: kind.schema() for name, kind in self.fields.items()} | optional,
            "required": list(self.required),
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Time:
    """A moment in UTC; only ever set by Hydria, so parsed only from filters."""

    column: str = "time"

    def parse(self, value: object) -> datetime:
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
                # A time without zone is in UTC already, as responses write it.
                return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            except (ValueError, OverflowError):
                pass
        raise BadValue("Value should be a date and time like 2026-01-02T03:04:05")

    def schema(self) -> Schema:
        # Without a zone, so it is not the format "date-time" of JSON schemas.
        day = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
        time = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
        return {"type": "string", "title": "time in UTC", "pattern": f"^{day}T{time}$"}


def shown(value: object, limit: int = 256) -> str:
    """A client's value as a message can show it: trimmed, printable and storable as UTF-8."""
    try:
        text = str(value)
    except (ValueError, RecursionError):
        return "(too long to show)"  # Python prints neither huge numbers nor deep nests
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}…"


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that a text of kind Address means, so that its spellings compare equal.

    An IPv4-mapped IPv6 address means the IPv4 address that the kernel would connect to.
    """
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _type_name(value: object) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
