"""`make conformance`: the field's own suites against a whole control plane with a real Keystone.

    python -m tests.conformance                          both suites
    python -m tests.conformance tempest PoolAPITest      of one, the tests whose ids match an expression

Exit status 0 if tests ran, and each passed or ended as `expected` says.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.conformance import expected
from tests.conformance.cloud import cloud
from tests.conformance.suites import SUITES, Result, Suite, run

_WORDS = {"ok": "passed", "SKIPPED": "skipped", "FAILED": "failed"}


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, and print a line of totals for each suite in the end."""
    known = {suite.name: suite for suite in SUITES}
    suites = [known[argument] for argument in arguments if argument in known] or list(SUITES)
    wanted = [argument for argument in arguments if argument not in known]
    totals, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="hydria-") as directory, cloud(Path(directory)) as running:
        for suite in suites:
            began = time.monotonic()
            results = list(run(suite, running, wanted))
            totals.append(_total(suite, results, time.monotonic() - began))
            wrong += [f"{suite.name}: {line}" for line in expected.surprises(results, expected.listed())]
            if not results:
                wrong.append(f"{suite.name}: no test ran")
    print("\n=== not as expected\n" + "\n".join(wrong or ["none"]))
    print("\n".join(totals))
    return 1 if wrong else 0


def _total(suite: Suite, results: Sequence[Result], seconds: float) -> str:
    """As pytest says it, which is what the gate looks for."""
    counted = Counter(result.outcome for result in results)
    parts = [f"{counted[outcome]} {word}" for outcome, word in _WORDS.items()]
    return f"=== {suite.name}: {len(results)} tests, {', '.join(parts)} in {seconds:.0f}s ==="


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
