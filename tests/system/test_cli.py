"""The command line by itself, and the whole control plane without root, network or cloud."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from hydria import __version__
from tests.driver_lab import ROOT
from tests.system.deployment import HYDRIA, Deployment, free_port, wait_for

pytestmark = pytest.mark.system
NOBODY = 65534
UNPRIVILEGED = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# uid 0 without a single capability: what root could do is refused, files of the checkout stay readable.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def hydria(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HYDRIA, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def test_without_a_command_it_says_what_there_is() -> None:
    done = hydria()
    assert done.returncode == 2
    assert "all" in hydria("--help").stdout
    assert __version__


def test_the_schema_is_brought_up_to_date_and_checked(tmp_path: Path) -> None:
    options = ["--state-dir", str(tmp_path)]
    before = hydria("status", "check", *options)
    assert before.returncode == 2
    assert "hydria db upgrade" in before.stdout
    assert "was none" in hydria("db", "upgrade", *options).stdout
    assert "unchanged" in hydria("db", "upgrade", *options).stdout
    after = hydria("status", "check", *options)
    assert (after.returncode, after.stdout) == (0, "ok\n"), after.stdout


def test_a_program_without_a_schema_says_what_to_do(tmp_path: Path) -> None:
    done = hydria("worker", "--state-dir", str(tmp_path))
    assert done.returncode == 1
    assert "hydria db upgrade" in done.stderr


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("[controller_worker]\ncompute_driver = nonsense\n", "nonsense"),
        ("[api_settings]\nbind_host = 0.0.0.0\n", "0.0.0.0"),
        ("[api_settings]\nbind_port = 99999\n", "bind_port"),
        ("[database]\nconnection = secret\n", "[database] connection"),
        ("[database]\nconnection = nonsense://user:secret@host/db\n", "[database] connection"),
        ("[DEFAULT]\ntransport_url = nonsense://user:secret@host/\n", "transport_url"),
        ("[bridge]\nvip_cidr_v4 = 10.0.0.0/8x\n", "10.0.0.0/8x"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, option: str, named: str) -> None:
    config = tmp_path / "hydria.conf"
    config.write_text(f"[DEFAULT]\nstate_dir = {tmp_path}\n{option}")
    done = hydria("all", "--config-file", str(config))
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    instance = tmp_path / "instance"
    if instance.exists():
        links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
        assert f"hy{instance.read_text().strip()}" not in links  # nothing was made on the host


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = noop_config(tmp_path, port)
        done = hydria("all", "--config-file", str(config))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("there", [True, False], ids=["an empty directory", "no directory"])
def test_cleanup_of_what_is_no_state_directory_says_so_and_makes_nothing(
    tmp_path: Path, *, there: bool
) -> None:
    directory = tmp_path if there else tmp_path / "lost"
    done = hydria("cleanup", "--state-dir", str(directory))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{directory} is no state directory" in done.stderr
    assert "hydria instances" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_instance_that_is_not_there_is_named() -> None:
    done = hydria("cleanup", "--instance", "zzzzzz")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no instance zzzzzz on this host" in done.stderr


def test_the_state_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    environment = {**os.environ, "HYDRIA_STATE_DIR": str(one)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*HYDRIA, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    assert "was none" in run("db", "upgrade")
    assert (one / "hydria.db").exists()
    assert run("status", "check") == "ok\n"
    assert f"{one} is no state directory" in run("cleanup")
    # What the command line says counts for more.
    assert "was none" in run("db", "upgrade", "--state-dir", str(other))
    assert (other / "hydria.db").exists()


@pytest.mark.parametrize(
    "command",
    ["all", "worker", "housekeeping", "cleanup", "cleanup --all", "cleanup --instance 1a2b3c", "instances"],
)
def test_without_root_one_sentence_says_so_before_anything_is_made(command: str) -> None:
    with tempfile.TemporaryDirectory(prefix="hydria-") as name:
        os.chown(name, NOBODY, NOBODY)
        done = subprocess.run(
            [*UNPRIVILEGED, *HYDRIA, *command.split(), "--state-dir", name],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"hydria: 'hydria {command.split(maxsplit=1)[0]}' needs root")
        assert done.stderr.count("\n") == 1
        assert list(Path(name).iterdir()) == []


def test_a_state_directory_that_cannot_be_made_is_named() -> None:
    done = subprocess.run(
        [*UNPRIVILEGED, *HYDRIA, "db", "upgrade", "--state-dir", "/proc/nothing"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Cannot write below /proc/nothing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["run", "demo"])
def test_make_says_that_it_needs_root_before_it_sets_up_anything(target: str) -> None:
    done = subprocess.run(
        [*UNPRIVILEGED, "make", "-C", str(ROOT), "--no-print-directory", target],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"make {target} needs root")


def noop_config(directory: Path, port: int) -> Path:
    config = directory / "hydria.conf"
    config.write_text(
        f"""[DEFAULT]
state_dir = {directory}
[api_settings]
bind_port = {port}
[health_manager]
bind_ip = 127.0.0.1
bind_port = {free_port()}
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
"""
    )
    return config


def test_the_control_plane_runs_without_root_or_network(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, "10.219", embedded=True)
    config = noop_config(tmp_path, deployment.port)
    with (tmp_path / "all.log").open("wb") as log:
        process = subprocess.Popen(
            [*POWERLESS, *HYDRIA, "all", "--config-file", str(config)], stdout=log, stderr=log
        )
    deployment.processes["all"] = process
    try:
        wait_for(lambda: deployment.running("all"), 30, deployment.log("all"))
        subnet = "11111111-1111-4111-8111-111111111111"
        pool = {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [{"address": "192.0.2.1", "protocol_port": 80}],
            "healthmonitor": {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1},
        }  # fmt: skip
        listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
        body = {"loadbalancer": {"vip_subnet_id": subnet, "listeners": [listener]}}
        made = deployment.call("POST", "/loadbalancers", body)["loadbalancer"]
        assert made["vip_address"]
        deployment.await_status(made["id"])
        pool_id = deployment.show(made["id"])["pools"][0]["id"]
        member = {"member": {"address": "192.0.2.2", "protocol_port": 80}}
        deployment.call("POST", f"/pools/{pool_id}/members", member)
        deployment.await_status(made["id"])
        assert deployment.pending() == []
        time.sleep(4)  # nobody sends heartbeats here, and nobody is replaced for it
        assert "replaced" not in deployment.log("all")
        deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        wait_for(
            lambda: deployment.request("GET", f"/loadbalancers/{made['id']}").status == 404, 10, "it is gone"
        )
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
