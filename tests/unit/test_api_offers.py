"""Flavors, availability zones, their profiles, and providers, over HTTP (contract 1.6, 1.18, appendix C)."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from hydria.store import Store
from tests.databases import new_store
from tests.unit.api_reading import Api

ROOT = "/v2/lbaas"
NIL = "00000000-0000-0000-0000-000000000000"
ENABLED = {"amphora": "Hydria's own", "noop_driver": "does nothing", "absent": "is not installed"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@dataclasses.dataclass
class Kind:
    """One of the two kinds of offers, by its names in the API."""

    url: str
    root: str
    plural: str
    profile_url: str
    profile_root: str
    profiles: str
    profile_links: str
    data: str
    label: str

    @property
    def profile_id(self) -> str:
        return "flavor_profile_id" if self.root == "flavor" else "availability_zone_profile_id"

    def key(self, shown: dict[str, Any]) -> str:
        return str(shown["id" if self.root == "flavor" else "name"])


FLAVOR = Kind(
    "flavors", "flavor", "flavors", "flavorprofiles", "flavorprofile", "flavorprofiles",
    "flavorprofile_links", "flavor_data", "Flavor",
)  # fmt: skip
ZONE = Kind(
    "availabilityzones", "availability_zone", "availability_zones", "availabilityzoneprofiles",
    "availability_zone_profile", "availability_zone_profiles", "availability_zone_profile_links",
    "availability_zone_data", "Availability Zone",
)  # fmt: skip
BOTH = pytest.mark.parametrize("kind", [FLAVOR, ZONE], ids=["flavor", "zone"])


class Operator:
    """An operator's requests, without envelopes."""

    def __init__(self, store: Store) -> None:
        self.api = Api(store, enabled_provider_drivers=ENABLED, default_provider_driver="noop_driver")

    def ask(self, method: str, path: str, status: int, root: str = "", **body: Any) -> Any:
        more = {"json": {root: body}} if root else {}
        answer = self.api.ask(method, f"{ROOT}/{path}", **more)
        assert answer.status_code == status, answer.text
        if status >= 400:
            return answer.json["faultstring"]
        return answer.json[root] if root else answer.json if answer.content else None

    def profile(self, kind: Kind, status: int = 201, **body: Any) -> Any:
        body = {"name": "p", "provider_name": "noop_driver", kind.data: "{}", **body}
        return self.ask("POST", kind.profile_url, status, kind.profile_root, **body)

    def offer(self, kind: Kind, status: int = 201, **body: Any) -> Any:
        if kind.profile_id not in body:
            body[kind.profile_id] = self.profile(kind)["id"]
        return self.ask("POST", kind.url, status, kind.root, **{"name": "o", **body})


@pytest.fixture
def operator(store: Store) -> Operator:
    return Operator(store)


@BOTH
def test_a_profile_lives(operator: Operator, kind: Kind) -> None:
    made = operator.profile(kind, name="p", **{kind.data: '{"a": 1}'})
    url = f"{kind.profile_url}/{made['id']}"
    assert made == {"id": made["id"], "name": "p", "provider_name": "noop_driver", kind.data: '{"a": 1}'}
    assert operator.ask("GET", url, 200)[kind.profile_root] == made
    listed = operator.ask("GET", kind.profile_url, 200)
    assert listed == {kind.profiles: [made], kind.profile_links: []}
    changed = operator.ask("PUT", url, 200, kind.profile_root, name="q", **{kind.data: "{}"})
    assert changed == {**made, "name": "q", kind.data: "{}"}
    assert operator.ask("GET", url, 200)[kind.profile_root] == changed
    operator.ask("DELETE", url, 204)
    assert operator.ask("GET", url, 404) == f"{kind.label} Profile {made['id']} not found."


