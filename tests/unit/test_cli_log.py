"""What programs write to their log, and what not."""

import subprocess
import sys
from pathlib import Path

_LOOK = """
import argparse, logging
from hydria import cli
cli._settings(argparse.Namespace(config_file=["{config}"], state_dir="{directory}"))
from hydria.drivers.netlink import Netlink
assert Netlink().links()
logging.getLogger("hydria.x").debug("of our own")
logging.getLogger("pyroute2.x").warning("of theirs")
"""


def test_noisy_libraries_say_what_matters_alone(tmp_path: Path) -> None:
    config = tmp_path / "hydria.conf"
    config.write_text("[DEFAULT]\ndebug = true\n")
    look = _LOOK.format(config=config, directory=tmp_path)
    log = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stderr
    assert "of our own" in log
    assert [line for line in log.splitlines() if "pyroute2" in line and "of theirs" not in line] == []
    assert "WARNING pyroute2.x: of theirs" in log
