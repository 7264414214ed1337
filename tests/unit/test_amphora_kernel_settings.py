"""Settings of an amphora's network are read back: what protects is there, or the amphora does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria.amphora import kernel


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "Path", lambda text: tmp_path if text == "/proc/sys/net" else Path(text))
    return tmp_path


@pytest.mark.parametrize("name", ["ipv4/ip_forward", "ipv4/conf/eth0/forwarding", "ipv6/conf/eth0/accept_ra"])
def test_what_protects_and_is_not_there_is_an_error(
    proc: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _deaf(proc, name, monkeypatch)
    with pytest.raises(OSError, match="it is 1"):
        kernel.set_network(name, "0")


def test_what_does_not_protect_is_said(
    proc: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _deaf(proc, "core/somaxconn", monkeypatch)
    kernel.set_network("core/somaxconn", "65535")
    assert "to 65535: it is 1" in "".join(capfd.readouterr())


def test_settings_are_written_and_those_of_other_kernels_left_out(proc: Path) -> None:
    (proc / "core").mkdir()
    (proc / "core" / "somaxconn").write_text("1")
    kernel.set_network("core/somaxconn", "65535")
    assert (proc / "core" / "somaxconn").read_text() == "65535"
    kernel.set_network("ipv6/conf/all/forwarding", "0")


def _deaf(proc: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that takes whatever is written, and stays 1."""
    path = proc / name
    path.parent.mkdir(parents=True)

    class Deaf(type(path)):  # type: ignore[misc]
        def write_text(self, text: str) -> int:  # type: ignore[override]
            return len(text)

        def __truediv__(self, other: str) -> Path:
            return Deaf(super().__truediv__(other))

    path.write_text("1")
    monkeypatch.setattr(kernel, "Path", lambda _text: Deaf(proc))
