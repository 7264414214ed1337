"""Users of the host: what is the amphorae's is not theirs, whatever numbers and directories they have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydria import cli, controllers
from hydria.drivers import state_dir
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.compute import namespaces, user_ids
from hydria.model.errors import DriverError, Invalid
from tests import driver_lab
from tests.driver_lab import Host
from tests.security import box_lab

pytestmark = pytest.mark.node

OWNER = 64000


@pytest.fixture
def shared(place: Path) -> Iterator[Host]:
    """A deployment whose state directory is not root's, as where the API is another user's than the worker."""
    own = place / "state"
    own.mkdir(mode=0o755)
    os.chown(own, OWNER, OWNER)
    with driver_lab.host(own, "sh", "-c", "exec sleep 600") as host:
        yield host


@pytest.fixture
def roots(place: Path) -> Path:
    """A directory and a file of root's."""
    (place / "roots").mkdir(mode=0o755)
    (place / "roots" / "file").write_text("of root\n")
    return place / "roots"


def test_an_amphoras_number_does_not_open_its_boot_directory(place: Path) -> None:
    """Whoever has it (by /etc/subuid) had HAProxy's admin socket, and with it the listening sockets."""
    with box_lab.running(place) as (box,):
        user = box_lab.uid(box.agent)
        for closed in (box.boot_dir / "work", box.boot_dir, box.boot_dir.parent):
            done = subprocess.run(
                ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "ls", str(closed)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "Permission denied" in done.stderr, closed


@pytest.mark.parametrize("file", ["subuid", "subgid", "passwd", "group"])
@pytest.mark.parametrize("inside", ["user", "root"])
def test_numbers_that_others_have_are_refused(tmp_path: Path, file: str, inside: str) -> None:
    first = 700_000
    number = dict(zip(("user", "root"), user_ids.of(first, 100), strict=True))[inside]
    line = f"ninth:{number}:65536" if file.startswith("sub") else f"ninth:x:{number}:{number}::/:"
    (tmp_path / file).write_text(f"# a comment\nfirst:100000:65536\n+\n{line}\n")
    with pytest.raises(Invalid, match=rf"first_user = 700000: .* ninth has {number} .*/{file}"):
        user_ids.check(first, 101, tmp_path)
    user_ids.check(first, 100, tmp_path)  # one less, and nobody else's
    user_ids.check(number + 65536, 101, tmp_path)


def test_nothing_starts_with_numbers_that_others_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "subuid").write_text("ninth:624288:65536\n")
    settings = driver_lab.settings(tmp_path, netns={"first_user": 640_000})
    check = user_ids.check
    monkeypatch.setattr(user_ids, "check", lambda *arguments: check(*arguments, tmp_path))
    with pytest.raises(Invalid, match="ninth has 624288 to 689823"):
        controllers.check(settings)
    controllers.check(driver_lab.settings(tmp_path))
    (tmp_path / "hydria.conf").write_text("[netns]\nfirst_user = 640000\n")
    where = ["--state-dir", str(tmp_path), "--config-file", str(tmp_path / "hydria.conf")]
    assert cli.main(["status", "check", *where]) == 2
    assert "missing: [netns] first_user = 640000" in capsys.readouterr().out


def test_no_amphora_is_built_with_a_number_that_somebody_was_given_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver_lab.host(tmp_path / "state") as host:
        (tmp_path / "subuid").write_text(f"ninth:{host.settings.netns.first_user}:65536\n")
        check = user_ids.check
        monkeypatch.setattr(user_ids, "check", lambda *arguments: check(*arguments, tmp_path))
        with pytest.raises((DriverError, Invalid), match="ninth has"):
            host.compute.order(host.order())
        assert list(host.compute.instances()) == []


