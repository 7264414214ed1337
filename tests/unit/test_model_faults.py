"""What owners are told: what it means for them, and nothing that is the operator's business."""

from __future__ import annotations

import pytest

from hydria.model import faults
from hydria.model.errors import Conflict, DriverError, Outdated, Refused, Unavailable, Unreachable


def test_the_words_of_the_daemon_without_its_directories() -> None:
    said = "Amphora a refused generation 7: [ALERT] (12) : config : parsing [/run/hy/a/haproxy.cfg:34] : 'bind' x"
    assert faults.for_owner(Refused(said)) == (
        "Amphora a refused generation 7: [ALERT] (12) : config : parsing [haproxy.cfg:34] : 'bind' x"
    )
    assert faults.for_operator(Refused(said)) == said


@pytest.mark.parametrize(
    "error",
    [
        DriverError("Cannot build on compute-17.example.net: /etc/hydria/ca.key is not readable"),
        Unreachable("Amphora a at 10.213.0.9 does not answer: connection refused"),
        Unavailable("The database mysql://hydria:secret@db-3.example.net/hydria does not answer"),
        RuntimeError("token gAAAA-secret refused by https://keystone.example.net:5000"),
        Conflict("Port taken on https://user:secret@neutron.example.net:9696/v2.0/ports"),
        Conflict("Port taken on https://neutron.example.net:9696/v2.0/ports?token=gAAAA"),
        Conflict("Port taken on https://neutron.example.net?token=gAAAA and on other ports"),
        Refused("stat /home/operator/secret: denied"),
    ],
)
def test_nothing_of_the_operators(error: Exception) -> None:
    told = faults.for_owner(error)
    assert told.endswith((".", "denied", "ports"))
    for private in ("example.net", "10.213.", "/etc", "/home", "secret@", "gAAAA", "hydria:"):
        assert private not in told
    assert faults.for_operator(error) == str(error)


def test_paths_of_users_own_are_left_alone() -> None:
    assert "/healthz/ready" in faults.for_owner(Outdated("uri /healthz/ready", 3))


def test_an_error_without_words_has_its_name() -> None:
    assert faults.for_operator(ZeroDivisionError()) == "ZeroDivisionError"
