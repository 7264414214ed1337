"""What strangers do to those who are known: ``hydria api`` with http_basic over TLS, quiet and under siege.

``python -m bench.strangers PORT`` is the siege, until standard input closes: 1,000 idle connections, 100 that
drip, 64 wrong passwords a second of as many addresses, and 500 handshakes a second of ten.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import itertools
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bcrypt
from tests.node.test_api_http_basic import certify

from bench.controlplane import PORTS
from bench.measure import cpu_seconds, memory, report, wait_for

PATH = "/v2/lbaas/loadbalancers"
SECONDS = 20.0
PAUSE = 0.02  # between the requests of who is known
IDLE, DRIPPING, GUESSES, HANDSHAKES = 1000, 100, 64, 500
HEADERS = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hydria-bench-") as name:
        directory = Path(name)
        with api(directory) as process:
            context = ssl.create_default_context(cafile=str(directory / "cert.pem"))
            kept = connection(context)
            asked(kept)
            quiet, new_quiet = ask(kept, context)
            before = cpu_seconds(process)
            for _ in range(500):
                asked(kept)
            front = child(process)
            report("processor time of a GET, API", f"{(cpu_seconds(process) - before) * 2:.2f} ms", "-")
            report("memory of HAProxy in front, quiet", f"{memory(front, 'Pss'):.1f} MB", "-")
            with siege():
                time.sleep(2)
                loud, new_loud = ask(kept, context)
                report("memory of HAProxy in front, 1,100 connections", f"{memory(front, 'Pss'):.1f} MB", "-")
            for what, before_, now in (("kept", quiet, loud), ("new", new_quiet, new_loud)):
                median = 1000 * statistics.median(now)
                figure = f"{p99(now):.1f} ms, quiet {p99(before_):.1f} ms, median {median:.1f}"
                report(
                    f"p99 of a known caller's GET under siege, {what} connection",
                    figure,
                    f"{3 * p99(before_):.1f} ms",
                )


def p99(times: list[float]) -> float:
    return 1000 * statistics.quantiles(times, n=100)[-1]


def connection(context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", PORTS[0], timeout=30, context=context)


def asked(client: http.client.HTTPSConnection) -> None:
    client.request("GET", PATH, headers=HEADERS)
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200, answer.status


def ask(kept: http.client.HTTPSConnection, context: ssl.SSLContext) -> tuple[list[float], list[float]]:
    """Seconds of requests on a kept connection, and on a new one each."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        asked(kept)
        times[0].append(time.perf_counter() - began)
        time.sleep(PAUSE)
        if len(times[0]) % 5 == 0:
            began = time.perf_counter()
            client = connection(context)
            asked(client)
            client.close()
            times[1].append(time.perf_counter() - began)
    return times


@contextmanager
def api(directory: Path) -> Iterator[int]:
    certify(directory)
    (directory / "htpasswd").write_text("ann:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(12)).decode() + "\n")
    config = directory / "hydria.conf"
    config.write_text(
        f"""[DEFAULT]
state_dir = {directory}
[api_settings]
bind_port = {PORTS[0]}
auth_strategy = http_basic
http_basic_auth_user_file = {directory}/htpasswd
tls_certificate_file = {directory}/cert.pem
tls_key_file = {directory}/key.pem
[controller_worker]
network_driver = network_noop_driver
"""
    )
    hydria = [sys.executable, "-W", "ignore", "-m", "hydria.cli"]
    subprocess.run([*hydria, "db", "upgrade", "--config-file", config], check=True, stdout=subprocess.DEVNULL)
    with (directory / "api.log").open("w") as log:
        process = subprocess.Popen([*hydria, "api", "--config-file", config], stdout=log, stderr=log)
    try:
        wait_for(lambda: "is running" in (directory / "api.log").read_text(), 30, 0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def child(process: int) -> int:
    """The HAProxy of an API."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return next(int(number) for task in tasks for number in task.read_text().split())


@contextmanager
def siege() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.strangers", str(PORTS[0])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        print(f"the siege: {process.communicate(timeout=30)[0].strip()}")
    finally:
        process.kill()
        process.wait()


class Siege:
    def __init__(self, port: int) -> None:
        self.port = port
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        said = ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            self.context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost").do_handshake()
        self.hello = said.read()
        self.all_idle = asyncio.Event()
        self.done = {"idle": 0, "dripped": 0, "guessed": 0, "handshakes": 0, "handshakes tried": 0}

    async def open(self, source: str, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = self.context if tls else None
        async with asyncio.timeout(10):
            return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, local_addr=(source, 0))

    async def idle(self, number: int) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                reader, writer = await self.open(f"127.3.0.{1 + number // 50}", tls=False)
                self.done["idle"] += 1
                if self.done["idle"] == IDLE:
                    self.all_idle.set()
                await reader.read(1)
                writer.close()
            await asyncio.sleep(1)

    async def drip(self, number: int) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                _, writer = await self.open(f"127.4.0.{1 + number // 50}")
                for letter in itertools.chain(b"GET / HTTP/1.1\r\nX: ", itertools.repeat(120)):
                    writer.write(bytes([letter]))
                    await writer.drain()
                    self.done["dripped"] += 1
                    await asyncio.sleep(1)

    async def guess(self, number: int) -> None:
        secret = base64.b64encode(b"ann:wrong").decode()
        ask = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {secret}\r\n"
        with suppress(OSError, TimeoutError):
            reader, writer = await self.open(f"127.5.{number // 250 % 250}.{1 + number % 250}")
            writer.write(f"{ask}Connection: close\r\n\r\n".encode())
            await reader.read()
            writer.close()
            self.done["guessed"] += 1

    def shake(self) -> None:
        """The server computes for each, the attacker does not."""
        due = time.monotonic()
        for number in itertools.count():
            self.done["handshakes tried"] += 1
            with suppress(OSError):
                source = (f"127.6.0.{1 + number % 10}", 0)
                with socket.create_connection(("127.0.0.1", self.port), 1, source) as client:
                    client.sendall(self.hello)
                    self.done["handshakes"] += bool(client.recv(100))
            due = max(due + 1 / HANDSHAKES, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    async def at_rate(self, rate: int, work: Callable[[int], object]) -> None:
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        for number in itertools.count():
            task = asyncio.ensure_future(work(number))
            running.add(task)
            task.add_done_callback(running.discard)
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def besiege(port: int) -> None:
    made = Siege(port)
    tasks = [asyncio.ensure_future(made.idle(number)) for number in range(IDLE)]
    tasks += [asyncio.ensure_future(made.drip(number)) for number in range(DRIPPING)]
    tasks.append(asyncio.ensure_future(made.at_rate(GUESSES, made.guess)))
    threading.Thread(target=made.shake, daemon=True).start()
    await made.all_idle.wait()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(", ".join(f"{number} {what}" for what, number in made.done.items()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    os.nice(15)  # the clients of an attacker are not on this machine
    asyncio.run(besiege(int(sys.argv[1])))
