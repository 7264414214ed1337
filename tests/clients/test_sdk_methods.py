"""Every method of openstacksdk's load-balancer proxy is called somewhere in these tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from openstack.load_balancer.v2._proxy import Proxy


def called(of: str) -> Iterator[str]:
    """Names of the methods that the modules beside this one call on a variable of that name."""
    for module in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name == of:
                    yield method


def test_no_method_is_left_out() -> None:
    methods = {name for name, found in vars(Proxy).items() if callable(found) and not name.startswith("_")}
    assert len(methods) > 80
    assert methods - set(called("sdk")) == set()
