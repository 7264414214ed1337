"""The appliance: a directory that driver, agent and tests share."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from octavia_lib.api.drivers import driver_lib


def home() -> Path:
    return Path(os.environ["THIRDPARTY_HOME"])


def orders() -> dict[str, Any]:
    """What the test wants of the driver: ``refuse`` {method: kind of error}, ``report`` at once or later."""
    path = home() / "orders"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def note(file: str, **what: Any) -> None:
    """Add a line to one of the appliance's files."""
    with (home() / file).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(json.dumps(what, default=repr) + "\n")


def library() -> driver_lib.DriverLibrary:
    """The way back to the controller."""
    return driver_lib.DriverLibrary(*(str(home() / f"{name}.sock") for name in ("status", "stats", "get")))
