"""Heartbeats that were recorded on the LB network, sent again when the controllers have been started anew."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hydria.amphora import kernel
from tests.system.deployment import Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system
HEARTBEATS = 10  # one per second
REPLAY_SECONDS = 2.0
_ETHERNET, _IPV4, _UDP = 14, 0x0800, 17


class Recorder:
    """Every heartbeat that goes over an interface, in order."""

    def __init__(self, interface: str, port: int) -> None:
        self.datagrams: list[bytes] = []
        self._port = port
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4))
        self._socket.settimeout(0.2)
        self._socket.bind((interface, 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                frame = self._socket.recv(65535)
            except TimeoutError:
                continue
            packet = frame[_ETHERNET:]
            start = 4 * (packet[0] & 0x0F)
            if packet[9] == _UDP and int.from_bytes(packet[start + 2 : start + 4], "big") == self._port:
                self.datagrams.append(packet[start + 8 :])

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


@contextmanager
def recorded(interface: str, port: int) -> Iterator[Recorder]:
    recorder = Recorder(interface, port)
    try:
        yield recorder
    finally:
        recorder.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Deployment]:
    tmp_path.chmod(0o755)
    with deployed(Deployment(tmp_path, "10.207", embedded=True)) as running:
        yield running


def last(machine: Deployment) -> int:
    """The sequence number of the last heartbeat that was recorded."""
    with closing(sqlite3.connect(machine.state_dir / "hydria.db")) as database:
        (row,) = database.execute("SELECT sequence FROM amphora_health").fetchall()
    return int(row[0])


def serving(machine: Deployment, balancer_id: str) -> str:
    """The id of the amphora that serves, "" while none does."""
    found = machine.operate("GET", f"/amphorae?loadbalancer_id={balancer_id}&status=ALLOCATED")
    return "".join(shown["id"] for shown in found["amphorae"])


def test_they_do_not_hide_that_an_amphora_is_dead(machine: Deployment) -> None:
    with web_server(machine.gateway) as port:
        made = machine.order([port])
        machine.await_status(made["id"])
        dead = serving(machine, made["id"])
        boot = json.loads((machine.state_dir / "amphorae" / dead / "boot.json").read_text())
        host, _, target = boot["controllers"][0].rpartition(":")
        with recorded(kernel.interface_of(host), int(target)) as recorder:
            wait_for(lambda: len(recorder.datagrams) >= HEARTBEATS, 60, "heartbeats were recorded")
        for _ in range(2):  # so that all that were recorded have been heard
            known = last(machine)
            wait_for(lambda known=known: last(machine) > known, 10, "a heartbeat is heard")
        machine.stop()
        (namespace,) = machine.namespaces()
        for process in machine.processes_of(namespace):
            with contextlib.suppress(ProcessLookupError):  # it ended with the one before
                os.kill(process, signal.SIGKILL)
        machine.start()
        ended = threading.Event()
        left = list(recorder.datagrams)

        def replay() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                while left and not ended.wait(REPLAY_SECONDS):
                    plain.sendto(left.pop(0), (host, int(target)))

        thread = threading.Thread(target=replay, daemon=True)
        thread.start()
        try:
            wait_for(lambda: serving(machine, made["id"]) not in ("", dead), 60, "another one serves")
            assert len(left) > HEARTBEATS // 3, "they kept it alive"
        finally:
            ended.set()
            thread.join()
        assert "older than what is recorded" in machine.log("all")
        wait_for(lambda: get(made["vip_address"]), 10, "it serves again")
