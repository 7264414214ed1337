"""What tests of rendered configurations have in common."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import dataplane_lab as lab


@pytest.fixture
def proxy() -> Iterator[lab.Proxy]:
    """An HAProxy that is still to be given something to serve."""
    with tempfile.TemporaryDirectory(prefix="hydria-") as directory:
        proxy = lab.Proxy(Path(directory))
        try:
            yield proxy
        finally:
            proxy.stop()


@pytest.fixture
def port() -> int:
    """A port on loopback that nobody has."""
    return lab.free_port()
