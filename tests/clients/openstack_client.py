"""``openstack loadbalancer …``: in this process, a command in 20 ms, or as users run it, in a second."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne
from openstackclient import shell
from osc_lib.clientmanager import ClientCache, ClientManager

from tests.clients.served import Served
from tests.system.deployment import wait_for


@cache
def commands() -> dict[str, EntryPoint]:
    """What python-octaviaclient adds to the openstack client: the words of the command -> its entry point."""
    return {each.name.replace("_", " "): each for each in entry_points(group="openstack.load_balancer.v2")}


@dataclass
class Openstack:
    """The client, talking to a cloud.

    environment: the ``OS_*`` variables that a user would set. hydria: where things settle between commands.
    """

    hydria: Served
    environment: dict[str, str]
    project: str = "default"  # in which project its orders are
    identity: bool = False  # whether there is an identity service to look projects up in
    token: Callable[[], dict[str, str]] = dict  # the headers that say who asks

    def __call__(self, command: str, *arguments: str | int) -> Any:
        """What a command prints, decoded; one that must not fail."""
        code, output, errors = self.attempt(command, *arguments)
        assert code == 0, (command, arguments, output, errors)
        return json.loads(output) if self._prints(command) else output

    def refused(self, command: str, *arguments: str | int) -> str:
        """What a command says that must fail."""
        code, output, errors = self.attempt(command, *arguments)
        assert code != 0, (command, arguments, output)
        return errors

    def attempt(self, command: str, *arguments: str | int) -> tuple[int, str, str]:
        """Exit status, output and errors of a command run in this process."""
        line = self._line(command, *arguments)
        output, errors = io.StringIO(), io.StringIO()
        with self._as_a_process(), redirect_stdout(output), redirect_stderr(errors):
            try:
                code = shell.main(line)
            except SystemExit as ended:  # argparse
                code = ended.code
        return int(code or 0), output.getvalue(), errors.getvalue()

    def process(self, command: str, *arguments: str | int) -> subprocess.CompletedProcess[str]:
        """A command run as users run it."""
        return subprocess.run(
            [Path(sys.executable).with_name("openstack"), *self._line(command, *arguments)],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def api(self, path: str) -> Any:
        """What the API itself answers to this user's GET."""
        answer = self.hydria.ask("GET", path, headers=self.token())
        assert answer.status == 200, (path, answer)
        return answer.body

    def settled(self, name: str) -> dict[str, Any]:
        """A load balancer once it is ACTIVE, as the API shows it; a command logs in anew each time."""
        path = f"/loadbalancers?name={name}&provisioning_status=ACTIVE"
        return dict(wait_for(lambda: self.api(path)["loadbalancers"], 30, f"{name} is ACTIVE")[0])

    def gone(self, path: str) -> None:
        """Wait until a list is empty."""
        kind = path.partition("?")[0].rpartition("/")[2]
        wait_for(lambda: not self.api(path)[kind], 30, f"{path} is empty")

    def _prints(self, command: str) -> bool:
        return command == "loadbalancer status show" or issubclass(
            commands()[command].load(), Lister | ShowOne
        )

    def _line(self, command: str, *arguments: str | int) -> list[str]:
        machine = ["-f", "json"] if issubclass(commands()[command].load(), Lister | ShowOne) else []
        return [*command.split(), *machine, *map(str, arguments)]

    @contextmanager
    def _as_a_process(self) -> Iterator[None]:
        """The client sets up logging, warnings and its environment for a process of its own."""
        root, before = logging.getLogger(), dict(os.environ)
        handlers, level = list(root.handlers), root.level
        for name in [name for name in os.environ if name.startswith("OS_")]:
            del os.environ[name]
        os.environ.update(self.environment)
        root.handlers[:] = []  # it logs all it does, at length
        for cached in vars(ClientManager).values():
            if isinstance(cached, ClientCache):
                cached._handle = None  # of the command before, which may have been another user's
        try:
            with warnings.catch_warnings():
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            root.handlers[:] = handlers
            root.setLevel(level)


def clouds(directory: Path, name: str, **cloud: Any) -> dict[str, str]:
    """The environment of a user with a ``clouds.yaml`` that has this cloud."""
    file = directory / f"{name}.yaml"
    file.write_text(json.dumps({"clouds": {name: cloud}}))  # JSON is YAML
    file.chmod(0o600)
    return {"OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": name}
