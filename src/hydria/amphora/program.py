"""Running the distribution's programs (haproxy, ip, nft): their text in, their text out, within a bound."""

from __future__ import annotations

import os
import select
import subprocess
from io import FileIO

from hydria.amphora.faults import Failed

_SECONDS = 60


def run(*command: str, text: str = "") -> tuple[int, str]:
    """Exit status and output (standard error included) of a command that reads ``text``.

    Failed when there is no exit status: it could not be run, took too long, or was ended by a signal.
    """
    # Files rather than pipes: a daemon may keep its output open, and nobody waits for that to end.
    with _file("in") as said, _file("out") as answered:
        said.write(text.encode())
        said.seek(0)
        try:
            process = subprocess.Popen(command, stdin=said, stdout=answered, stderr=answered)
        except OSError as error:
            raise Failed(f"cannot run {command[0]}: {error}") from error
        status = _wait(process, command[0])
        if status < 0:
            raise Failed(f"{command[0]} was ended by signal {-status}")
        answered.seek(0)
        return status, answered.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], name: str) -> int:
    """Wait for the end, within the bound; subprocess's own way naps as long as a program takes."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_SECONDS * 1000):
            process.kill()
            process.wait()
            raise Failed(f"{name} was ended: it took longer than {_SECONDS} s")
    finally:
        os.close(pidfd)
    return process.wait()


def _file(name: str) -> FileIO:
    return FileIO(os.memfd_create(name), "w+")
