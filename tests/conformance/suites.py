"""The suites, and what stestr has to be told to run each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.cloud import Cloud
from tests.services import ServiceError

# {1} octavia_tempest_plugin.tests.….PoolAPITest.test_pool_list[id-…] [1.204502s] ... FAILED
# {0} octavia_tempest_plugin.tests.….AmphoraAPITest.test_admin_log ... SKIPPED: why
_LINE = re.compile(
    r"^\{\d+\} (?P<test>.+?)(?: \[[\d.na]+s?\])? \.\.\. (?P<outcome>ok|FAILED|SKIPPED)(?:: (?P<why>.*))?$"
)
_CONF = """\
[DEFAULT]
test_path={tests}
top_dir={top}
group_regex={group}
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """A package of tests. workers: how many processes run them.

    group: an expression; of tests for whose ids it finds the same one worker runs all. alone: an expression of
    those that run after all others, one by one.
    """

    name: str
    package: str
    workers: int
    group: str = ""
    alone: str = ""

    def environment(self, cloud: Cloud) -> Mapping[str, str]:
        """What tells its tests where the cloud is."""
        if self.name == "tempest":
            conf = cloud.write_tempest_conf()
            return {"TEMPEST_CONFIG_DIR": str(conf.parent), "TEMPEST_CONFIG": conf.name}
        return {
            "OS_CLIENT_CONFIG_FILE": str(cloud.write_clouds_yaml()),
            "OS_TEST_TIMEOUT": "300",  # seconds
            "OS_LOG_CAPTURE": "1",
        }


SUITES = (
    # What a class of tests needs is costly to make, so each class is one worker's.
    Suite("tempest", "octavia_tempest_plugin.tests.api.v2", workers=3, group=r"([^\.]*\.)*"),
    # Each test sleeps for most of its time. All set quotas of one project, and give it the defaults again.
    Suite("openstacksdk", "openstack.tests.functional.load_balancer", workers=8, alone=r"\.test_quota_"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended. outcome: ok, FAILED or SKIPPED; why: of a skipped one."""

    test: str
    outcome: str
    why: str


def run(suite: Suite, cloud: Cloud, wanted: Sequence[str]) -> Iterator[Result]:
    """Run the tests whose ids match one of the expressions (none: all), and show what stestr says of them."""
    expression = "|".join(wanted) or "."
    parts = [(suite.workers, expression)]
    if suite.alone:
        parts = [
            (suite.workers, f"^(?!.*{suite.alone}).*(?:{expression})"),
            (1, f"^(?=.*{suite.alone}).*(?:{expression})"),
        ]
    home = cloud.directory / suite.name
    home.mkdir()
    site = _site_packages()
    tests = site / suite.package.replace(".", "/")
    (home / ".stestr.conf").write_text(_CONF.format(tests=tests, top=site, group=suite.group))
    python = str(_interpreter())
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHON": python,
        "PYTHONUNBUFFERED": "1", **suite.environment(cloud),
    }  # fmt: skip
    for workers, chosen in parts:
        command = [python, "-m", "stestr", "run", "--concurrency", str(workers), chosen]
        yield from _run(command, home, environment)


def _run(command: Sequence[str], home: Path, environment: Mapping[str, str]) -> Iterator[Result]:
    process = subprocess.Popen(
        command,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if result := result_of(line):
                yield result


def result_of(line: str) -> Result | None:
    """What a line of stestr's says of a test, if anything."""
    found = _LINE.match(line.rstrip())
    return found and Result(found["test"], found["outcome"], found["why"] or "")


def _interpreter() -> Path:
    interpreter = Path(sys.prefix) / "tempest" / "bin" / "python"
    if not interpreter.exists():
        missing = f"there is no Tempest in {interpreter.parent.parent}: `scripts/setup conformance` makes one"
        raise ServiceError(missing)
    return interpreter


def _site_packages() -> Path:
    asked = [str(_interpreter()), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
