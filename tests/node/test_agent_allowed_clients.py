"""Access lists of UDP and SCTP listeners are filters of packets: who is taken off is cut off in the middle."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest

from hydria.wire.state import DesiredState, Service
from tests.node.agent_lab import ETH1, VIP, VIP6, Lab
from tests.node.datagram_lab import OUTSIDE, OUTSIDE6, POOL, Client, ask, echoes, udp

pytestmark = pytest.mark.node

OTHER, OTHER6 = "10.78.0.9", "fd78::9"
BEYOND = ("192.0.2.0/24", "2001:db8::/32")  # where no client of these tests is
FAMILIES = pytest.mark.parametrize(
    ("vip", "member", "one", "other"),
    [(VIP, OUTSIDE, OUTSIDE, OTHER), (VIP6, OUTSIDE6, OUTSIDE6, OTHER6)],
    ids=["ipv4", "ipv6"],
)


@pytest.fixture(autouse=True)
def _two_clients(lab: Lab) -> None:
    """Give the outside a second address of each family."""
    outside = lab.namespace.removesuffix("-a") + "-o"
    for address in (f"{OTHER}/24", f"{OTHER6}/64 nodad"):
        command = ["ip", "-n", outside, "addr", "add", *address.split(), "dev", "out1"]
        subprocess.run(command, check=True, timeout=10)


@FAMILIES
def test_an_entry_that_is_removed_ends_the_flow_of_its_client(
    lab: Lab, vip: str, member: str, one: str, other: str
) -> None:
    with echoes(lab, 1, member) as (echo,), ExitStack() as stack:
        stays, leaves = (stack.enter_context(Client(lab, vip, source=source)) for source in (one, other))
        lab.apply(udp(1, echo.target, allowed=(one, other, *BEYOND)))
        assert (stays.ask(), leaves.ask()) == ("m1", "m1")
        lab.apply(udp(2, echo.target, allowed=(one, *BEYOND)))
        assert leaves.ask() == ""
        assert stays.ask() == "m1"
        assert _flows_of(lab, leaves) == 0
        assert _flows_of(lab, stays) == 1
        # Back on the list, it is served again.
        lab.apply(udp(3, echo.target, allowed=(one, other)))
        assert leaves.ask() == "m1"


@FAMILIES
@pytest.mark.parametrize("allowed", [BEYOND, BEYOND[:1], BEYOND[1:]], ids=["both", "ipv4 only", "ipv6 only"])
def test_a_list_where_there_was_none_ends_flows(
    lab: Lab, vip: str, member: str, one: str, other: str, allowed: tuple[str, ...]
) -> None:
    with echoes(lab, 1, member) as (echo,), ExitStack() as stack:
        clients = [stack.enter_context(Client(lab, vip, source=source)) for source in (one, other)]
        lab.apply(udp(1, echo.target))
        assert [client.ask() for client in clients] == ["m1", "m1"]
        lab.apply(udp(2, echo.target, allowed=allowed))
        assert [client.ask() for client in clients] == ["", ""]
        # Without the list again, all are.
        lab.apply(udp(3, echo.target))
        assert [client.ask() for client in clients] == ["m1", "m1"]


@pytest.mark.parametrize("removed", [False, True], ids=["the member stays", "the member goes, too"])
def test_an_answer_under_way_does_not_reach_who_is_off_the_list(lab: Lab, *, removed: bool) -> None:
    with echoes(lab, 2) as (one, two), Client(lab) as client, Client(lab, source=OTHER) as allowed:
        lab.apply(udp(1, one.target))
        assert (client.ask(), allowed.ask()) == ("m1", "m1")
        one.asked.clear()
        one.may_answer.clear()
        client.socket.send(b"?")
        assert one.asked.wait(10)
        allowed.socket.send(b"?")
        lab.apply(udp(2, two.target if removed else one.target, allowed=(OTHER,)))
        one.may_answer.set()
        # This answer leaves after the other one.
        assert allowed.socket.recv(100).startswith(b"m1")
        with pytest.raises(TimeoutError):
            client.socket.recv(100)


def test_flows_of_another_listener_go_on(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two), Client(lab) as client, Client(lab, port=54) as elsewhere:
        other = Service("11111111-0000-4000-8000-000000000054", POOL, "udp", (VIP, VIP6), 54, (two.target,))

        def both(generation: int, **more: object) -> DesiredState:
            (service,) = udp(generation, one.target, **more).services
            return DesiredState(generation, interfaces=(ETH1,), services=(service, other))

        lab.apply(both(1))
        assert (client.ask(), elsewhere.ask()) == ("m1", "m2")
        lab.apply(both(2, allowed=BEYOND))
        assert (client.ask(), elsewhere.ask()) == ("", "m2")
        assert (_flows_of(lab, client), _flows_of(lab, elsewhere)) == (0, 1)


def test_who_is_off_the_list_takes_no_place_of_the_limit(lab: Lab) -> None:
    with echoes(lab, 1) as (echo,), Client(lab) as client:
        lab.apply(udp(1, echo.target, limit=1))
        assert client.ask() == "m1"
        assert ask(lab, times=1, source=OTHER) == ""
        lab.apply(udp(2, echo.target, limit=1, allowed=(OTHER,)))
        assert client.ask(1) == ""
        assert ask(lab, source=OTHER) == "m1"


def _flows_of(lab: Lab, client: Client) -> int:
    """How many flows the amphora tracks of a client's socket."""
    port = client.socket.getsockname()[1]
    return lab.in_amphora("cat", "/proc/net/nf_conntrack").count(f" sport={port} ")
