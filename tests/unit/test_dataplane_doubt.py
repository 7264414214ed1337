"""Which regular expressions can be judged by whoever gives up, and how those are asked about that cannot."""

import pytest

from hydria.dataplane.haproxy import doubt


@pytest.mark.parametrize(
    "expression",
    [
        "bot|crawler",
        r"\.(gif|png)$",
        "^/(admin|secret)/.*$",
        "^/[0-9]+ ?$",
        r"^a\*\+b",
        "[*+{]",
        r"\Qa*\E",
        "^(?i)x",
    ],
)
def test_what_ends_with_any_text(expression: str) -> None:
    assert list(doubt.entries(expression, caseless=False)) == [("\\A", "told")]


@pytest.mark.parametrize(
    "expression",
    [
        "^/(a|b)*/admin", "^(?:/[^/]+)+/x$", "^/(a+)+$", "a.*b", "^a|b.*c", "^a*a*b", "x{3}", "(?x)^a b*",
        "(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)", "a?a?a?a?a?a?a?a?a?b", "(?R)", "^(?=a*)b", "(a?){9}",
    ],
)  # fmt: skip
def test_what_may_not(expression: str) -> None:
    opposite, itself = doubt.entries(expression, caseless=False)
    assert opposite[0].startswith("\\A(?!(?s:.*?)(?:")
    assert itself == (opposite[0].removeprefix("\\A(?!(?s:.*?)").removesuffix(")"), "told")


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("(a b)*\t", r"(a\x20b)*\x09"),
        (r"(\Qa b*\E)*\ ", r"(a\x20b\x2a)*\x20"),
        ("(?x) (a b)*  # no matter", "(?x)(ab)*"),
        (r"((?x) a [ b] \  )* c", r"((?x)a[\x20b]\x20)*\x20c"),
        (r"(a\Kb\c\K)*", r"(a(?:)b\c\K)*"),
        ("((?x: a ) b(?#c d)é)*", r"((?x:a)\x20b\xc3\xa9)*"),
    ],
)
def test_as_one_word(expression: str, word: str) -> None:
    """Without the blanks that end the key of a map; an extended expression has no comments any more."""
    _, (itself, _) = doubt.entries(expression, caseless=True)
    assert itself == f"(?i)(?:{word})"


def test_settings_stay_in_front() -> None:
    opposite, _ = doubt.entries("(*LIMIT_MATCH=5)(*ANYCRLF)(a)*", caseless=False)
    assert opposite[0] == r"(*LIMIT_MATCH=5)(*ANYCRLF)\A(?!(?s:.*?)(?:(a)*))"
