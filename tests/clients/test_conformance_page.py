"""The page of conformance names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_it_names_exists() -> None:
    page = (ROOT / "docs" / "reference" / "conformance.md").read_text()
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert len(named) > 30
    assert {name for name in named if not (ROOT / name).exists()} == set()
    for line in page.splitlines():
        if "| done" in line and "tests/" not in line:
            assert re.search(r"done: none|as it is|\(\w+\.md\)|network driver", line), line
