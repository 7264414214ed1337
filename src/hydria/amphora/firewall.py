"""Root part: the amphora's own nftables table, replaced as a whole in one transaction.

The ruleset comes from the unprivileged side, so it may hold nothing but declarations of that one table: no
further commands, and no ``include``, whose error messages would show files that only root can read.
"""

from __future__ import annotations

import re

from hydria.amphora import program
from hydria.amphora.faults import Malformed, Refused

TABLE = "table inet hydria"
_REMOVE = f"add {TABLE}\ndelete {TABLE}\n"
_ALPHABET = re.compile(r"[\n\t -~]*")
_QUOTED_OR_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')
_INCLUDE = re.compile(r"\binclude\b")
# What may stand outside of the table's braces: it made, emptied or removed first, and its declaration.
_OUTSIDE = re.compile(rf"(?:(?:(?:add|flush|delete) )?{TABLE}\s*[;\n]\s*)*{TABLE}\s*\Z")


def apply(arguments: object) -> None:
    """``{"ruleset": text, "check": bool}``: have nft check it, or check and load it; "" removes the table."""
    if not isinstance(arguments, dict):
        raise Malformed("nftables: expected an object")
    ruleset = accepted(arguments.get("ruleset"))
    options = ["-c"] if arguments.get("check") is True else []
    status, said = program.run("nft", *options, "-f", "-", text=_REMOVE + ruleset)
    if status:
        raise Refused(f"nft: {said.strip()[:1000]}")


def accepted(ruleset: object) -> str:
    """The ruleset, if it declares our table and does nothing else."""
    if not isinstance(ruleset, str) or not _ALPHABET.fullmatch(ruleset):
        raise Malformed("nftables: the ruleset is not plain text")
    plain = _QUOTED_OR_COMMENT.sub("", ruleset)
    if _INCLUDE.search(plain) or '"' in plain or "\\" in plain:
        raise Malformed("nftables: include, stray quotes and backslashes are not allowed")
    outside, depth, start = "", 0, 0
    for brace in re.finditer(r"[{}]", plain):
        if depth == 0:
            outside = plain[start : brace.start()].strip(" \t\n")
            if len(outside) > 1000 or not _OUTSIDE.match(outside):
                raise Malformed(f"nftables: only `{TABLE} {{ ... }}` is allowed, not: {outside[:200]}")
        depth += 1 if brace.group() == "{" else -1
        start = brace.end()
        if depth < 0:
            raise Malformed("nftables: unbalanced braces")
    if depth or plain[start:].strip(" \t\n;"):
        raise Malformed(f"nftables: only `{TABLE} {{ ... }}` is allowed, not: {plain[start:].strip()[:200]}")
    return ruleset
