"""A tenant asks for all at once: a page is at most as long as the operator says."""

from pathlib import Path

import pytest

from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import Api

BALANCERS = "/v2/lbaas/loadbalancers"


@pytest.mark.parametrize("limit", ["0", "-1", "infinite", "3", "999999999999999999999"])
def test_no_page_is_longer_than_the_longest(tmp_path: Path, limit: str) -> None:
    api = Api(new_store(tmp_path), pagination_max_limit="2")
    api.insert(*(trees.load_balancer(number) for number in range(1, 6)))
    answer = api.get(BALANCERS, params={"limit": limit})
    assert len(answer["loadbalancers"]) == 2
    assert [link["rel"] for link in answer["loadbalancers_links"]] == ["next"]


@pytest.mark.parametrize("limit", ["\u0665", "\u00b2", "5x", "1_0", "0x5"])
def test_a_limit_is_written_in_digits(tmp_path: Path, limit: str) -> None:
    api = Api(new_store(tmp_path))
    answer = api.client.simulate_get(BALANCERS, params={"limit": limit}, headers={"Host": "localhost"})
    assert answer.status_code == 400
