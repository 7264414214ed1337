"""openstacksdk against a running Hydria: quotas."""

from __future__ import annotations

import pytest
from openstack.load_balancer.v2._proxy import Proxy

from tests.clients.served import QUIET

pytestmark = [pytest.mark.system, QUIET]
LIMITS = ("load_balancers", "listeners", "pools", "health_monitors", "members")


def test_quotas(sdk: Proxy) -> None:
    defaults = sdk.get_quota_default()
    assert {getattr(defaults, name) for name in LIMITS} == {-1}
    changed = sdk.update_quota("sdk-project", load_balancer=3, members=0)
    assert (changed.load_balancers, changed.members) == (3, 0)
    shown = sdk.get_quota("sdk-project")
    assert [getattr(shown, name) for name in LIMITS] == [3, -1, -1, -1, 0]
    assert [each.load_balancers for each in sdk.quotas() if each.project_id == "sdk-project"] == [3]
    sdk.delete_quota("sdk-project")
    assert "sdk-project" not in {each.project_id for each in sdk.quotas()}
    assert sdk.get_quota("sdk-project").load_balancers == -1
    sdk.delete_quota("sdk-project", ignore_missing=False)  # the defaults hold already
