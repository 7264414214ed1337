"""Which servers change, and what HAProxy is told about it."""

import dataclasses

from hydria.amphora.servers import addition, carried_over, difference, in_process
from hydria.wire.state import Server

ONE = Server("pool:listener", "one", "192.0.2.1", 80)
TWO = Server("pool:listener", "two", "2001:db8::2", 8080, weight=5, options=("check", "inter", "5s"))

DUMP = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight …
3 pool:listener 1 one 192.0.2.1 0 0 1 1 0 8 2 0 6 0 0 0 - 80 - 0 0 - - 0
3 pool:listener 2 two 2001:db8::2 2 1 5 5 0 1 0 2 6 0 0 0 - 8080 - 0 0 - - 0

"""


def test_difference_sorts_by_what_haproxy_can_do() -> None:
    lighter = dataclasses.replace(ONE, weight=0)
    moved = dataclasses.replace(TWO, port=8081)
    assert difference([], [ONE]).added == (ONE,)
    assert difference([ONE, TWO], [TWO]).removed == (ONE,)
    assert difference([ONE], [lighter]).adjusted == ((ONE, lighter),)
    assert difference([TWO], [moved]).replaced == (moved,)
    assert difference([ONE, TWO], [TWO, ONE]) == difference([], [])


def test_changes_read_as_a_sentence() -> None:
    lighter = dataclasses.replace(ONE, weight=0)
    assert str(difference([], [])) == "no server changed"
    assert str(difference([], [ONE])) == "1 server added"
    assert str(difference([ONE], [lighter, TWO])) == "1 server added, 1 changed"
    assert str(difference([ONE, TWO], [])) == "2 servers removed"


def test_addition_is_one_command() -> None:
    assert addition(ONE) == "add server pool:listener/one 192.0.2.1:80 weight 1"
    assert addition(TWO) == "add server pool:listener/two [2001:db8::2]:8080 weight 5 check inter 5s"


def test_servers_in_the_process() -> None:
    assert in_process(DUMP) == {"pool:listener/one", "pool:listener/two"}
    assert in_process("") == set()


def test_only_health_is_carried_over() -> None:
    checked = dataclasses.replace(ONE, weight=7, options=("check",))
    kept = carried_over(DUMP, [checked, TWO], ())
    assert kept.splitlines()[0] == "1"
    assert "one 192.0.2.1 0 0 7 7 " in kept
    assert " two " not in kept  # its administrative state is not what the new configuration says


def test_what_is_not_checked_any_more_is_not_carried_over() -> None:
    assert " one " not in carried_over(DUMP, [ONE], ())  # nothing would ever bring it up again


def test_what_is_leaving_or_another_is_not_carried_over() -> None:
    assert " one " not in carried_over(DUMP, [ONE], {"pool:listener/one"})
    assert " one " not in carried_over(DUMP, [dataclasses.replace(ONE, address="192.0.2.9")], ())
    assert " one " not in carried_over(DUMP, [dataclasses.replace(ONE, enabled=False)], ())
    assert " one " not in carried_over(DUMP, [], ())
