"""If-Match on every database: rows and locked objects make the same tag, and one of many writers wins."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hydria.model.pool import SessionPersistence
from hydria.model.resource import name_of
from hydria.model.statuses import PersistenceType
from hydria.store import Store
from hydria.testing import trees
from tests.unit.api_reading import MAKERS, Api, url_of

HEADERS = {"X-Forwarded-Proto": "true", "X-Forwarded-For": "true"}
# Of each kind an object with what databases could give back in another form.
RICH = {
    "listener": {
        "insert_headers": HEADERS,
        "allowed_cidrs": ["10.0.0.0/8"],
        "tls_versions": ["TLSv1.3", "TLSv1.2"],
    },
    "pool": {
        "session_persistence": SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name="c"),
        "name": "w\u00e9b \U0001f600",
    },
    "healthmonitor": {"http_version": 1.1, "domain_name": "a.example"},
    "loadbalancer": {"vip_sg_ids": [trees.POOL], "description": "one\r\ntwo "},
}


@pytest.fixture
def api(store: Store) -> Api:
    api = Api(store)
    for resource, make in MAKERS.items():
        more = {"tags": ("z", "a")} if "tags" in resource.__struct_fields__ else {}
        api.insert(make(1, **RICH.get(resource.root, {}), **more))
    return api


def test_what_was_read_can_be_changed(api: Api) -> None:
    for resource in MAKERS:
        (found,) = api.get(url_of(resource))[resource.plural]
        url = f"{url_of(resource)}/{found[resource.key]}"
        answer = api.ask("GET", url)
        key = {"l7rule": "value", "availability_zone": "description"}.get(name_of(resource), "name")
        for number in range(3):
            body = {resource.root: {key: f"/{number}"}}
            headers = {"If-Match": answer.headers["etag"]}
            changed = api.ask("PUT", url, json=body, headers=headers)
            assert changed.status_code == 200, (resource.root, changed.text)
            assert api.ask("PUT", url, json=body, headers=headers).status_code == 412, resource.root
            answer = changed


def test_of_many_who_read_the_same_one_writes(api: Api) -> None:
    for url, root in (
        (f"/v2/lbaas/pools/{trees.POOL}", "pool"),
        (f"/v2/lbaas/loadbalancers/{trees.BALANCER}", "loadbalancer"),
    ):
        read = api.ask("GET", url).headers["etag"]

        def write(number: int, url: str = url, root: str = root, read: str = read) -> int:
            body = {root: {"tags": [f"writer {number}"]}}
            return int(api.ask("PUT", url, json=body, headers={"If-Match": read}).status_code)

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(write, range(8))) == [200] + [412] * 7
