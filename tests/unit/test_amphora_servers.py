"""Which servers change, and what HAProxy is told about it."""

import dataclasses

from hydria.amphora.servers import (
    addition,
    adjustments,
    busy_in,
    carried_over,
    difference,
    down_in,
    identity,
    in_process,
    key,
    readiness,
    stand_in,
)
from hydria.wire.state import Server

ONE = Server("pool:listener", "one", "192.0.2.1", 80)
TWO = Server("pool:listener", "two", "2001:db8::2", 8080, weight=5, options=("check", "inter", "5s"))

DUMP = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight …
3 pool:listener 1 one 192.0.2.1 0 0 1 1 0 8 2 0 6 0 0 0 - 80 - 0 9 192.0.2.99 - 0
3 pool:listener 2 two 2001:db8::2 2 1 5 5 0 1 0 2 6 0 0 0 - 8080 - 0 0 - - 0

"""


def test_difference_sorts_by_what_haproxy_can_do() -> None:
    lighter = dataclasses.replace(ONE, weight=0)
    moved = dataclasses.replace(TWO, port=8081)
    assert difference([], [ONE]).added == (ONE,)
    assert difference([ONE, TWO], [TWO]).removed == (ONE,)
    assert difference([ONE], [lighter]).adjusted == ((ONE, lighter),)
    assert difference([TWO], [moved]).replaced == ((TWO, moved),)
    assert difference([ONE, TWO], [TWO, ONE]) == difference([], [])


def test_changes_read_as_a_sentence() -> None:
    lighter = dataclasses.replace(ONE, weight=0)
    assert str(difference([], [])) == "no server changed"
    assert str(difference([], [ONE])) == "1 server added"
    assert str(difference([ONE], [lighter, TWO])) == "1 server added, 1 changed"
    assert str(difference([ONE, TWO], [])) == "2 servers removed"
    assert str(difference([ONE], [dataclasses.replace(ONE, options=("backup",))])) == "1 server changed"


def test_where_checks_go_is_no_part_of_what_a_server_is() -> None:
    elsewhere = dataclasses.replace(ONE, check_address="192.0.2.9", check_port=81)
    assert difference([ONE], [elsewhere]).adjusted == ((ONE, elsewhere),)
    name = key(ONE)
    assert list(adjustments(ONE, elsewhere)) == [
        f"set server {name} check-addr 192.0.2.9",
        f"set server {name} check-port 81",
    ]
    assert list(adjustments(elsewhere, ONE)) == [
        f"set server {name} check-addr 0.0.0.0",
        f"set server {name} check-port 0",
    ]


def test_addition() -> None:
    assert addition(ONE) == "add server pool:listener/one 192.0.2.1:80 weight 1"
    assert addition(TWO) == "add server pool:listener/two [2001:db8::2]:8080 weight 5 check inter 5s"
    elsewhere = dataclasses.replace(ONE, check_address="2001:db8::9", check_port=81)
    assert addition(elsewhere).endswith(" weight 1 addr [2001:db8::9] port 81")


def test_checks_begin_with_service() -> None:
    pinged = dataclasses.replace(TWO, options=("check", "agent-check", "agent-port", "7"))
    name = key(TWO)
    assert readiness(ONE) == [f"set server {key(ONE)} state ready"]
    assert readiness(TWO) == [f"enable health {name}", f"set server {name} state ready"]
    assert readiness(pinged)[:2] == [f"enable health {name}", f"enable agent {name}"]
    assert readiness(dataclasses.replace(TWO, enabled=False)) == []
    disabled = dataclasses.replace(TWO, enabled=False)
    assert list(adjustments(disabled, TWO)) == readiness(TWO)
    assert list(adjustments(TWO, disabled)) == [f"set server {name} state maint"]


def test_what_is_down_is_not_tried_before_it_answers() -> None:
    said = [command.split()[-1] for command in readiness(TWO, down=True)]
    assert said == [key(TWO), "drain", "down", "ready"]
    assert readiness(ONE, down=True) == [f"set server {key(ONE)} state ready"], "nothing would ever find it"
    assert readiness(dataclasses.replace(TWO, enabled=False), down=True) == []


def test_a_stand_in_is_the_same_but_for_name_and_number() -> None:
    numbered = dataclasses.replace(ONE, options=("id", "7", "check", "backup"))
    other = stand_in(numbered, 2)
    assert other == dataclasses.replace(ONE, name="one:2", options=("check", "backup"))
    assert identity(stand_in(ONE, 1))[2:] == identity(ONE)[2:]


def test_down_is_who_is_meant_to_serve_and_does_not_answer() -> None:
    assert down_in(DUMP) == {"pool:listener/one"}
    assert down_in(DUMP.replace("192.0.2.1 0 0", "192.0.2.1 0 8")) == {"pool:listener/one"}, "it drains"
    assert down_in(DUMP.replace("192.0.2.1 0 0", "192.0.2.1 0 1")) == set(), "it is in maintenance"


def test_busy_is_who_has_requests() -> None:
    dump = """# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb …
