"""Regular expressions that both Python, which judges them, and HAProxy's PCRE, which uses them, can read.

Python's rules are what Octavia's clients know. What it knows beyond PCRE would make a configuration that no
amphora loads. What is only too large for it, by repetitions of repetitions, is left to HAProxy to refuse.
"""

from __future__ import annotations

import re

# An escape, a class, the head of a group, a repetition, or a letter.
_PIECE = re.compile(
    r"\\(?:[0-7]{3}|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:\(|[a-zA-Z-]+[:)])|\{[0-9,]+\}|.", re.DOTALL
)
_UNICODE_ESCAPE = re.compile(r"(?:[^\\]|\\[^uUN])*\\[uUN]", re.DOTALL)
_MOST_REPEATS = 65_535  # of PCRE


class Unusable(ValueError):  # noqa: N818  (the rule that asks makes the error of it)
    """The text is no regular expression for the data plane; says why."""


def judge(text: str) -> None:
    """Raise Unusable with the reason."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unusable(str(error)) from None
    for piece in _PIECE.findall(text):
        _judge_piece(piece)


def _judge_piece(piece: str) -> None:
    if piece[0] in "\\[" and _UNICODE_ESCAPE.match(piece):
        raise Unusable(f"{piece} is not supported; write the letter itself")
    if piece[0] == "[" and piece[1] in ":.=" and piece.endswith(f"{piece[1]}]") and len(piece) > 4:
        raise Unusable(f"{piece} is only supported within brackets of its own")
    if piece[0] == "\\" and piece[1] in "123456789" and len(piece) == 2:
        raise Unusable(f"the back-reference {piece} is not supported: groups without a name capture nothing")
    if piece.startswith("(?("):
        raise Unusable("conditions are not supported")
    if piece.startswith("(?") and not set("au").isdisjoint(piece):
        raise Unusable(f"the flags a and u in {piece} are not supported")
    if piece[0] == "{" and any(int(each) > _MOST_REPEATS for each in re.findall(r"[0-9]+", piece)):
        raise Unusable(f"more than {_MOST_REPEATS} repetitions are not supported")
