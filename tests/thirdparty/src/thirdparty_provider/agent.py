"""Provider agents: what a vendor runs beside the controller."""

from __future__ import annotations

import os
import signal
from typing import Any

from thirdparty_provider import appliance


def run(exit_event: Any) -> None:
    """A good one: counts, reports, and ends when it is asked to."""
    appliance.note("agent", event="begun", process=os.getpid())
    while not exit_event.wait(0.05):
        counted = appliance.orders().get("count")
        if counted:
            appliance.library().update_listener_statistics({"listeners": counted})
    appliance.note("agent", event="ended", process=os.getpid())


def die(exit_event: Any) -> None:
    """One that dies at once."""
    appliance.note("agent", event="dies", process=os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def stay(exit_event: Any) -> None:
    """One that does not listen."""
    appliance.note("agent", event="begun", process=os.getpid())
    while True:
        signal.pause()
