"""What every network driver must do (drivers/network/interface.py)."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from hydria.drivers.network.interface import FixedAddress, NetworkDriver, Port, Viewer
from hydria.model.errors import Conflict, Invalid, NotFound


class NetworkDriverContract:
    """For all drivers. Fixtures: ``driver``, prepared, with nothing made in it."""

    def test_preparing_again_changes_nothing(self, driver: NetworkDriver) -> None:
        before = driver.lb_network_id
        driver.prepare()
        assert driver.lb_network_id == before

    def test_what_it_names_can_be_looked_up(self, driver: NetworkDriver) -> None:
        for network in (driver.network(driver.lb_network_id), *driver.networks()):
            assert driver.network(network.id) == network
            assert network.mtu >= 1280
            for subnet in map(driver.subnet, network.subnet_ids):
                assert subnet.network_id == network.id
                assert ipaddress.ip_network(subnet.cidr).version == subnet.version

    def test_the_default_subnet_is_one_that_tenants_can_use(self, driver: NetworkDriver) -> None:
        default = driver.default_vip_subnet_id
        usable = [subnet_id for network in driver.networks() for subnet_id in network.subnet_ids]
        assert default is None or default in usable

    def test_a_port_can_be_plugged_and_addressed(self, driver: NetworkDriver) -> None:
        port = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
        assert driver.port(port.id) == port
        assert (port.network_id, port.name, port.owner) == (driver.lb_network_id, "one", "amphora-1")
        assert {each.subnet_id for each in port.addresses} == set(
            driver.network(driver.lb_network_id).subnet_ids
        )
        for each in port.addresses:
            assert _in_subnet(driver, each)
        first = int(port.mac.split(":")[0], 16)
        assert len(port.mac.split(":")) == 6
        assert first & 1 == 0, "a unicast address"

    def test_ports_are_found_by_their_owner(self, driver: NetworkDriver) -> None:
        one = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
        other = driver.create_port(driver.lb_network_id, name="other", owner="amphora-2")
        assert [port.id for port in driver.ports("amphora-1")] == [one.id]
        assert {port.id for port in driver.ports()} == {one.id, other.id}
        assert list(driver.ports("amphora-3")) == []

    def test_a_vip_is_plugged_and_unplugged_as_often_as_one_likes(self, driver: NetworkDriver) -> None:
        port = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
        vip = driver.create_port(driver.lb_network_id, name="vip", owner="lb-1").addresses[0].address
        for _ in range(2):
            driver.plug_vip(port.id, [vip])
        for _ in range(2):
            driver.unplug_vip(port.id, [vip])
        driver.delete_port(port.id)
        driver.unplug_vip(port.id, [vip])

    def test_who_may_not_see_everything_sees_the_same_shapes(self, driver: NetworkDriver) -> None:
        view = driver.seen_by(Viewer("a project", "a token"))
        for network in driver.networks():
            assert view.network(network.id) == network

    def test_addresses_are_counted_or_not(self, driver: NetworkDriver) -> None:
        for subnet_id in driver.network(driver.lb_network_id).subnet_ids:
            before = driver.free_addresses(subnet_id)
            port = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
            if before is not None:
                assert driver.free_addresses(subnet_id) == before - 1
            driver.delete_port(port.id)
            assert driver.free_addresses(subnet_id) == before

    def test_a_port_without_guards_stays_without(self, driver: NetworkDriver) -> None:
        port = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
        for _ in range(2):
            driver.guard_port(port.id, security_group_ids=(), qos_policy_id="")
        assert driver.port(port.id) == port

    def test_making_a_port_again_returns_it(self, driver: NetworkDriver) -> None:
        first = driver.create_port(driver.lb_network_id, name="one", owner="amphora-1")
        assert driver.create_port(driver.lb_network_id, name="one", owner="amphora-1") == first
        assert [port.id for port in driver.ports()] == [first.id]

    def test_a_chosen_address_is_given(self, driver: NetworkDriver) -> None:
        wanted = _some_address(driver)
        port = driver.create_port(driver.lb_network_id, name="one", owner="lb-1", addresses=[wanted])
        assert port.addresses == (wanted,)

    def test_ports_tell_their_owners(self, driver: NetworkDriver) -> None:
        for number in range(3):
            driver.create_port(driver.lb_network_id, name=f"port-{number}", owner=f"amphora-{number}")
        assert {port.owner for port in driver.ports()} == {"amphora-0", "amphora-1", "amphora-2"}

    def test_deleting_is_final_and_may_be_repeated(self, driver: NetworkDriver) -> None:
        port = driver.create_port(driver.lb_network_id, name="one", owner="lb-1")
        driver.delete_port(port.id)
        driver.delete_port(port.id)
        driver.delete_port(str(uuid4()))
        assert list(driver.ports()) == []

    def test_cleaning_up_leaves_no_port(self, driver: NetworkDriver) -> None:
        driver.create_port(driver.lb_network_id, name="one", owner="lb-1")
        driver.cleanup()
        assert list(driver.ports()) == []
        driver.cleanup()

    def test_what_is_closed_to_members_are_networks(self, driver: NetworkDriver) -> None:
        for network in driver.closed_to_members():
            assert ipaddress.ip_network(network)

    def test_keeping_the_networks_changes_nothing_that_is_as_it_was(self, driver: NetworkDriver) -> None:
        port = driver.create_port(driver.lb_network_id, name="one", owner="lb-1")
        driver.keep()
        driver.keep()
        assert [each.id for each in driver.ports()] == [port.id]

    def test_heartbeats_have_an_address_to_go_to(self, driver: NetworkDriver) -> None:
        assert ipaddress.ip_address(driver.controller_address())


class NetworkAllocationContract(NetworkDriverContract):
    """For drivers of a real service, which knows what there is and gives each address once."""

    def test_what_does_not_exist_is_not_found(self, driver: NetworkDriver) -> None:
        for look_up in (driver.network, driver.subnet, driver.port, driver.security_group, driver.qos_policy):
            for identifier in (str(uuid4()), "../../etc/passwd", ""):
                with pytest.raises(NotFound):
                    look_up(identifier)
        with pytest.raises(NotFound):
            driver.create_port(str(uuid4()), name="one", owner="lb-1")

    def test_a_taken_address_is_a_conflict(self, driver: NetworkDriver) -> None:
        """By whom is not said: whoever asks may not know of the other one."""
        wanted = _some_address(driver)
        holder = driver.create_port(driver.lb_network_id, name="one", owner="lb-1", addresses=[wanted])
        with pytest.raises(Conflict) as refused:
            driver.create_port(driver.lb_network_id, name="two", owner="lb-2", addresses=[wanted])
        assert wanted.address in refused.value.message
        assert holder.id not in refused.value.message
        assert [port.id for port in driver.ports()] == [holder.id]

    def test_a_deleted_ports_address_is_free(self, driver: NetworkDriver) -> None:
        wanted = _some_address(driver)
        port = driver.create_port(driver.lb_network_id, name="one", owner="lb-1", addresses=[wanted])
        driver.delete_port(port.id)
        again = driver.create_port(driver.lb_network_id, name="two", owner="lb-2", addresses=[wanted])
        assert again.addresses == (wanted,)

    def test_addresses_that_no_port_can_have_are_invalid(self, driver: NetworkDriver) -> None:
        subnet = driver.subnet(driver.network(driver.lb_network_id).subnet_ids[0])
        block = ipaddress.ip_network(subnet.cidr)
        outside = str(block.network_address + block.num_addresses)
        for address in (str(block.network_address), str(block[1]), outside, "not an address"):
            with pytest.raises(Invalid):
                driver.create_port(
                    driver.lb_network_id,
                    name=address,
                    owner="lb-1",
                    addresses=[FixedAddress(subnet.id, address)],
                )
        assert list(driver.ports()) == []

    def test_many_at_once_get_an_address_each(self, driver: NetworkDriver) -> None:
        def make(number: int) -> Port:
            return driver.create_port(driver.lb_network_id, name=f"port-{number % 40}", owner="lb-1")

        with ThreadPoolExecutor(8) as pool:
            ports = {port.id: port for port in pool.map(make, range(80))}
        assert len(ports) == 40
        given = [each.address for port in ports.values() for each in port.addresses]
        assert len(given) == len(set(given))


def _some_address(driver: NetworkDriver) -> FixedAddress:
    subnet_id = driver.network(driver.lb_network_id).subnet_ids[0]
    return FixedAddress(subnet_id, str(ipaddress.ip_network(driver.subnet(subnet_id).cidr)[7]))


def _in_subnet(driver: NetworkDriver, each: FixedAddress) -> bool:
    return ipaddress.ip_address(each.address) in ipaddress.ip_network(driver.subnet(each.subnet_id).cidr)
