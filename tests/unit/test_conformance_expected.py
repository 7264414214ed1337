"""What `make conformance` makes of what stestr says."""

from __future__ import annotations

import re

import pytest

from tests.conformance import expected
from tests.conformance.suites import Result, result_of

PREFIX = "octavia_tempest_plugin.tests.api.v2.test_pool.PoolAPITest"


@pytest.mark.parametrize(
    ("line", "result"),
    [
        (f"{{1}} {PREFIX}.test_pool_list[id-1] [1.204502s] ... ok", Result(f"{PREFIX}.test_pool_list[id-1]", "ok", "")),
        (f"{{0}} setUpClass ({PREFIX}) [0.000000s] ... FAILED", Result(f"setUpClass ({PREFIX})", "FAILED", "")),
        (f"{{2}} {PREFIX}.test_x ... SKIPPED: a reason", Result(f"{PREFIX}.test_x", "SKIPPED", "a reason")),
        (f"{PREFIX}.test_x", None),
        (" - Passed: 602", None),
    ],
)  # fmt: skip
def test_a_line_of_stestr(line: str, result: Result | None) -> None:
    assert result_of(line) == result


def test_whatever_is_not_listed_is_told() -> None:
    known = [("FAILED", re.compile("test_known$")), ("SKIPPED", re.compile("^a reason$"))]
    as_listed = [
        Result("test_fine", "ok", ""), Result("test_known", "FAILED", ""), Result("test_x", "SKIPPED", "a reason")
    ]  # fmt: skip
    assert list(expected.surprises(as_listed, known)) == []
    others = [
        Result("test_y", "FAILED", ""), Result("test_y", "SKIPPED", "another"), Result("test_known", "ok", ""),
        Result("test_known", "SKIPPED", "another"),
    ]  # fmt: skip
    told = list(expected.surprises(others, known))
    assert told[:2] == ["FAILED test_y", "SKIPPED test_y another"]
    assert told[2] == "passes, take it out of expected.txt: test_known"
    assert told[3] == "SKIPPED test_known another"


def test_the_list_can_be_read() -> None:
    assert {outcome for outcome, _ in expected.listed()} <= {"FAILED", "SKIPPED"}
