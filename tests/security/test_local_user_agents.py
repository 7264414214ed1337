"""The attacker is a user of the host without rights, and wants to talk to agents."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests import driver_lab
from tests.security import network_attacks as attacks

pytestmark = pytest.mark.node

NOBODY, CONTROLLER = 65534, 64123


def test_users_of_the_host_do_not_reach_agents(place: Path) -> None:
    driver_lab.run_alone(_users, str(place))


def _users(state_dir: str) -> None:
    os.chown(state_dir, CONTROLLER, CONTROLLER)
    with attacks.alone(state_dir) as host:
        attacks.listen()
        ann = attacks.amphora(host)
        controllers = host.network.controller_address()
        for address in (ann.lb, controllers):
            assert _fault_as(NOBODY, address) == "ConnectionRefusedError", "at once, not by a time-out"
            for user in (0, CONTROLLER):
                assert _fault_as(user, address) == "", "the deployment's own programs"
        assert _fault_as(NOBODY, ann.vip) == "", "a load balancer is for everybody"


def _fault_as(user: int, address: str) -> str:
    """The name of the error that a connection of a user ends with, "" for none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            with socket.socket() as client:  # nothing that imports: that user may not read our Python
                client.settimeout(2)
                client.connect((address, 7))
        except BaseException as error:  # noqa: BLE001  (told to the parent)
            os.write(writing, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        fault = said.read()
    os.waitpid(child, 0)
    return fault
