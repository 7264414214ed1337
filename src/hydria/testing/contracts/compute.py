"""What every compute driver must do (drivers/compute/interface.py)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hydria.drivers.compute.interface import AmphoraSpec, ComputeDriver, ComputeStatus, Deletion, Selection

MakeSpec = Callable[[], AmphoraSpec]


class ComputeDriverContract:
    """For all drivers. Fixtures: ``driver``; ``make_spec``, which orders another amphora at each call."""

    def test_an_ordered_amphora_runs(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        spec = make_spec()
        built = driver.order(spec)
        assert (built.name, built.status) == (spec.name, ComputeStatus.RUNNING)
        assert built.lb_network_ip == spec.lb_network.port.addresses[0].address
        assert driver.get(built.compute_id) == driver.find(spec.name) == built
        assert list(driver.instances()) == [built]

    def test_ordering_again_returns_the_same(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        spec = make_spec()
        assert driver.order(spec) == driver.order(spec)
        assert len(list(driver.instances())) == 1

    def test_deleting_is_final_and_may_be_repeated(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        spec = make_spec()
        built = driver.order(spec)
        assert driver.delete(built.compute_id) is Deletion.GONE
        assert driver.get(built.compute_id) is None
        assert driver.find(spec.name) is None
        assert driver.delete(built.compute_id) is Deletion.GONE
        assert driver.delete("what never was") is Deletion.GONE
        assert list(driver.instances()) == []

    def test_what_was_deleted_can_be_ordered_again(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        spec = make_spec()
        driver.delete(driver.order(spec).compute_id)
        assert driver.order(spec).status is ComputeStatus.RUNNING

    def test_several_are_ordered_at_once(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        specs = [make_spec() for _ in range(8)]
        with ThreadPoolExecutor(4) as pool:
            built = list(pool.map(driver.order, specs))
        assert {instance.name for instance in driver.instances()} == {spec.name for spec in specs}
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(driver.delete, [instance.compute_id for instance in built]))
        assert list(driver.instances()) == []

    def test_it_can_be_prepared_more_than_once(self, driver: ComputeDriver) -> None:
        driver.prepare()
        driver.prepare()

    def test_the_default_is_to_be_had(self, driver: ComputeDriver) -> None:
        assert driver.refusal(Selection()) == ""

    def test_what_is_refused_is_a_sentence_that_names_it(self, driver: ComputeDriver) -> None:
        for selection in (Selection(flavor="odd"), Selection(image_tag="odd"), Selection(zone="odd")):
            said = driver.refusal(selection)
            assert not said or ("'odd'" in said and said.endswith("."))

    def test_cleaning_up_ends_all(self, driver: ComputeDriver, make_spec: MakeSpec) -> None:
        built = [driver.order(make_spec()) for _ in range(2)]
        driver.cleanup()
        assert [driver.get(instance.compute_id) for instance in built] == [None, None]
        assert list(driver.instances()) == []
        driver.cleanup()