pool:listener/one 3/1 192.0.2.1 80 - 5000 0 1 1 1 0 -1 1 1 0
pool:listener/two 3/2 2001:db8::2 8080 - 5000 1 1 1 0 0 -1 0 0 0
"""
    assert busy_in(dump) == {"pool:listener/two"}
    of_3_4 = (
        "# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est idle_sess unsafe_nb\n"
        "pool:listener/one 3/1 192.0.2.1 80 - 5000 1 0 1 1 0 1\n"
        "pool:listener/two 3/2 192.0.2.2 80 - 5000 0 1 1 1 0 0\n"
    )
    assert busy_in(of_3_4) == {"pool:listener/two"}
    assert busy_in("Can't find backend.\n") == busy_in("") == set()


def test_servers_in_the_process() -> None:
    assert in_process(DUMP) == {"pool:listener/one", "pool:listener/two"}
    assert in_process("") == set()


def test_only_health_is_carried_over() -> None:
    checked = dataclasses.replace(ONE, weight=7, options=("check",))
    kept = carried_over(DUMP, [checked, TWO], ())
    assert kept.splitlines()[0] == "1"
    assert "one 192.0.2.1 0 0 7 7 " in kept
    assert " 80 - 0 0 - - 0" in kept  # where checks go is what the new configuration says
    assert " two " not in kept  # its administrative state is not what the new configuration says


def test_what_is_not_checked_any_more_is_not_carried_over() -> None:
    assert " one " not in carried_over(DUMP, [ONE], ())  # nothing would ever bring it up again


def test_what_is_leaving_or_another_is_not_carried_over() -> None:
    checked = dataclasses.replace(ONE, options=("check",))
    assert " one " in carried_over(DUMP, [checked], ())
    assert " one " not in carried_over(DUMP, [checked], {"pool:listener/one"})
    for changes in ({"address": "192.0.2.9"}, {"port": 81}, {"enabled": False}):
        assert " one " not in carried_over(DUMP, [dataclasses.replace(checked, **changes)], ())
    assert " one " not in carried_over(DUMP, [], ())


def test_what_a_stand_in_is_known_to_be_is_carried_over_to_the_member() -> None:
    dump = (
        DUMP.replace("1 one 192.0.2.1 0 0", "1 one 192.0.2.1 2 0")
        .replace("2 two 2001:db8::2 2 1", "2 one:1 192.0.2.1 0 0")
        .replace(" 8080 ", " 80 ")
    )
    checked = dataclasses.replace(ONE, options=("check",))
    assert [line.split()[3:6] for line in carried_over(dump, [checked], {key(ONE)}).splitlines()[2:]] == [
        ["one", "192.0.2.1", "0"]
    ]
