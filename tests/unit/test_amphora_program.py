"""Programs that an agent runs have so much to say, and no more memory for it."""

import resource
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hydria.amphora import program, root_part, runtime, workdir
from hydria.amphora.faults import Failed
from hydria.amphora.runtime import CommandFailed, Runtime


def test_what_a_program_says_and_how_it_ends() -> None:
    assert program.run("cat", text="abc") == (0, "abc")
    assert program.run("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert program.run("true") == (0, "")


def test_of_what_a_program_says_so_much_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_LONGEST", 3_000_000)
    with pytest.raises(Failed, match="sh has said more than 3000000 bytes"):
        program.run("sh", "-c", "head -c 9000000 /dev/zero 2>/dev/null; true")
    status, said = program.run("sh", "-c", "head -c 9000000 /dev/zero | tr '\\0' x; exit 2")
    assert (status, said[:3]) == (2, "xxx")
    assert len(said) <= 3_000_000


def test_what_is_not_said_takes_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        program.run("true")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB


def endless(connection: socket.socket, piece: bytes) -> None:
    with connection, suppress(OSError):
        while True:
            connection.sendall(piece)


def test_an_haproxy_that_answers_endlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_LONGEST", 1_000_000)
    monkeypatch.chdir(tmp_path)

    def serve() -> None:
        connection, _ = listening.accept()
        connection.recv(100)
        connection.sendall(b"\n> ")
        connection.recv(100)
        endless(connection, b"x" * 4096)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(workdir.STATS_SOCKET)
        listening.listen()
        threading.Thread(target=serve, daemon=True).start()
        with Runtime() as asked, pytest.raises(CommandFailed, match="more than 1000000 bytes"):
            asked.ask("show stat")


def test_a_root_part_that_answers_endlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_part, "_LONGEST_REPLY", 1_000_000)
    broken, channel = socket.socketpair()
    threading.Thread(target=endless, args=(broken, b"x" * 4096), daemon=True).start()
    agent = root_part.RootPart(channel, 30, 5)
    for _ in range(2):
        with pytest.raises(Failed, match="answers more than 1000000 bytes"):
            agent.ask("command", None)
    channel.close()
