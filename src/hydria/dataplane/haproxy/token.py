"""The one place where text becomes part of HAProxy's configuration (configuration manual, section 2.2).

The model's kinds keep hostile text out long before; this is the second wall, which does not trust the first.
Three levels of syntax can be inside one another: words of a line, arguments in parentheses within a word,
and log-format within some words.
"""

from __future__ import annotations

import re

from hydria.model.errors import Invalid

# No blank, quote, backslash, '#' or '$': HAProxy takes a word of these letters as it stands.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/,@+=\-{}()!%\[\]]+")
_WITHOUT_CONTROLS = r"""regsub("[\\x00-\\x1f\\x22\\x7f]",_,g)"""
_ENTRY = re.compile(r"[!\"$-~][!-~]*")
_PLAIN_ARGUMENT = re.compile(r"[A-Za-z0-9_.\-]+")


def token(word: str | int) -> str:
    """One word of a configuration line, quoted if it needs to be.

    Raises Invalid for what no quoting makes safe: control characters, and no text at all, which HAProxy would
    take for the end of the line.
    """
    text = str(word)
    if _PLAIN.fullmatch(text):
        return text
    _refuse_unprintable(text)
    # Nothing is special between single quotes, which is why a single quote has to stand outside of them.
    return "'" + text.replace("'", "'\\''") + "'"


def plain(word: str | int) -> str:
    """A word that needs no quoting, and so means the same in the file and on HAProxy's command line."""
    text = str(word)
    if not _PLAIN.fullmatch(text):
        raise Invalid(f"{text[:100]!r} cannot be a keyword of an HAProxy server: it would need quotes.")
    return text


def call(function: str, argument: str) -> str:
    """A sample fetch with one argument, ``req.cook(NAME)``; still to become a token."""
    if _PLAIN_ARGUMENT.fullmatch(argument):
        return f"{function}({argument})"
    _refuse_unprintable(argument)
    quoted = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'{function}("{quoted}")'


def harmless(expression: str) -> str:
    """A sample expression that gives ``_`` for each quote and control character.

    For log records, in which HAProxy shows what a certificate has for a name; in headers it encodes it.
    """
    return f"{expression},{_WITHOUT_CONTROLS}"


def pattern(text: str) -> str:
    """One line of a file of patterns, which HAProxy takes as it stands, but for what begins it.

    A line that begins with '#' is a comment unless a blank is before it; blanks and tabs at its beginning are
    no part of the pattern. So there is no line for a pattern that begins with one: Invalid.
    """
    _refuse_unprintable(text.replace("\t", " "))
    if text[0] in " \t":
        raise Invalid(f"{text[:100]!r} cannot be a pattern of HAProxy's: it begins with a blank.")
    return f" {text}" if text.startswith("#") else text


def entry(key: str, value: str) -> str:
    """One line of a map. A blank ends the key, and a hash at the beginning makes a comment: Invalid."""
    for text in (key, value):
        if not _ENTRY.fullmatch(text):
            raise Invalid(f"{text[:100]!r} cannot stand in a map of HAProxy's: it is no single word.")
    return f"{key} {value}"


def literal(text: str) -> str:
    """Text that stands for itself where HAProxy expects a log-format; still to become a token."""
    return text.replace("%", "%%")


def _refuse_unprintable(text: str) -> None:
    if not text or not text.isprintable():
        raise Invalid(
            f"{text[:100]!r} cannot be written into HAProxy's configuration: "
            "it is empty or has characters that do not print."
        )
