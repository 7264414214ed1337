"""Which tests of the suites need not pass: `expected.txt`, one a line, below a comment that says why.

FAILED <regular expression of the test's id>
SKIPPED <regular expression of the reason that the suite gives>
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conformance.suites import Result

_LISTED = Path(__file__).with_name("expected.txt")


Listed = Sequence[tuple[str, re.Pattern[str]]]  # outcome and expression of each line


def listed() -> Listed:
    """What the file says."""
    lines = [line.strip() for line in _LISTED.read_text().splitlines()]
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return [(outcome, re.compile(expression)) for outcome, expression in pairs]


def surprises(results: Sequence[Result], known: Listed) -> Iterator[str]:
    """What ended otherwise than listed, also one that passes although it is listed as failing."""
    for result in results:
        about = result.why if result.outcome == "SKIPPED" else result.test
        found = {outcome for outcome, expression in known if expression.search(about)}
        if result.outcome == "ok" and "FAILED" in found:
            yield f"passes, take it out of {_LISTED.name}: {result.test}"
        elif result.outcome != "ok" and result.outcome not in found:
            yield f"{result.outcome} {result.test} {result.why}".rstrip()
