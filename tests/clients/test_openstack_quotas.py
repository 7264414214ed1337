"""``openstack loadbalancer quota``."""

from __future__ import annotations

import pytest
from octaviaclient.osc.v2 import constants

from tests.clients.openstack_client import Openstack
from tests.clients.served import QUIET

pytestmark = [pytest.mark.system, QUIET]
UNLIMITED = dict.fromkeys(constants.QUOTA_ROWS, -1)


@pytest.fixture(params=["noauth", "by_password"])
def cli(request: pytest.FixtureRequest) -> Openstack:
    """Names of projects are looked up in Keystone."""
    found: Openstack = request.getfixturevalue(request.param)
    return found


def test_quotas(cli: Openstack) -> None:
    # The client looks a project up with Keystone; where there is none it lets this one name through.
    project = cli.project if cli.identity else "non-uuid"
    assert cli("loadbalancer quota defaults show") == UNLIMITED
    assert cli("loadbalancer quota show", project) == UNLIMITED
    limits = {
        "load_balancer": 10,
        "listener": 20,
        "pool": 30,
        "health_monitor": 40,
        "member": 50,
        "l7policy": 60,
        "l7rule": 70,
    }
    options = [text for key, value in limits.items() for text in (f"--{key.replace('_', '')}", value)]
    assert cli("loadbalancer quota set", *options, project) == limits
    assert cli("loadbalancer quota show", project) == limits
    listed = {each["project_id"]: each for each in cli("loadbalancer quota list")}
    project_id = next(key for key, each in listed.items() if each["load_balancer"] == 10)
    assert listed[project_id] == {"project_id": project_id, **limits}
    cli("loadbalancer quota unset", "--listener", "--l7rule", "--healthmonitor", project)
    unset = {"listener": -1, "l7rule": -1, "health_monitor": -1}
    assert cli("loadbalancer quota show", project) == limits | unset
    cli("loadbalancer quota reset", project)
    assert cli("loadbalancer quota show", project) == UNLIMITED
    assert project_id not in {each["project_id"] for each in cli("loadbalancer quota list")}
