"""Running the distribution's programs (haproxy, ip, nft): their text in, their text out, within bounds."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
from io import FileIO

from hydria.amphora.faults import Failed

_SECONDS = 60
# Bytes: a hundred thousand addresses in nft's JSON are a fifth of it.
_LONGEST = 32 * 1024 * 1024
_LARGEST_WRITE = 1024 * 1024  # the kernel refuses as a whole what does not fit


def run(*command: str, text: str = "") -> tuple[int, str]:
    """Exit status and output (standard error included) of a command that reads ``text``.

    Failed when there is no exit status: it could not be run, took too long, or was ended by a signal. Also
    when it succeeded, and has said more than is taken; of a refusal the beginning is enough.
    """
    # Files rather than pipes: a daemon may keep its output open, and nobody waits for that to end.
    with _file("in") as said, _file("out") as answered:
        said.write(text.encode())
        said.seek(0)
        # The kernel takes nothing beyond the file's end; memory is used for what is written alone.
        answered.truncate(_LONGEST)
        fcntl.fcntl(answered, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        try:
            process = subprocess.Popen(command, stdin=said, stdout=answered, stderr=answered)
        except OSError as error:
            raise Failed(f"cannot run {command[0]}: {error}") from error
        status = _wait(process, command[0])
        if status < 0:
            raise Failed(f"{command[0]} was ended by signal {-status}")
        length = answered.tell()  # the program's own place in the file, which is ours
        if length > _LONGEST - _LARGEST_WRITE and not status:
            raise Failed(f"{command[0]} has said more than {_LONGEST} bytes")
        return status, os.pread(answered.fileno(), length, 0).decode(errors="replace")


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
    return FileIO(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+")
