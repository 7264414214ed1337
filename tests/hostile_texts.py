"""Texts that try to be more than text, in numbers that Hypothesis is too slow for.

A seeded generator: the same seed gives the same texts. They are made of what means something to HAProxy,
nftables, a shell or a log, in three ways: as they come; kept to the letters that the field takes, so that
they get past its door; and stuck into the middle of a good value.
"""

import os
import random
from collections.abc import Callable, Iterator

# Another seed for each run would find more in the long run, but break builds of people who changed nothing.
SEED = int(os.environ.get("HYDRIA_HOSTILE_SEED", "4"))

PIECES = (
    # what ends a word, a line, a text
    " ", "\t", "\n", "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u2028", "\u2029",
    "\ufeff", "\u200b", "\u202e", "\ud800", "\u00e9", "\u0130", "\U0001f600", "\uff02", "\uff07", "\uff0e",
    # quotes and escapes
    '"', "'", "''", "'\\''", "'\"'\"'", "\\", "\\\\", "\\'", '\\"', "\\ ", "\\#", "\\n", "\\x0a", "\\x27", "\\0", "\\",
    "`", "`id`", "$(id)", "#", " # ", "##", "<<", "EOF", ";", "&", "&&", "|", "!", "!!", "*", "?", "~", "^", "@", "=",
    # expansion
    "$", "$HOME", "${HOME}", '"$HOME"', '"${PATH[*]}"', "%", "%%", "%%%", "%[", "%[hostname]", "%[env(HOME)]",
    "%{+Q}o", "%{-E}", "%ci", "%0a", "%00", "%2", "{{ lb_id }}", "{project_id}", "%(asctime)s", "{0}",
    # brackets
    "(", ")", "()", "[", "]", "{", "}", "{ always_true }", "(a),lower", ",", ",upper", "),lower", '",lower(', "-m", "--",
    # keywords
    "if TRUE", " if ", " unless ", "or", "||", "acl x always_true", " code 301", "global", "\nglobal\n", "backend x",
    "\n    server evil 192.0.2.66:80", " weight 0 ", " disabled ", "use_backend x", "deny", "-f /etc/passwd",
    "http-request deny", "lua-load /x.lua", "unix@stats.sock", "fd@3", "abns@x", "*:80", "program x", ".if 1", ".endif",
    "insecure-fork-wanted", "setenv A b", "drop", "accept", "flush ruleset", 'include "/etc/passwd"', "; show env",
    "\nset server", "0.0.0.0/0", "::/0", "/0", "1-65535", "ALL", "!aNULL", "@SECLEVEL=0", "TLS_", ":", "::", "+", "-", "_",
    # regular expressions
    ".*", "(?i)", "(?:a|b)", "(a)\\1", "[^\\]]", "a{2,3}", "\\d+", "\\S", "^", "$", "(?=x)", "|", "[\\x00-\\xff]",
    # paths and others' syntax
    "/", "//", "/../", "http://", "https://x", "a", "B", "7", "x.example", "text/html", "; charset=x", "Host: x", "\r\nX: y",
)  # fmt: skip
_LONGEST = 300


def hostile_texts(
    seed: int | str, sample: str, takes: Callable[[str], object] | None = None
) -> Iterator[str]:
    """Without end, none empty. ``sample``: a good value; ``takes``: whether the field takes a text."""
    chance = random.Random(seed)
    kept = _letters(sample, takes) if takes else ""
    while True:
        text = "".join(chance.choices(PIECES, k=chance.choice((1, 1, 2, 2, 3, 4, 6))))
        way = chance.random()
        if way < 0.02:
            text = (text * _LONGEST)[: chance.randint(1, _LONGEST * 2)]
        if way < 0.3:
            yield text
        elif way < 0.7:
            text = "".join(char for char in text if char in kept)
            yield _put(chance, sample, text)
        else:
            yield _put(chance, sample, text)


def _put(chance: random.Random, sample: str, text: str) -> str:
    place = chance.randint(0, len(sample))
    return sample[:place] + text + sample[place:]


def _letters(sample: str, takes: Callable[[str], object]) -> str:
    """What may stand in the middle of the sample, of everything in the pieces."""
    middle = max(1, len(sample) // 2)
    letters = sorted(set("".join(PIECES)))
    return "".join(char for char in letters if takes(sample[:middle] + char + sample[middle:]))