@BOTH
def test_an_offer_lives(operator: Operator, kind: Kind) -> None:
    profile = operator.profile(kind)
    made = operator.offer(kind, name="gold", **{kind.profile_id: profile["id"]})
    expected = {"name": "gold", "description": "", "enabled": True, kind.profile_id: profile["id"]}
    assert made == expected | ({"id": made["id"]} if kind is FLAVOR else {})
    url = f"{kind.url}/{kind.key(made)}"
    assert operator.ask("GET", url, 200)[kind.root] == made
    assert operator.ask("GET", kind.url, 200) == {kind.plural: [made], f"{kind.plural}_links": []}
    changed = operator.ask("PUT", url, 200, kind.root, description="d", enabled=False)
    assert changed == {**made, "description": "d", "enabled": False}
    assert operator.ask("GET", url, 200)[kind.root] == changed
    assert operator.ask("PUT", url, 200, kind.root, description=None, enabled=None) == made
    operator.ask("DELETE", url, 204)
    assert operator.ask("GET", url, 404) == f"{kind.label} {kind.key(made)} not found."


@BOTH
def test_reading_takes_one_statement(operator: Operator, kind: Kind) -> None:
    url = f"{kind.url}/{kind.key(operator.offer(kind))}"
    for path in (url, kind.url):
        with operator.api.statements() as seen:
            operator.ask("GET", path, 200)
        assert len(seen) == 1, seen


@BOTH
def test_a_name_is_given_once(operator: Operator, kind: Kind) -> None:
    operator.offer(kind, name="gold")
    message = f"A {kind.label.lower()} of gold already exists."
    assert operator.offer(kind, 409, name="gold") == message
    if kind is FLAVOR:
        other = operator.offer(kind, name="silver")
        assert operator.ask("PUT", f"flavors/{other['id']}", 409, "flavor", name="gold") == message
        assert operator.ask("PUT", f"flavors/{other['id']}", 200, "flavor", name="silver") == other


@BOTH
def test_what_is_used_stays(operator: Operator, kind: Kind) -> None:
    profile = operator.profile(kind)
    made = operator.offer(kind, **{kind.profile_id: profile["id"]})
    url = f"{kind.profile_url}/{profile['id']}"
    message = f"{kind.label} Profile {profile['id']} is in use and cannot be modified."
    assert operator.ask("DELETE", url, 409) == message
    assert operator.ask("PUT", url, 409, kind.profile_root, **{kind.data: '{"a": 1}'}) == message
    assert operator.ask("PUT", url, 409, kind.profile_root, provider_name="amphora") == message
    same = {kind.data: profile[kind.data], "provider_name": profile["provider_name"]}
    assert operator.ask("PUT", url, 200, kind.profile_root, name="q", **same)["name"] == "q"
    operator.ask("DELETE", f"{kind.url}/{kind.key(made)}", 204)
    assert (
        operator.ask("PUT", url, 200, kind.profile_root, **{kind.data: '{"a": 1}'})[kind.data] == '{"a": 1}'
    )
    operator.ask("DELETE", url, 204)


@BOTH
def test_a_profile_that_is_not_there(operator: Operator, kind: Kind) -> None:
    for identifier in (NIL, "11111111-2222-4333-8444-555555555555"):
        refusal = operator.offer(kind, 400, **{kind.profile_id: identifier})
        assert refusal == f"{identifier} is not a valid option for {kind.profile_id}"
    assert operator.ask("GET", kind.url, 200)[kind.plural] == []


@BOTH
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_nil_uuid_is_nobody(operator: Operator, kind: Kind, method: str) -> None:
    for url, root, label in (
        (kind.url, kind.root, kind.label),
        (kind.profile_url, kind.profile_root, f"{kind.label} Profile"),
    ):
        message = operator.ask(method, f"{url}/{NIL}", 404, root if method == "PUT" else "")
        assert message == f"{label} {NIL} not found."


@BOTH
@pytest.mark.parametrize("data", ["", "{", "[]", "1", "null", '"{}"', "{'a': 1}"])
def test_what_is_no_json_object(operator: Operator, kind: Kind, data: str) -> None:
    refusal = operator.profile(kind, 400, **{kind.data: data})
    assert refusal == f"{data} is not a valid option for {kind.data}"
    made = operator.profile(kind)
    url = f"{kind.profile_url}/{made['id']}"
    refusal = operator.ask("PUT", url, 400, kind.profile_root, **{kind.data: data})
    assert refusal == f"{data} is not a valid option for flavor_data"
    assert operator.ask("GET", url, 200)[kind.profile_root] == made


