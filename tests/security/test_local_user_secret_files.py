"""Users of the host look at, or change, the files of operators that hold secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria import settings
from hydria.drivers import secret_files
from hydria.model.errors import Invalid

CONFIGURATION = """[api_settings]
auth_strategy = http_basic
http_basic_auth_user_file = {0}/users
tls_certificate_file = {0}/tls.pem
tls_key_file = {0}/tls.key
[certificates]
storage_key_file = {0}/storage.key
ca_certificate = {0}/ca.pem
ca_private_key = {0}/ca.key
"""
SECRETS = ("users", "tls.key", "storage.key", "ca.key")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "hydria.conf").write_text(CONFIGURATION.format(tmp_path))
    for name in (*SECRETS, "tls.pem", "ca.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o644 if name.endswith(".pem") else 0o600)
    return tmp_path


def told(directory: Path) -> list[str]:
    """The files that a program warns of when it starts."""
    said = secret_files.exposed(settings.load([str(directory / "hydria.conf")]))
    return [Path(sentence.split()[0]).name for sentence in said]


def test_what_is_its_owners_and_groups_is_fine(directory: Path) -> None:
    assert told(directory) == []
    for name in SECRETS:
        (directory / name).chmod(0o640)
    assert told(directory) == []


@pytest.mark.parametrize("name", SECRETS)
def test_what_everybody_may_read_is_told_of(directory: Path, name: str) -> None:
    (directory / name).chmod(0o644)
    assert told(directory) == [name]
    (sentence,) = secret_files.exposed(settings.load([str(directory / "hydria.conf")]))
    assert f"(mode 644): chmod o-rwx {directory / name}" in sentence


@pytest.mark.parametrize("name", [*SECRETS, "hydria.conf"])
def test_what_everybody_may_write_is_refused(directory: Path, name: str) -> None:
    (directory / name).chmod(0o602)
    with pytest.raises(Invalid, match="can be changed by every user of this host"):
        secret_files.exposed(settings.load([str(directory / "hydria.conf")]))


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("connection = mysql+pymysql://hydria:word@db/hydria", True),
        ("transport_url = rabbit://:word@mq//", True),
        ("heartbeat_key = abc", True),
        ("password=x", True),
        ("admin_password : x", True),
        ("# connection = mysql+pymysql://hydria:word@db/hydria", False),
        ("; password = x", False),
        ("password =", False),
        ("connection = sqlite:////var/lib/hydria/hydria.db", False),
        ("connection = mysql+pymysql://db/hydria", False),
        ("bind_host = 192.0.2.1", False),
    ],
)
def test_a_configuration_is_secret_when_it_has_secrets(directory: Path, line: str, *, secret: bool) -> None:
    path = directory / "hydria.conf"
    path.write_text(f"{CONFIGURATION.format(directory)}[others]\n{line}\n")
    path.chmod(0o644)
    assert told(directory) == (["hydria.conf"] if secret else [])
    path.chmod(0o640)
    assert told(directory) == []
