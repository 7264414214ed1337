"""How programs begin and end: signals at any moment, faults at the start, a part that dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.system.deployment import HYDRIA, Deployment, wait_for
from tests.system.test_cli import noop_config

pytestmark = pytest.mark.system


def launch(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def test_a_taken_heartbeat_port_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = noop_config(tmp_path, Deployment(tmp_path, "10.219").port)
        text = config.read_text()
        before, _, after = text.partition("[health_manager]\nbind_ip = 127.0.0.1\nbind_port = ")
        config.write_text(
            f"{before}[health_manager]\nbind_ip = 127.0.0.1\nbind_port = {port}\n{after.partition(chr(10))[2]}"
        )
        done = subprocess.run(
            [*HYDRIA, "all", "--config-file", str(config)], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "bind_port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", [0.3, 0.7, 1.0, 1.3, 1.8])
def test_a_signal_while_it_starts_leaves_nothing(tmp_path: Path, number: int, delay: float) -> None:
    tmp_path.chmod(0o755)
    deployment = Deployment(tmp_path, "10.221", embedded=True)
    deployment.write_config()
    command = [*HYDRIA, "all", "--ephemeral", "--state-dir", str(tmp_path), "--config-file"]
    process = launch([*command, str(deployment.config)], tmp_path / "all.log")
    try:
        time.sleep(delay)  # the moment is what is varied here
        process.send_signal(number)
        code = process.wait(30)
        # Until the program itself runs, the signal just ends the interpreter.
        assert code in (0, 130, -signal.SIGTERM, -signal.SIGINT), deployment.log("all")
        assert left_links(deployment) == [], deployment.log("all")
    finally:
        end(process)
        deployment.cleanup()


# Imports the program with a SIGINT in the midst of it, below an except clause that takes everything.
SWALLOWING = textwrap.dedent(
    """
    import os, signal, sys
    from hydria import cli
    class Swallowing:
        def find_spec(self, name, path=None, target=None):
            if name == "hydria.controllers":
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                    print("begins", flush=True)
                except:
                    pass
    sys.meta_path.insert(0, Swallowing())
    sys.exit(cli.main(sys.argv[1:]))
    """
)


@pytest.mark.parametrize("name", ["all", "worker"])
def test_a_signal_that_comes_while_modules_are_imported_is_not_lost(tmp_path: Path, name: str) -> None:
    deployment = Deployment(tmp_path, "10.221")
    noop_config(tmp_path, deployment.port)
    config = ["--config-file", str(deployment.config)]
    subprocess.run([*HYDRIA, "db", "upgrade", *config], check=True, timeout=60)
    command = [sys.executable, "-W", "ignore", "-c", SWALLOWING, name, *config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "begins\n"), done.stderr


def left_links(deployment: Deployment) -> list[str]:
    """Bridges of this deployment."""
    if not (deployment.state_dir / "instance").exists():
        return []
    listed = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith(f"hy{deployment.instance}")]


# A program that takes its time to end, run as the real ones are.
SLOW = textwrap.dedent(
    """
    import sys, threading, time
    from hydria import controllers
    class Slow:
        def __init__(self, name): self.name = name
        def start(self):
            print("start", self.name, flush=True)
            for _ in range(20 if self.name == "threads" else 0):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        def stop(self):
            print("stop", self.name, flush=True)
            if self.name == "bad": raise ValueError("cannot stop")
            time.sleep(float(sys.argv[1]))
            print("stopped", self.name, flush=True)
    names = sys.argv[2:]
    sys.exit(controllers.run([Slow(name) for name in names], lambda: print("ready", flush=True)))
    """
)


def slow(seconds: float, *names: str, log: Path) -> subprocess.Popen[bytes]:
    process = launch([sys.executable, "-W", "ignore", "-c", SLOW, str(seconds), *names], log)
    wait_for(lambda: "ready" in log.read_text(), 20, "it is ready")
    return process


def test_the_last_that_was_started_is_the_first_that_is_stopped(tmp_path: Path) -> None:
    process = slow(0.0, "a", "b", log=tmp_path / "log")
    process.terminate()
    assert process.wait(10) == 0
    said = (tmp_path / "log").read_text().split("ready\n")[1].splitlines()
    assert said == ["stop b", "stopped b", "stop a", "stopped a"]


def test_one_that_does_not_stop_in_order_does_not_keep_the_others(tmp_path: Path) -> None:
    process = slow(0.0, "a", "bad", log=tmp_path / "log")
    process.terminate()
    assert process.wait(10) == 0
    said = (tmp_path / "log").read_text()
    assert "stopped a" in said
    assert "cannot stop" in said


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = slow(60.0, "a", log=tmp_path / "log")
    try:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # the same keystroke, passed on by a wrapper
        wait_for(lambda: "stop a" in (tmp_path / "log").read_text(), 15, "it stops")
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 128 + signal.SIGINT
        assert "left as it is" in (tmp_path / "log").read_text()
    finally:
        end(process)


def test_a_signal_after_a_pause_is_heard(tmp_path: Path) -> None:
    """The kernel gives it to any thread then: systemd and container engines stop what is frozen like that."""
    for number in range(10):
        log = tmp_path / f"log{number}"
        process = slow(0.0, "a", "threads", log=log)
        try:
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(5) == 0
        finally:
            end(process)


def test_a_part_that_dies_takes_the_process_along(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, threading
        from hydria import controllers
        class Dying:
            def start(self): threading.Thread(target=self.run, name="look-for-work", daemon=True).start()
            def run(self): raise ZeroDivisionError("a mistake")
            def stop(self): print("stopped", flush=True)
        sys.exit(controllers.run([Dying()]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "look-for-work" in done.stderr
    assert "a mistake" in done.stderr
    assert "stopped" in done.stdout


def test_ephemeral_needs_no_state_directory_and_leaves_none(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, "10.221", embedded=True)
    deployment.write_config()
    deployment.config.write_text(deployment.config.read_text().replace(f"state_dir = {tmp_path}\n", ""))
    kept = tmp_path / "temporary"
    kept.mkdir(mode=0o755)
    log = tmp_path / "all.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*HYDRIA, "all", "--ephemeral", "--config-file", str(deployment.config)], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(kept)},
        )  # fmt: skip
    try:
        wait_for(
            lambda: "Hydria serves" in log.read_text() or process.poll() is not None, 30, log.read_text()
        )
        made = deployment.order([9])
        deployment.await_status(made["id"])
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()
        assert list(kept.iterdir()) == []
    finally:
        if process.poll() is None:
            process.terminate()
        end(process)


def test_work_is_found_without_a_broker(tmp_path: Path) -> None:
    """The programs as processes of their own that nothing but the database connects."""
    deployment = Deployment(tmp_path, "10.221")
    noop_config(tmp_path, deployment.port)
    subprocess.run(
        [*HYDRIA, "db", "upgrade", "--config-file", str(deployment.config)], check=True, timeout=60
    )
    try:
        deployment.start("worker", "api")
        body = {"loadbalancer": {"vip_subnet_id": "11111111-1111-4111-8111-111111111111"}}
        for _ in range(3):
            made = deployment.call("POST", "/loadbalancers", body)["loadbalancer"]
            deployment.await_status(made["id"], seconds=2.5)
    finally:
        deployment.stop()
