"""What the operator is told about the host."""

from __future__ import annotations

import os

import pytest

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
