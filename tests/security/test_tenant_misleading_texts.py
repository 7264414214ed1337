"""Texts that look like others: names that turn what follows around, numbers in digits of other scripts."""

from __future__ import annotations

import re

import pytest

from hydria.api import listing
from hydria.model import alphabets, kinds
from hydria.model.errors import Invalid
from hydria.settings import ApiSettings

KINDS = (kinds.Text(), kinds.Text(lines=True), kinds.Text(tabs=True), kinds.UrlPart(), alphabets.PROJECT)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "character", "\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u206a\ufeff\ufff9"
)
def test_nothing_turns_what_follows_around(kind: kinds.Kind, character: str) -> None:
    with pytest.raises(kinds.BadValue, match="control characters"):
        kind.parse(f"web{character}gnp.exe")
    assert not re.search(str(kind.schema()["pattern"]), f"web{character}gnp.exe")


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "text", ["\u05e9\u05dc\u05d5\u05dd\u200f!", "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645", "\U0001f469\u200d\U0001f52c", "\u00e9"]
)  # fmt: skip
def test_every_language_can_be_written(kind: kinds.Kind, text: str) -> None:
    assert kind.parse(text) == text
    assert re.search(str(kind.schema()["pattern"]), text)


@pytest.mark.parametrize("text", ["\u0665", "\uff15", "1_0", "\u0661\u0660", "5\u0665"])
def test_a_limit_is_a_number_of_ascii_digits(text: str) -> None:
    with pytest.raises(Invalid, match="use a whole number"):
        listing._limit(ApiSettings(), {"limit": text})
    assert listing._limit(ApiSettings(), {"limit": "5"}) == 5