@BOTH
def test_bodies_are_judged(operator: Operator, kind: Kind) -> None:
    argument = kind.profile_root.replace("flavorprofile", "flavor_profile")
    unknown = f"Unknown attribute for argument {argument}_.{kind.profile_root}: id"
    assert operator.profile(kind, 400, id=NIL) == unknown
    for name in ("name", "provider_name", kind.data):
        refusal = operator.profile(kind, 400, **{name: None})
        assert refusal == f"Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing."
    assert "maximum character requirement of 4096" in operator.profile(kind, 400, **{kind.data: " " * 4097})
    made = operator.offer(kind)
    url = f"{kind.url}/{kind.key(made)}"
    refused = kind.profile_id if kind is FLAVOR else "name"
    unknown = f"Unknown attribute for argument {kind.root}_.{kind.root}: {refused}"
    assert operator.ask("PUT", url, 400, kind.root, **{refused: NIL}) == unknown


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "zone.json"])
def test_a_zone_can_be_addressed_by_its_name(operator: Operator, name: str) -> None:
    assert "Value should" in operator.offer(ZONE, 400, name=name)


@pytest.mark.parametrize("name", ["ö ß", "a.b", "100%", "a?b#c", "…", "json", "a;b=c", "'\""])
def test_zone_names_of_all_sorts(operator: Operator, name: str) -> None:
    made = operator.offer(ZONE, name=name)
    url = f"availabilityzones/{quote(name, safe='')}"
    assert operator.ask("GET", url, 200)["availability_zone"] == made
    operator.ask("DELETE", url, 204)


@BOTH
def test_lists_are_sorted_filtered_and_paged(operator: Operator, kind: Kind) -> None:
    profile = operator.profile(kind)["id"]
    names = [f"n{number}" for number in range(5)]
    for name in (names[3], names[0], names[4], names[1], names[2]):
        operator.offer(kind, name=name, enabled=name != "n1", **{kind.profile_id: profile})
    found = operator.ask("GET", f"{kind.url}?sort=name:desc", 200)[kind.plural]
    assert [each["name"] for each in found] == names[::-1]
    found = operator.ask("GET", f"{kind.url}?enabled=false&fields=name", 200)[kind.plural]
    assert found == [{"name": "n1"}]
    for name in ("color", "tags", "not-tags-any", "project_id"):
        assert operator.ask("GET", f"{kind.url}?{name}=x", 400).startswith("One or more arguments")
    seen: list[str] = []
    url = f"{kind.url}?sort_key=name&limit=2"
    while url:
        page = operator.ask("GET", url, 200)
        seen += [each["name"] for each in page[kind.plural]]
        links = {link["rel"]: link["href"] for link in page[f"{kind.plural}_links"]}
        url = links.get("next", "").partition(f"{ROOT}/")[2]
    assert seen == names
    assert "marker 'nobody' is not valid" in operator.ask("GET", f"{kind.url}?marker=nobody", 400)


