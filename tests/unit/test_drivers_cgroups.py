"""Limits of amphorae, on either version of control groups (here: directories that look like them)."""

from pathlib import Path

import pytest

from hydria.drivers.compute import sizes
from hydria.drivers.compute.cgroups import ControlGroups, Hierarchy, hierarchies
from hydria.drivers.compute.sizes import Size
from hydria.settings import NetnsSettings

SIZE = sizes.of(NetnsSettings(memory_limit_mb=64, cpu_limit=0.5), "")
ALL = frozenset({"memory", "cpu", "pids"})


def test_hierarchies_of_either_version_are_found(tmp_path: Path) -> None:
    unified = tmp_path / "unified"
    unified.mkdir()
    (unified / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        "cgroup /cg/cpu cgroup rw,relatime,cpu,cpuacct 0 0\n"
        "cgroup /cg/freezer cgroup rw,freezer 0 0\n"
        f"cgroup2 {unified} cgroup2 rw 0 0\n"
    )
    assert hierarchies(mounts) == [
        Hierarchy(Path("/cg/cpu"), frozenset({"cpu"}), unified=False),
        Hierarchy(unified, ALL, unified=True),
    ]


def test_version_1_limits(tmp_path: Path) -> None:
    groups = ControlGroups("a1b2c3", [Hierarchy(tmp_path, ALL, unified=False)])
    (join,) = groups.create("one", SIZE)
    group = tmp_path / "hydria-a1b2c3" / "one"
    assert join == group / "cgroup.procs"
    limits = {path.name: path.read_text() for path in group.iterdir()}
    assert limits == {
        "memory.limit_in_bytes": str(64 * 1024 * 1024),
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "pids.max": "512",
    }


def test_version_2_limits_and_what_they_need_above(tmp_path: Path) -> None:
    groups = ControlGroups("a1b2c3", [Hierarchy(tmp_path, ALL, unified=True)])
    groups.create("one", SIZE)
    parent = tmp_path / "hydria-a1b2c3"
    for each in (tmp_path, parent):
        assert (each / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    limits = {path.name: path.read_text() for path in (parent / "one").iterdir()}
    assert limits == {"memory.max": str(64 * 1024 * 1024), "cpu.max": "50000 100000", "pids.max": "512"}


def test_zero_is_no_limit(tmp_path: Path) -> None:
    ControlGroups("a1b2c3", [Hierarchy(tmp_path, ALL, unified=False)]).create("one", Size(0, 0))
    assert [path.name for path in (tmp_path / "hydria-a1b2c3" / "one").iterdir()] == ["pids.max"]


def test_sizes_by_name_beside_the_default() -> None:
    options = NetnsSettings(compute_flavors={"small": "64/0.5", "odd": "64 MB"})
    assert sizes.of(options, "") == Size(256, 1.0)
    assert sizes.of(options, "small") == Size(64, 0.5)
    assert sizes.refusal(options, "small") == ""
    assert sizes.refusal(options, "large") == (
        "compute_flavor 'large' is not one of [netns] compute_flavors: odd, small."
    )
    assert "'64 MB' should be megabytes/processors" in sizes.refusal(options, "odd")


def test_a_host_without_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    groups = ControlGroups("a1b2c3", [])
    assert groups.create("one", SIZE) == []
    groups.remove("one")
    groups.cleanup()
    assert [record.message for record in caplog.records] == [
        "This host has no control groups for cpu, memory, pids: amphorae run without."
    ]


def test_groups_that_cannot_be_made_do_not_stop_an_amphora(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hydria-a1b2c3").write_text("in the way")
    groups = ControlGroups("a1b2c3", [Hierarchy(tmp_path, ALL, unified=False)])
    assert groups.create("one", SIZE) == []
    assert "No limits for one" in caplog.text
