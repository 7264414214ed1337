"""Amphorae whose names cannot be seen: they were started in another mount namespace (``ip netns exec``)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import driver_lab
from tests.driver_lab import wait_for

pytestmark = pytest.mark.node

ELSEWHERE = ("unshare", "--mount", "--propagation", "private")
BUILD = """
import json, sys
from pathlib import Path
from hydria.drivers.compute.netns import NetnsComputeDriver
from hydria.drivers.network.bridge import BridgeNetworkDriver
from tests import driver_lab
own = driver_lab.settings(Path(sys.argv[1]), bridge=json.loads(sys.argv[2]))
network = BridgeNetworkDriver(own)
(vip,) = network.networks()
NetnsComputeDriver(own, ("sh", "-c", "exec sleep 600")).order(driver_lab.order(network, vip.id))
"""


def test_cleanup_ends_amphorae_whose_names_it_does_not_see(tmp_path: Path) -> None:
    with driver_lab.host(tmp_path) as host:
        bridge = host.settings.bridge
        networks = {name: getattr(bridge, name) for name in ("lb_network_cidr", "vip_cidr_v4", "vip_cidr_v6")}
        subprocess.run(
            [*ELSEWHERE, sys.executable, "-c", BUILD, str(tmp_path), json.dumps(networks)],
            env={"PYTHONPATH": f"{driver_lab.ROOT / 'src'}:{driver_lab.ROOT}"},
            check=True,
            timeout=60,
        )
        assert _processes(tmp_path)
        host.compute.cleanup()
        wait_for(lambda: not _processes(tmp_path), "their end")
        assert list((tmp_path / "amphorae").iterdir()) == []


def _processes(state_dir: Path) -> list[str]:
    """Those that have a boot directory of this deployment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if f"{state_dir.name}/amphorae/" in text:
            found.append(path.parent.name)
    return found
