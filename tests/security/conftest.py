"""The proxies and amphorae of tests/node, to be attacked."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.conftest import lab, port, proxy

__all__ = ["lab", "port", "proxy"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="hydria-local-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
