"""hydria.conf: upstream's names, our defaults, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria import settings
from hydria.model.errors import Invalid


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_defaults_start_a_working_deployment() -> None:
    loaded = settings.load()
    assert (loaded.api_settings.bind_host, loaded.api_settings.bind_port) == ("127.0.0.1", 9876)
    assert loaded.database_url == "sqlite:////var/lib/hydria/hydria.db"
    assert loaded.health_manager.heartbeat_interval == 10.0


def test_embedded_defaults_give_way_to_the_file(tmp_path: Path) -> None:
    assert settings.load(embedded=True).health_manager.heartbeat_interval == 1.0
    config = write(tmp_path / "a.conf", "[health_manager]\nheartbeat_interval = 3\n")
    assert settings.load([config], embedded=True).health_manager.heartbeat_interval == 3.0


def test_on_one_machine_the_driver_agent_s_sockets_are_in_the_state_directory(tmp_path: Path) -> None:
    assert settings.load().driver_agent.status_socket_path == "/var/run/octavia/status.sock"
    overrides: dict[str, dict[str, object]] = {"DEFAULT": {"state_dir": str(tmp_path)}}
    embedded = settings.load(embedded=True, overrides=overrides).driver_agent
    assert embedded.status_socket_path == str(tmp_path / "status.sock")
    assert embedded.stats_socket_path == str(tmp_path / "stats.sock")
    config = write(tmp_path / "a.conf", "[driver_agent]\nget_socket_path = /run/get.sock\n")
    assert settings.load([config], embedded=True).driver_agent.get_socket_path == "/run/get.sock"


def test_later_files_win_and_types_are_read(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.conf",
        "[DEFAULT]\ntransport_url = rabbit://a\ndebug = true\n[api_settings]\nbind_port = 1\n"
        "enabled_provider_drivers = amphora: one, ovn: two\n[networking]\nreserved_ips = 10.0.0.1, 10.0.0.2\n",
    )
    second = write(tmp_path / "b.conf", "[api_settings]\nbind_port = 2\n")
    loaded = settings.load([first, second])
    assert loaded.api_settings.bind_port == 2
    assert loaded.DEFAULT.transport_url == "rabbit://a"
    assert loaded.DEFAULT.debug is True
    assert loaded.api_settings.enabled_provider_drivers == {"amphora": "one", "ovn": "two"}
    assert loaded.networking.reserved_ips == ("10.0.0.1", "10.0.0.2")
    assert loaded.config_files == (first, second)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[api_settings]\nbind_port = eighty\n", "bind_port"),
        ("[api_settings]\nauth_strategy = magic\n", "auth_strategy"),
        ("no section\n", "a.conf"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        settings.load([write(tmp_path / "a.conf", text)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"missing\.conf"):
        settings.load([str(tmp_path / "missing.conf")])


def test_secrets_are_marked() -> None:
    secret = {option.name for _, options in settings.list_options() for option in options if option.secret}
    assert secret == {"transport_url", "connection", "heartbeat_key"}


@pytest.mark.parametrize("share", ["25", "-0.1", "a quarter"])
def test_a_share_is_a_number_from_0_to_1(tmp_path: Path, share: str) -> None:
    config = write(tmp_path / "a.conf", f"[health_manager]\nfailover_breaker_share = {share}\n")
    with pytest.raises(Invalid, match="failover_breaker_share"):
        settings.load([config])
