"""What MariaDB and MySQL say of themselves, and what follows from it."""

import pytest

from hydria.model.errors import Invalid
from hydria.store.dialects import Server


@pytest.mark.parametrize(
    ("said", "kind", "version"),
    [
        ("10.11.19-MariaDB-0+deb12u1", "MariaDB", (10, 11, 19)),
        ("11.8.2-MariaDB-ubu2404", "MariaDB", (11, 8, 2)),
        ("10.6.22-mariadb", "MariaDB", (10, 6, 22)),
        ("8.0.17", "MySQL", (8, 0, 17)),
        ("8.0.43-0ubuntu0.24.04.1", "MySQL", (8, 0, 43)),
        ("8.0.42-33.1", "MySQL", (8, 0, 42)),
        ("8.4.6", "MySQL", (8, 4, 6)),
        ("9.7.4-2", "MySQL", (9, 7, 4)),
    ],
)
def test_which_server_it_is(said: str, kind: str, version: tuple[int, ...]) -> None:
    assert Server.of(said) == Server(kind, version)


@pytest.mark.parametrize(
    "said", ["5.7.44-log", "8.0.16", "5.5.68-MariaDB", "10.2.44-MariaDB", "8.0.11-TiDB-v7.5.1", "", "proxy"]
)
def test_one_that_is_too_old_or_unknown_is_refused_with_what_is_needed(said: str) -> None:
    with pytest.raises(
        Invalid, match=rf"server is M\w+ {said}\. Hydria needs MariaDB 10\.3\.1, MySQL 8\.0\.17"
    ):
        Server.of(said)


def test_mysql_is_not_called_mariadb() -> None:
    assert Server.of("10.11.19-MariaDB", "mariadb").kind == "MariaDB"
    with pytest.raises(
        Invalid, match=r"begins with mariadb, but the server is MySQL 8\.4\.6: write mysql instead"
    ):
        Server.of("8.4.6", "mariadb")
