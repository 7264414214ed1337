"""HAProxy's statistics in the heartbeat's words."""

import pytest

from hydria.amphora.counters import Counters, Observation, member_status, observe

HEADER = (
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,"
    "weight,act,bck,last_chk,"
)


def row(
    proxy: str, server: str, status: str, weight: int = 1, counters: str = "3,4,100,7,500,900,0,0,2"
) -> str:
    return f'{proxy},{server},0,0,{counters},0,0,0,0,{status},{weight},1,0,"a, quoted, text",'


def stat(*rows: str) -> str:
    return "\n".join([HEADER, *rows, "", ""])


def test_observation() -> None:
    seen = observe(
        stat(
            row("listener", "FRONTEND", "OPEN"),
            row("pool:listener", "one", "UP 1/3"),
            row("pool:listener", "two", "no check"),
            row("pool:listener", "gone", "MAINT"),
            row("pool:listener", "BACKEND", "UP"),
        ),
        leaving={"pool:listener/gone"},
    )
    assert seen.listeners == {"listener": ("OPEN", 3, (500, 900, 7, 2))}
    assert seen.pools == {"pool": "UP"}
    assert seen.members == {"one": "UP", "two": "NO_CHECK"}


def test_pool_of_two_listeners() -> None:
    rows = [
        row("pool:a", "one", "DOWN"),
        row("pool:a", "BACKEND", "DOWN"),
        row("pool:b", "one", "UP"),
        row("pool:b", "BACKEND", "UP"),
    ]
    for order in (rows, rows[2:] + rows[:2]):
        seen = observe(stat(*order))
        assert (seen.pools, seen.members) == ({"pool": "UP"}, {"one": "UP"})


def test_empty_counters_are_zero() -> None:
    seen = observe(stat(row("listener", "FRONTEND", "FULL", counters=",,,,,,0,0,")))
    assert seen.listeners == {"listener": ("FULL", 0, (0, 0, 0, 0))}


@pytest.mark.parametrize(
    ("status", "weight", "word"),
    [
        ("UP", "1", "UP"),
        ("UP 2/3", "1", "UP"),
        ("UP", "0", "DRAIN"),
        ("DOWN", "1", "DOWN"),
        ("DOWN 1/2", "1", "DOWN"),
        ("DOWN (agent)", "1", "DOWN"),
        ("DRAIN", "1", "DRAIN"),
        ("NOLB", "1", "DRAIN"),
        ("MAINT", "1", "MAINT"),
        ("MAINT (via a/b)", "1", "MAINT"),
        ("no check", "1", "NO_CHECK"),
        ("no check", "0", "NO_CHECK"),
        ("", "", "DOWN"),
        ("something new", "1", "DOWN"),
    ],
)
def test_member_statuses(status: str, weight: str, word: str) -> None:
    assert member_status(status, weight=weight) == word


def seen(total: int) -> Observation:
    return Observation(listeners={"listener": ("OPEN", 1, (total, total, total, total))})


def totals(counters: Counters, total: int) -> int:
    return counters.reports(seen(total))["listener"].total_connections


def test_counters_go_on_over_processes_and_lives() -> None:
    counters = Counters()
    assert totals(counters, 10) == 10
    counters.process_changed()
    assert totals(counters, 1) == 11
    counters.process_changed()
    counters.process_changed()
    assert totals(counters, 0) == 11
    assert totals(Counters(counters.base), 5) == 16
