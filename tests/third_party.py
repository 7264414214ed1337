"""The third-party provider of tests/thirdparty, installed for a test, and the test's end of its appliance."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavia_lib.api.drivers import driver_lib

from tests.system.deployment import wait_for

SOURCE = Path(__file__).parent / "thirdparty"
SOCKETS = ("status", "stats", "get")


def install(directory: Path) -> Path:
    """Put the distribution where Python finds it, as an installer does: the package and its metadata."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    shutil.copytree(SOURCE / "src" / "thirdparty_provider", directory / "thirdparty_provider")
    metadata = directory / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return directory


@dataclass
class Appliance:
    """``home``: the directory that driver, agents and test share."""

    home: Path

    def order(self, **orders: Any) -> None:
        """Tell the driver what to do from now on; nothing: to take everything."""
        (self.home / "orders.new").write_text(json.dumps(orders))
        (self.home / "orders.new").rename(self.home / "orders")

    def lines(self, file: str) -> list[dict[str, Any]]:
        path = self.home / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def calls(self, method: str = "") -> list[list[Any]]:
        """The arguments of the calls of a method, or [method, …] of all."""
        noted = self.lines("calls")
        if not method:
            return [[each["method"], *each["arguments"]] for each in noted]
        return [each["arguments"] for each in noted if each["method"] == method]

    def forget(self) -> None:
        (self.home / "calls").unlink(missing_ok=True)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """While the block runs no call of the driver returns."""
        (self.home / "wait").touch()
        try:
            yield
        finally:
            (self.home / "wait").unlink()

    def wait_for_call(self, method: str) -> list[Any]:
        found: list[Any] = wait_for(lambda: self.calls(method), 20, f"the driver is asked {method}")[-1]
        return found

    @property
    def sockets(self) -> dict[str, str]:
        return {f"{name}_socket_path": str(self.home / f"{name}.sock") for name in SOCKETS}

    def library(self) -> driver_lib.DriverLibrary:
        return driver_lib.DriverLibrary(*self.sockets.values())
