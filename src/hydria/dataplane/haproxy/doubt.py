"""What a regular expression says of a text when HAProxy cannot tell: a third answer beside yes and no.

PCRE2 gives up where its stack or its patience ends, which a client can bring about by a long text, and
HAProxy takes that for "does not match". So there is a map from the opposite of the expression, which matches
exactly the texts that the expression does not: one that neither of them matches is one that nobody can judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

UNKNOWN = "unknown"
_TOLD = "told"
# What has to stand at the very beginning, and is about the expression as a whole.
_SETTINGS = re.compile(r"(?:\(\*(?:LIMIT_[A-Z]+=[0-9]+|NO_[A-Z_]+|CR|LF|CRLF|ANYCRLF|ANY|NUL|BSR_[A-Z]+)\))*")
# Quoted text, an escape, a class, a comment, options, or a letter.
_PIECE = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\c.|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
    r"|(?P<comment>\(\?#[^)]*\))|\(\?(?P<options>\^?[imsnxJU]*(?:-[imsnxJU]*)?)(?P<end>[:)])|.",
    re.DOTALL,
)
_MANY = frozenset("*+{")
_EITHER = frozenset("|?")
# Each doubles the ways to read a text, of 16 kB at most, and each place may be its beginning; PCRE2 takes ten
# million steps.
_MOST_EITHER = 8
_ALWAYS = "\\A"
_BLANK = frozenset(" \t")
# Moves what is said to have matched, which nobody asks here, and may not stand in an assertion.
_FORGET, _NOTHING = "\\K", "(?:)"


def entries(expression: str, *, caseless: bool) -> Iterator[tuple[str, str]]:
    """The map: what matches one of its keys is told.

    The expression is among them for the moment in which it has changed already and this has not.
    """
    settings = _SETTINGS.match(expression)
    before = settings[0] if settings else ""
    if not before and always_tells(expression):
        yield _ALWAYS, _TOLD
        return
    word = "".join(_pieces(expression[len(before) :]))
    options = "(?i)" if caseless else ""
    yield f"{before}\\A{options}(?!(?s:.*?)(?:{word}))", _TOLD
    yield f"{before}{options}(?:{word})", _TOLD


def always_tells(expression: str) -> bool:
    """Whether PCRE2 comes to an end with any text, so that nothing has to be asked twice.

    So it is without repetitions, or with one of a letter or class behind an anchor; groups would need stack.
    """
    either = many = depth = 0
    last = ""
    anchored = expression.startswith("^")
    for found in _PIECE.finditer(expression):
        piece = found[0]
        if (piece == "?" and last == "(") or (found["options"] and "x" in found["options"]):
            return False  # assertions, recursion and the like
        if piece in _MANY:
            many += 1
            if last == ")" or piece == "{":
                return False
        either += piece in _EITHER
        anchored = anchored and not (piece == "|" and depth == 0)
        depth += (piece == "(" or found["end"] == ":") - (piece == ")")
        last = piece
    return either <= _MOST_EITHER and many <= anchored


def _pieces(expression: str) -> Iterator[str]:
    """The expression as one word of printable ASCII, in pieces; for so are the keys of maps."""
    extended, outside = False, list[bool]()
    for found in _PIECE.finditer(expression):
        piece, options = found[0], found["options"]
        if found["quoted"] is not None:
            yield "".join(map(_escaped, found["quoted"]))
        elif found["comment"]:
            continue
        elif piece == _FORGET:
            yield _NOTHING
        elif options is not None:
            if found["end"] == ":":
                outside.append(extended)
            on, _, off = options.partition("-")
            extended = ("x" in on or (extended and not on.startswith("^"))) and "x" not in off
            yield piece
        elif extended and piece in _BLANK:
            continue
        elif extended and piece == "#":
            return  # a comment, up to the end of the line
        else:
            if piece == "(":
                outside.append(extended)
            elif piece == ")" and outside:
                extended = outside.pop()
            yield _printable(piece)


def _printable(piece: str) -> str:
    if len(piece) == 2 and piece[0] == "\\":
        return piece if "!" <= piece[1] <= "~" else _escaped(piece[1])
    return "".join(char if "!" <= char <= "~" else _escaped(char) for char in piece)


def _escaped(char: str) -> str:
    """HAProxy's expressions are of bytes."""
    if char.isascii() and char.isalnum():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode())
