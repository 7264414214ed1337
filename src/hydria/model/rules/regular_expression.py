"""Regular expressions, judged by who will use them: PCRE2, as HAProxy calls it (its src/regex.c).

What it refuses would make a configuration that no amphora loads. Octavia judges by Python's ``re``, which
its users have in mind: what both read, but not alike, is refused as well.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache

_LIBRARY = "libpcre2-8.so.0"  # that of HAProxy
# Of pcre2.h. HAProxy has groups without a name capture nothing when it only asks whether a text matches.
_CASELESS, _NO_AUTO_CAPTURE = 0x00000008, 0x00002000
# HAProxy matches without looking whether a text is UTF-8, so an expression must not promise that it is.
_NEVER_UTF, _NEVER_UCP = 0x00001000, 0x00000800
_JIT_COMPLETE = 1

# An escape, a class, the head of a condition, options, a repetition, or a letter.
_PIECE = re.compile(
    r"\\Q.*?(?:\\E|$)|\\(?:[0-3][0-7]{2}|[1-9][0-9]*|.)|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
    r"|\(\?\([0-9+-]|\(\?\^?[A-Za-z]+(?:-[A-Za-z]*)?[:)]|\{[0-9, \t]+\}|.",
    re.DOTALL,
)
_CERTAIN_REPETITION = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_NEWER_OPTIONS = frozenset("ar")  # of PCRE2 10.43 and later
_WITHOUT_JIT = "(*NO_JIT)"  # compiled, but HAProxy then finds no match


class Unusable(ValueError):  # noqa: N818  (the rule that asks makes the error of it)
    """The text is no regular expression for the data plane; says why."""


def judge(text: str, *, caseless: bool = False) -> None:
    """Raise Unusable with the reason."""
    for piece in _PIECE.findall(text):
        _judge_piece(piece)
    if _WITHOUT_JIT in text:
        raise Unusable(f"{_WITHOUT_JIT} is not supported")
    options = _NO_AUTO_CAPTURE | _NEVER_UTF | _NEVER_UCP | (_CASELESS if caseless else 0)
    code = _compiled(text.encode(), options)
    try:
        if _has_jit() and (fault := _PCRE2.pcre2_jit_compile_8(code, _JIT_COMPLETE)):
            raise Unusable(_message(fault))
    finally:
        _PCRE2.pcre2_code_free_8(code)


def _judge_piece(piece: str) -> None:
    """Refuse what Python and PCRE2, or one version of PCRE2 and the next, take for different things."""
    if piece[0] == "\\" and piece[1:2] in set("123456789") and not (len(piece) == 4 and _octal(piece[1:])):
        raise Unusable(
            f"the back-reference {piece} is not supported: groups without a name capture nothing; "
            "use (?P<name>...) and (?P=name)"
        )
    if piece.startswith("(?("):
        raise Unusable("conditions by number are not supported: groups without a name capture nothing")
    if piece.startswith("(?") and not _NEWER_OPTIONS.isdisjoint(piece):
        raise Unusable(f"{piece} has options that only some versions of PCRE know")
    if piece[0] == "{" and piece[1:-1].strip(" \t,") and not _CERTAIN_REPETITION.fullmatch(piece):
        raise Unusable(
            f"{piece} is a repetition to some versions of PCRE and just letters to others; "
            rf"write a repetition as {{0,3}}, and letters as \{piece}"
        )


def _octal(digits: str) -> bool:
    return digits[0] in "0123" and all(digit in "01234567" for digit in digits)


def _compiled(text: bytes, options: int) -> ctypes.c_void_p:
    fault, offset = ctypes.c_int(), ctypes.c_size_t()
    code = _PCRE2.pcre2_compile_8(text, len(text), options, ctypes.byref(fault), ctypes.byref(offset), None)
    if not code:
        before = len(text[: offset.value].decode(errors="ignore"))
        raise Unusable(f"{_message(fault.value)} at position {before}")
    return ctypes.c_void_p(code)


def _message(fault: int) -> str:
    said = ctypes.create_string_buffer(256)
    _PCRE2.pcre2_get_error_message_8(fault, said, len(said))
    return said.value.decode()


@cache
def _has_jit() -> bool:
    """Whether it can be tried: not where a process may make no code, as systemd can have it."""
    code = _compiled(b"a", 0)
    try:
        return bool(_PCRE2.pcre2_jit_compile_8(code, _JIT_COMPLETE) == 0)
    finally:
        _PCRE2.pcre2_code_free_8(code)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise ImportError(
            f"PCRE2, which judges the regular expressions of L7 rules, is missing ({error}): "
            "install libpcre2-8-0 (Debian, Ubuntu) or pcre2 (Fedora)"
        ) from error
    library.pcre2_compile_8.restype = ctypes.c_void_p
    library.pcre2_compile_8.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32,
        ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_size_t), ctypes.c_void_p,
    ]  # fmt: skip
    library.pcre2_jit_compile_8.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.pcre2_code_free_8.restype = None
    library.pcre2_code_free_8.argtypes = [ctypes.c_void_p]
    library.pcre2_get_error_message_8.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return library


_PCRE2 = _library()
