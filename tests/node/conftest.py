"""What tests of rendered configurations, and those of an amphora, have in common."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import agent_lab, dataplane_lab


@pytest.fixture
def proxy() -> Iterator[dataplane_lab.Proxy]:
    """An HAProxy that is still to be given something to serve."""
    with tempfile.TemporaryDirectory(prefix="hydria-") as directory:
        proxy = dataplane_lab.Proxy(Path(directory))
        try:
            yield proxy
        finally:
            proxy.stop()


@pytest.fixture
def port() -> int:
    """A port on loopback that nobody has."""
    return dataplane_lab.free_port()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[agent_lab.Lab]:
    """An amphora that has nothing to serve yet, and what is outside of it."""
    with agent_lab.running(tmp_path) as running:
        yield running
