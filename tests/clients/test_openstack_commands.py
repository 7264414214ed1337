"""Every command that python-octaviaclient registers is run somewhere in these tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.clients.openstack_client import commands


def ordered() -> Iterator[str]:
    """The commands that the modules beside this one run, and that must not fail there."""
    for module in Path(__file__).parent.glob("test_openstack_*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="cli"), args=[ast.Constant(value=str(command)), *_]):
                    yield command


def test_no_command_is_left_out() -> None:
    assert len(commands()) > 80
    assert set(commands()) - set(ordered()) == set()
