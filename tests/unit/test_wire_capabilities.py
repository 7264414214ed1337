"""What versions of HAProxy can do, and what agents report."""

import pytest

from hydria.wire import capabilities
from hydria.wire.capabilities import Capability


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.6.12-1+deb12u4", set()),
        ("2.8.5", set()),
        ("3.0.11-1+deb13u4", {Capability.SERVER_COOKIES, Capability.STUCK_RETRIES}),
        (
            "3.2-dev3",
            {
                Capability.SERVER_COOKIES,
                Capability.STUCK_RETRIES,
                Capability.INITIAL_STATE,
                Capability.LUA_BOOLEANS,
            },
        ),
        ("3.4.7-1", {Capability.SERVER_COOKIES, Capability.INITIAL_STATE, Capability.LUA_BOOLEANS}),
        ("10.0", {Capability.SERVER_COOKIES, Capability.INITIAL_STATE, Capability.LUA_BOOLEANS}),
        ("", set()),
        ("unknown", set()),
    ],
)
def test_versions(version: str, expected: set[Capability]) -> None:
    assert capabilities.of_version(version) == expected


def test_every_capability_has_its_versions() -> None:
    versions = [f"{major}.{minor}" for major in (2, 3) for minor in range(10)]
    assert frozenset().union(*map(capabilities.of_version, versions)) == set(Capability)


def test_what_a_newer_agent_reports_besides_is_left_alone() -> None:
    assert capabilities.known(["server-cookies", "flying", 3]) == {Capability.SERVER_COOKIES}
    assert capabilities.known([]) == capabilities.NONE