def test_a_boot_directory_cannot_be_swapped_while_it_is_used(
    shared: Host, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the directory above put his own in its place: a log that is root's file, a user that is 0."""
    spec = shared.order()
    amphorae = shared.settings.state_dir / "amphorae"
    create = namespaces.create

    def swap(*arguments: object) -> None:
        create(*arguments)
        amphorae.rename(amphorae.with_name("away"))
        (amphorae / spec.amphora_id).mkdir(parents=True)
        (amphorae / spec.amphora_id / "agent.log").symlink_to(roots / "file")
        for path in (amphorae, amphorae / spec.amphora_id):
            os.chown(path, OWNER, OWNER)

    monkeypatch.setattr(namespaces, "create", swap)
    with pytest.raises(DriverError, match=rf"belongs to the user {OWNER}"):
        shared.compute.order(spec)
    assert (roots / "file").read_text() == "of root\n"
    assert shared.compute.get(f"hy{(amphorae.parent / 'instance').read_text()}-{spec.amphora_id[:8]}") is None


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("amphorae", lambda host: host.compute.order(host.order())),
        ("locks", lambda host: host.compute.order(host.order())),
        ("network", lambda host: host.port("port")),
        ("ca", lambda host: LocalCertificateAuthority(host.settings).client_certificate),
    ],
)
def test_links_in_it_do_not_lead_root_elsewhere(
    shared: Host, roots: Path, name: str, make: Callable[[Host], object]
) -> None:
    place = shared.settings.state_dir / name
    if place.exists():
        place.rename(place.with_name("away"))
    place.symlink_to(roots)
    with pytest.raises((DriverError, OSError)):
        make(shared)
    assert [path.name for path in roots.iterdir()] == ["file"]
    assert (roots.stat().st_uid, roots.stat().st_mode & 0o777) == (0, 0o755)
    place.unlink()
    if place.with_name("away").exists():
        place.with_name("away").rename(place)


def test_what_root_makes_for_all_is_the_owners_and_the_rest_is_roots(shared: Host) -> None:
    LocalCertificateAuthority(shared.settings).client_certificate  # noqa: B018  (makes it)
    spec = shared.order()
    shared.compute.order(spec)
    found = {path.name: path.stat().st_uid for path in shared.settings.state_dir.iterdir()}
    assert {name: found[name] for name in ("network", "ca", "amphorae", "locks")} == {
        "network": OWNER,
        "ca": OWNER,
        "amphorae": 0,
        "locks": 0,
    }
    assert (shared.settings.state_dir / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (os.geteuid(), Path("/proc/thread-self").stat().st_uid) == (0, 0)


def test_amphorae_of_an_earlier_version_are_found_and_removed(shared: Host) -> None:
    """It gave the directory that they are in to the owner of state_dir."""
    built = shared.compute.order(shared.order())
    amphorae = shared.settings.state_dir / "amphorae"
    os.chown(amphorae, OWNER, OWNER)
    amphorae.chmod(0o711)
    record = next(amphorae.glob("*/instance.json"))
    record.write_text(
        record.read_text()
        .replace(', "root": ', ', "root": 0, "user": 640001, "rest": ')
        .partition(', "rest"')[0]
        + "}"
    )
    (found,) = shared.compute.instances()
    assert found == built
    assert (amphorae.stat().st_uid, amphorae.stat().st_mode & 0o777) == (0, 0o700)
    shared.compute.delete(built.compute_id)
    assert list(amphorae.iterdir()) == []


def test_a_directory_of_somebody_else_is_not_worked_in(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    os.chown(tmp_path / "own", OWNER, OWNER)
    with (
        pytest.raises(DriverError, match=f"belongs to the user {OWNER}"),
        state_dir.own_directory(tmp_path / "own"),
    ):
        pass
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with state_dir.own_directory(tmp_path / "open") as path:
        assert path.stat().st_mode & 0o777 == 0o700


def test_an_owner_who_cannot_get_there_is_told_of(shared: Host, place: Path) -> None:
    place.chmod(0o700)
    try:
        with pytest.raises(DriverError, match=f"belongs to the user {OWNER}, who cannot get there"):
            shared.port("port")
    finally:
        place.chmod(0o755)
