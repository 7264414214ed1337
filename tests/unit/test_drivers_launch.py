"""What an amphora starts from is ready when it starts."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hydria

COMPILE = "from hydria.drivers.compute import launch; launch.compile_program()"


def test_what_an_amphora_runs_is_compiled_before(tmp_path: Path) -> None:
    package = tmp_path / "hydria"
    shutil.copytree(Path(hydria.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment | {"PYTHONPATH": str(tmp_path)},
        check=True,
        timeout=60,
    )
    needed = [*(package / "amphora").glob("*.py"), *(package / "wire").glob("*.py")]
    needed.append(package / "drivers/compute/enclosure.py")
    assert [path for path in needed if not Path(importlib.util.cache_from_source(str(path))).exists()] == []
