"""What every amphora driver must do (drivers/amphora/interface.py)."""

from __future__ import annotations

import time

import pytest

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.model.amphora import Amphora
from hydria.model.errors import Lacking, Outdated, Refused, Superseded, Unreachable
from hydria.wire.capabilities import Capability
from hydria.wire.state import DesiredState, File


class AmphoraDriverContract:
    """For all drivers. Fixtures: ``driver``; ``amphora``, new, with an agent that answers."""

    def test_an_agent_that_answers_is_ready_and_alive(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        driver.await_ready(amphora, 10)
        assert driver.alive(amphora)
        assert driver.capabilities(amphora) <= frozenset(Capability)

    def test_a_state_is_applied(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        assert driver.apply(amphora, DesiredState(3)).generation == 3

    def test_applying_again_changes_nothing(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        driver.apply(amphora, DesiredState(3))
        again = driver.apply(amphora, DesiredState(3))
        assert (again.generation, again.reloaded) == (3, False)

    def test_an_older_state_is_a_conflict(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        driver.apply(amphora, DesiredState(3))
        with pytest.raises(Outdated) as refusal:
            driver.apply(amphora, DesiredState(2))
        assert refusal.value.generation == 3

    def test_a_term_below_one_that_came_before_is_over(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        """Whatever the generation: a later holder of the lease has the load balancer."""
        driver.apply(amphora, DesiredState(3, term=7))
        for generation in (3, 4):
            with pytest.raises(Superseded) as refusal:
                driver.apply(amphora, DesiredState(generation, term=6))
            assert refusal.value.term == 7
        again = driver.apply(amphora, DesiredState(3, term=8))
        assert (again.generation, again.reloaded) == (3, False)

    def test_also_a_state_that_is_not_applied_begins_its_term(
        self, driver: AmphoraDriver, amphora: Amphora
    ) -> None:
        driver.apply(amphora, DesiredState(3, term=7))
        with pytest.raises(Outdated):
            driver.apply(amphora, DesiredState(2, term=8))
        with pytest.raises(Superseded) as refusal:
            driver.apply(amphora, DesiredState(4, term=7))
        assert refusal.value.term == 8


class AmphoraNetworkContract(AmphoraDriverContract):
    """For drivers that talk to agents.

    Fixtures besides: ``absent``, an amphora that nobody answers for; ``refused``, a state that the agent of
    ``amphora`` refuses.
    """

    def test_a_refused_state_says_why_and_by_whom(
        self, driver: AmphoraDriver, amphora: Amphora, refused: DesiredState
    ) -> None:
        with pytest.raises(Refused) as refusal:
            driver.apply(amphora, refused)
        assert amphora.id in refusal.value.message
        # The owner reads it, to whom the LB network is nothing.
        assert str(amphora.lb_network_ip) not in refusal.value.message
        assert driver.apply(amphora, DesiredState(refused.generation)).generation == refused.generation

    def test_what_an_agent_does_not_have_is_named(self, driver: AmphoraDriver, amphora: Amphora) -> None:
        file = File("kept.ca", "a certificate\n")
        driver.apply(amphora, DesiredState(6, files=(file,)))
        kept = File("kept.ca", None)
        assert driver.apply(amphora, DesiredState(7, files=(kept,))).generation == 7
        with pytest.raises(Lacking) as lacking:
            driver.apply(amphora, DesiredState(8, files=(kept, File("other.ca", None))))
        assert lacking.value.names == {"other.ca"}
        assert amphora.id in lacking.value.message

    def test_nobody_there_is_unreachable(self, driver: AmphoraDriver, absent: Amphora) -> None:
        assert not driver.alive(absent)
        with pytest.raises(Unreachable):
            driver.capabilities(absent)
        with pytest.raises(Unreachable) as unreachable:
            driver.apply(absent, DesiredState(1))
        assert absent.id in unreachable.value.message
        assert str(absent.lb_network_ip) in unreachable.value.message

    def test_waiting_ends_in_time(self, driver: AmphoraDriver, absent: Amphora) -> None:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            driver.await_ready(absent, 0.3)
        assert time.monotonic() - began < 1.5
