"""Flavors and availability zones on every database: what is used stays, also when two are at it at once."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.errors import Conflict, HydriaError, Invalid, NotFound
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Declared
from hydria.store import Store, rows
from tests.unit.api_writing import Api

ROUNDS = 12


@pytest.fixture
def api(store: Store) -> Api:
    return Api(store)


def profile(api: Api, **said: Any) -> str:
    made = api.create(FlavorProfile, name="p", provider_name="noop_driver", flavor_data=json.dumps(said))
    return str(made["id"])


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each of these gives, begun at the same time; an error of Hydria's is what it gives, too."""

    def run(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except HydriaError as error:
            return error

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def there(api: Api, resource: type[Declared], key: str) -> bool:
    with api.store.read() as tx:
        return rows.load_one(tx, resource, key) is not None


def test_longest_values_and_odd_letters_come_back(api: Api) -> None:
    text = json.dumps({"ключ": "\N{GRINNING FACE}" * 300, "a\\b": "'\"%"}, ensure_ascii=False)
    made = api.create(FlavorProfile, name="ß" * 255, provider_name="noop_driver", flavor_data=f"{text:4096}")
    name = "\N{GRINNING FACE}" * 255
    api.create(Flavor, name=name, flavor_profile_id=made["id"])
    with pytest.raises(Conflict):
        api.create(Flavor, name=name, flavor_profile_id=made["id"])
    # Names differ as their letters do.
    for other in ("gold", "Gold", "gold ", "göld"):
        api.create(Flavor, name=other, flavor_profile_id=made["id"])
    (found,) = api.all_of(FlavorProfile)
    assert (found.name, found.data) == ("ß" * 255, f"{text:4096}")
    zones = api.create(
        AvailabilityZoneProfile, name="p", provider_name="noop_driver", availability_zone_data="{}"
    )
    for each in (name, "west", "West"):
        api.create(AvailabilityZone, name=each, availability_zone_profile_id=zones["id"])
        assert there(api, AvailabilityZone, each)


def test_of_many_of_one_name_one_is_made(api: Api) -> None:
    kind = profile(api)
    made = at_once(*[lambda: api.create(Flavor, name="gold", flavor_profile_id=kind)] * 6)
    refused = [each for each in made if isinstance(each, HydriaError)]
    assert len(refused) == 5
    assert {str(each) for each in refused} == {"A flavor of gold already exists."}
    assert len(api.all_of(Flavor)) == 1


def test_a_profile_is_removed_while_a_flavor_is_made_of_it(api: Api) -> None:
    seen = set()
    for number in range(ROUNDS):
        kind = profile(api)
        works = [
            lambda kind=kind: api.delete(FlavorProfile, kind),
            lambda kind=kind, number=number: api.create(Flavor, name=f"f{number}", flavor_profile_id=kind),
        ]
        turned = number % 2
        removed, made = at_once(*works[:: -1 if turned else 1])[:: -1 if turned else 1]
        if isinstance(made, HydriaError):
            assert (type(made), removed) == (Invalid, None)
            assert str(made) == f"{kind} is not a valid option for flavor_profile_id"
        else:
            assert isinstance(removed, Conflict)
        assert there(api, FlavorProfile, kind) == (removed is not None)
        seen.add(type(made))
    assert len(api.all_of(Flavor)) == len(api.all_of(FlavorProfile))
    assert seen  # which of the two wins is the engine's affair


def test_a_profile_changes_while_a_flavor_is_made_of_it(api: Api) -> None:
    """A load balancer of the flavor is what the profile says once the flavor is there."""
    for number in range(ROUNDS):
        kind = profile(api, version=1)
        changed, made = at_once(
            lambda kind=kind: api.update(FlavorProfile, kind, flavor_data='{"version": 2}'),
            lambda kind=kind, number=number: api.create(Flavor, name=f"f{number}", flavor_profile_id=kind),
        )
        assert not isinstance(made, HydriaError)
        balancer = api.create(LoadBalancer, flavor_id=made["id"])
        expected = 1 if isinstance(changed, Conflict) else 2
        assert api.noop.calls[-1][1][0].flavor == {"version": expected}
        with pytest.raises(Conflict):
            api.update(FlavorProfile, kind, flavor_data='{"version": 3}')
        api.delete(LoadBalancer, balancer["id"])


@pytest.mark.parametrize("change", ["delete", "disable"])
def test_a_flavor_goes_while_load_balancers_are_made_with_it(api: Api, change: str) -> None:
    kind = profile(api)
    for number in range(ROUNDS):
        gold = api.create(Flavor, name=f"f{number}", flavor_profile_id=kind)["id"]

        def end(gold: str = gold) -> None:
            if change == "delete":
                api.delete(Flavor, gold)
            else:
                api.update(Flavor, gold, enabled=False)

        def order(gold: str = gold) -> Any:
            return api.create(LoadBalancer, flavor_id=gold)

        *made, ended = at_once(order, order, end) if number % 2 else at_once(end, order, order)[::-1]
        orders = [each for each in made if not isinstance(each, HydriaError)]
        for refusal in made:
            if refusal not in orders:
                assert isinstance(refusal, Invalid), repr(refusal)
        if change == "delete":
            assert (ended is None) == (not orders), (ended, made)
            assert there(api, Flavor, gold) == bool(orders)
            assert ended is None or isinstance(ended, Conflict)
        else:
            assert ended is None
            with pytest.raises(Invalid, match="is not allowed in this deployment"):
                order()
    living = {each.flavor_id for each in api.all(LoadBalancer) if each.provisioning_status != "DELETED"}
    assert living <= {each.id for each in api.all_of(Flavor)}
    assert len(list(api.network.ports())) == 0  # the noop provider's own are no ports of the network


def test_many_are_made_with_one_flavor_at_once(api: Api) -> None:
    gold = api.create(Flavor, name="gold", flavor_profile_id=profile(api))["id"]
    made = at_once(*[lambda: api.create(LoadBalancer, flavor_id=gold)] * 12)
    assert not [each for each in made if isinstance(each, HydriaError)]
    with pytest.raises(Conflict):
        api.delete(Flavor, gold)


def test_what_is_not_there(api: Api) -> None:
    for resource in (Flavor, FlavorProfile, AvailabilityZone, AvailabilityZoneProfile):
        with pytest.raises(NotFound):
            api.delete(resource, "00000000-0000-0000-0000-000000000000")
