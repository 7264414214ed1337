"""What Hydria needs has no known faults, and `make audit` says so of what is installed, or that it cannot tell."""

from __future__ import annotations

import http.server
import json
import runpy
import threading
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FAULTS = PROJECT["tool"]["hydria"]["faults"]


@pytest.fixture
def audit() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "audit"))


@pytest.fixture
def index() -> Iterator[tuple[str, dict[str, list[dict[str, Any]]]]]:
    """The address of an index, and what it knows of each package."""
    known: dict[str, list[dict[str, Any]]] = {}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("/")[2]
            body = json.dumps({"info": {}, "vulnerabilities": known.get(name, [])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/pypi", known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", FAULTS)
def test_no_minimum_has_a_known_fault(name: str) -> None:
    (requirement,) = (
        each for each in map(Requirement, PROJECT["project"]["dependencies"]) if each.name == name
    )
    minimum = max(Version(each.version) for each in requirement.specifier if each.operator == ">=")
    assert minimum >= Version(FAULTS[name]["fixed"])


def test_everything_that_is_needed_is_looked_at(audit: dict[str, Any]) -> None:
    found = audit["needed"]("hydria")
    assert {"waitress", "cryptography", "psycopg-binary", "sqlalchemy", "cffi"} <= found
    assert all(metadata.version(name) for name in found)
    assert "pytest" not in found


def test_what_the_index_knows_is_told(
    audit: dict[str, Any],
    index: tuple[str, dict[str, list[dict[str, Any]]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, known = index
    assert audit["main"](["--index", url, "falcon", "waitress"]) == 0
    assert "No known faults were found" in capsys.readouterr().out
    known["waitress"] = [
        {"id": "PYSEC-1", "aliases": ["CVE-2099-1"], "fixed_in": ["99.1"], "withdrawn": None},
        {"id": "PYSEC-2", "aliases": [], "fixed_in": [], "withdrawn": "2099-01-01"},
    ]
    assert audit["main"](["--index", url, "falcon", "waitress"]) == 1
    told = capsys.readouterr().out
    assert "PYSEC-1, CVE-2099-1, fixed in 99.1" in told
    assert "PYSEC-2" not in told
    assert "1 of 2 have known faults" in told


def test_an_index_that_does_not_answer_is_no_all_clear(
    audit: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "http://127.0.0.1:9/pypi"
    assert audit["main"](["--index", nowhere, "falcon", "waitress"]) == 2
    assert "does not say what is known of 2 of 2" in capsys.readouterr().out


def test_faults_that_pyproject_names_need_no_index(
    audit: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "3.0.0")
    assert audit["main"](["--index", "http://127.0.0.1:9/pypi", "waitress"]) == 1
    assert "CVE-2024-49768, CVE-2024-49769, fixed in 3.0.1" in capsys.readouterr().out
