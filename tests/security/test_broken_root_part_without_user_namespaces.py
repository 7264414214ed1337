"""The same where the kernel gives no user namespaces: root inside is root by number, and still not by deed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from tests import driver_lab
from tests.security import box_lab
from tests.security.box_lab import Box, namespaces_of, uid
from tests.security.test_broken_root_part_boxes import (
    test_capabilities_are_those_of_each_day_and_bound_to_its_own_namespaces,
    test_files_cannot_be_opened_by_their_numbers,
    test_none_of_the_hosts_files_is_there_but_what_it_runs_on,
    test_settings_of_its_own_network_can,
    test_settings_of_the_host_cannot_be_written,
    test_what_is_there_cannot_be_written,
)

pytestmark = pytest.mark.node

__all__ = [
    "test_capabilities_are_those_of_each_day_and_bound_to_its_own_namespaces",
    "test_files_cannot_be_opened_by_their_numbers",
    "test_none_of_the_hosts_files_is_there_but_what_it_runs_on",
    "test_settings_of_its_own_network_can",
    "test_settings_of_the_host_cannot_be_written",
    "test_what_is_there_cannot_be_written",
]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with driver_lab.host(tmp_path_factory.mktemp("box")) as host, pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.compute._launcher, "make", lambda _room: "unshare: No space left on device")
        yield box_lab.build(host)


def test_it_has_all_other_namespaces_of_its_own(box: Box) -> None:
    assert uid(box.root) == 0
    hosts = namespaces_of(os.getpid())
    shared = {kind for kind, which in namespaces_of(box.root).items() if which == hosts[kind]}
    assert shared <= {"user", "time", "time_for_children"}


def test_its_operator_is_told(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        other = box_lab.build(box.host)
    assert (
        f"Amphora {other.amphora_id} has no user namespace (unshare: No space left on device)" in caplog.text
    )
    box.host.compute.delete(other.name)
