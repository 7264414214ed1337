"""Running the distribution's programs (haproxy, ip, nft): their text in, their text out, within a bound."""

from __future__ import annotations

import os
import select
import subprocess
from io import FileIO

_SECONDS = 60


def run(*command: str, text: str = "") -> tuple[int, str]:
    """Exit status and output (standard error included) of a command that reads ``text``.

    -1 stands for a program that could not be run, or was ended because it took too long.
    """
    # Files rather than pipes: a daemon may keep its output open, and nobody waits for that to end.
    with _file("in") as said, _file("out") as answered:
        said.write(text.encode())
        said.seek(0)
        try:
            process = subprocess.Popen(command, stdin=said, stdout=answered, stderr=answered)
        except OSError as error:
            return -1, f"cannot run {command[0]}: {error}"
        status = _wait(process)
        answered.seek(0)
        return status, answered.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end, within the bound; subprocess's own way naps as long as a program takes."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_SECONDS * 1000):
            process.kill()
            process.wait()
            return -1
    finally:
        os.close(pidfd)
    return process.wait()


def _file(name: str) -> FileIO:
    return FileIO(os.memfd_create(name), "w+")
