"""What the operator is told about the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydria import controllers, settings
from hydria.drivers import host


def test_every_sentence_says_what_to_do() -> None:
    for sentence in host.missing():
        assert sentence.endswith(".")
        assert ":" in sentence or "kernel" in sentence


def test_root_is_asked_for_by_whoever_is_not() -> None:
    told = any("need root" in sentence for sentence in host.missing())
    assert told is (os.geteuid() != 0)


def test_programs_are_found_beyond_the_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert host.find("sh") is not None
    assert host.find("no-such-program") is None


def test_the_environment_of_programs_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    assert "secret" not in host.environment().values()


def test_numbers_that_a_container_lacks_keep_amphorae_from_user_namespaces() -> None:
    assert host.weaker(0x7000_0000) == []
    (sentence,) = host.weaker(0xFFFF_FFFF)
    assert "this container has not the numbers 4294967295" in sentence


def test_a_configuration_file_is_told_of_when_there_is_a_password_in_it(tmp_path: Path) -> None:
    for text, told in (("[DEFAULT]\ndebug = true\n", 0), ("[database]\nconnection = mysql://u:p@h/d\n", 1)):
        path = tmp_path / "hydria.conf"
        path.write_text(text)
        path.chmod(0o644)
        found = controllers.weak_places(settings.load([str(path)]))
        assert len([sentence for sentence in found if str(path) in sentence]) == told