def test_providers_that_can_be_used_are_listed(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    listed = [{"name": name, "description": ENABLED[name]} for name in ("amphora", "noop_driver")]
    assert operator.ask("GET", "providers", 200) == {"providers": listed}
    assert "Provider 'absent' is enabled, but its driver cannot be loaded" in caplog.text
    assert operator.ask("GET", "providers?name=amphora&fields=description", 200) == {
        "providers": [{"description": "Hydria's own"}]
    }
    assert operator.ask("GET", "providers?limit=1", 400).startswith("One or more arguments")


# Octavia's own words: clients compare them.
CAPABILITIES = {
    ("amphora", "flavor"): {
        "loadbalancer_topology": "The load balancer topology. One of: SINGLE - One amphora per load balancer. ACTIVE_STANDBY - Two amphora per load balancer.",
        "compute_flavor": "The compute driver flavor ID.",
        "amp_image_tag": "The amphora image tag.",
        "sriov_vip": "When true, the VIP port will be created using an SR-IOV VF port.",
        "allow_member_sriov": "When true, users can request a member port be SR-IOV enabled at member creation time.",
    },
    ("amphora", "availability_zone"): {
        "compute_zone": "The compute availability zone.",
        "volume_zone": "The volume availability zone.",
        "management_network": "The management network ID for the amphora.",
        "valid_vip_networks": "List of network IDs that are allowed for VIP use. This overrides/replaces the list of allowed networks configured in `octavia.conf`.",
    },
    ("noop_driver", "flavor"): {"amp_image_tag": "The glance image tag to use for this load balancer."},
    ("noop_driver", "availability_zone"): {
        "compute_zone": "The compute availability zone to use for this loadbalancer.",
        "volume_zone": "The volume availability zone to use for this loadbalancer.",
    },
}


def test_capabilities(operator: Operator) -> None:
    for (provider, kind), expected in CAPABILITIES.items():
        root = f"{kind}_capabilities"
        found = operator.ask("GET", f"providers/{provider}/{root}", 200)[root]
        assert found == [{"name": name, "description": text} for name, text in expected.items()]
        first = next(iter(expected))
        one = operator.ask("GET", f"providers/{provider}/{root}?name={first}&fields=name", 200)
        assert one == {root: [{"name": first}]}
    unknown = operator.ask("GET", "providers/other/flavor_capabilities", 400)
    assert unknown == "Provider 'other' is not enabled."
    missing = operator.ask("GET", "providers/absent/flavor_capabilities", 501)
    assert missing == "Provider 'absent' was not found."


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        (FLAVOR, {"color": 1}, "Unknown key 'color'; known are: loadbalancer_topology, compute_flavor,"),
        (FLAVOR, {"loadbalancer_topology": "RING"}, "should be one of: SINGLE, ACTIVE_STANDBY"),
        (FLAVOR, {"loadbalancer_topology": "ACTIVE_STANDBY"}, "is not served by the amphora data plane yet"),
        (FLAVOR, {"sriov_vip": "true"}, "sriov_vip 'true' should be true or false."),
        (FLAVOR, {"sriov_vip": True}, "sriov_vip: the network driver has no SR-IOV."),
        (FLAVOR, {"allow_member_sriov": 1}, "should be true or false"),
        (FLAVOR, {"compute_flavor": 5}, "compute_flavor '5' should be a name."),
        (FLAVOR, {"compute_flavor": "huge"}, "'huge' is not one of [netns] compute_flavors: none."),
        (FLAVOR, {"amp_image_tag": "x"}, "made from no image"),
        (ZONE, {"color": 1}, "Unknown key 'color'"),
        (ZONE, {"compute_zone": "nova"}, "are in no zone"),
        (ZONE, {"volume_zone": "nova"}, "amphorae have no volumes"),
        (ZONE, {"management_network": NIL}, f"management_network: there is no network {NIL}."),
        (ZONE, {"valid_vip_networks": NIL}, "should be a list of network ids"),
        (ZONE, {"valid_vip_networks": [NIL]}, f"valid_vip_networks: there is no network {NIL}."),
    ],
)
def test_what_the_amphora_provider_refuses(
    operator: Operator, kind: Kind, said: dict[str, Any], reason: str
) -> None:
    refusal = operator.profile(kind, 501, provider_name="amphora", **{kind.data: json.dumps(said)})
    assert refusal.startswith("Provider 'amphora' does not support a requested option: ")
    assert reason in refusal
    assert operator.ask("GET", kind.profile_url, 200)[kind.profiles] == []


@BOTH
def test_profiles_of_providers_that_are_not_there(operator: Operator, kind: Kind) -> None:
    refusal = operator.profile(kind, 400, provider_name="other")
    assert refusal == "Provider 'other' is not enabled."
    refusal = operator.profile(kind, 501, provider_name="absent")
    assert refusal == "Provider 'absent' was not found."
