"""What the root part accepts, and what it makes of it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydria.amphora import announcement, kernel, links
from hydria.amphora.commands import Commands
from hydria.amphora.faults import Malformed, Refused
from hydria.amphora.firewall import accepted
from hydria.amphora.links import Link

MAC = "02:00:00:00:00:01"
NOWHERE = "192.0.2.200"  # an address that this host does not have
WANTED = {
    "mac": MAC,
    "mtu": 1500,
    "addresses": ["192.0.2.5/24", "2001:DB8:0::5/64"],
    "vips": ["192.0.2.9/24", "2001:db8::9/64"],
    "gateway4": "192.0.2.1",
    "gateway6": "2001:db8::1",
}
BARE = Link("eth1", 1500, up=False, addresses=frozenset(), routed=frozenset())


def test_bare_link_gets_everything() -> None:
    assert links.batch(links.parse(WANTED), BARE) == [
        "link set dev eth1 mtu 1500 up",
        "addr add 192.0.2.5/24 dev eth1",
        "addr add 2001:db8::5/64 dev eth1 nodad",
        "addr add 192.0.2.9/24 dev eth1",
        "addr add 2001:db8::9/64 dev eth1 nodad preferred_lft 0",
        "route replace 0.0.0.0/0 via 192.0.2.1 dev eth1",
        "route replace ::/0 via 2001:db8::1 dev eth1",
    ]


def test_link_loses_what_is_not_wanted() -> None:
    link = Link("eth1", 1400, up=True, addresses=frozenset({"192.0.2.5/24"}), routed=frozenset({4, 6}))
    lines = links.batch(links.parse({"mac": MAC, "mtu": 1400, "addresses": [], "vips": []}), link)
    assert lines == [
        "route del 0.0.0.0/0 dev eth1",
        "route del ::/0 dev eth1",
        "addr del 192.0.2.5/24 dev eth1",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"mac": "eth1"},
        {"mac": 5},
        {"mac": MAC + "\n"},
        {"mtu": "1500"},
        {"mtu": True},
        {"mtu": 1},
        {"addresses": "192.0.2.5/24"},
        {"addresses": [3]},
        {"addresses": ["192.0.2.5/24\nlink del eth0"]},
        {"addresses": ["fe80::1%1/64"]},
        {"vips": None},
        {"gateway4": "2001:db8::1"},
        {"gateway6": "192.0.2.1"},
        {"gateway4": "192.0.2.1 dev eth0"},
        {"gateway4": 1},
    ],
)
def test_interface_is_believed_nothing(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        links.parse({**WANTED, **change})


TABLE = "table inet hydria"


@pytest.mark.parametrize(
    "ruleset",
    [
        "",
        f"{TABLE} {{\n}}\n",
        f"{TABLE}\ndelete {TABLE}\n{TABLE} {{\n\tchain input {{\n\t\ttcp dport {{ 80, 81 }} drop\n\t}}\n}}\n",
        f"add {TABLE}; flush {TABLE}; {TABLE} {{ }}",
        f'# a comment }}\n{TABLE} {{ chain c {{ comment "a brace }} here"; }} }}',
    ],
)
def test_ruleset_of_our_table_is_accepted(ruleset: str) -> None:
    assert accepted(ruleset) == ruleset


@pytest.mark.parametrize(
    "ruleset",
    [
        None,
        "flush ruleset",
        f"{TABLE}\nflush ruleset",
        f"flush ruleset\n{TABLE} {{ }}",
        f"{TABLE} {{ }}\nflush ruleset",
        f"{TABLE} {{ }} }}",
        f"{TABLE} {{ {{ }}",
        "table inet hydria2 { }",
        "table ip hydria { }",
        f'{TABLE} {{ include "/etc/shadow" }}',
        f'include "/etc/shadow"\n{TABLE} {{ }}',
        f'{TABLE} {{ comment "\n}}\nflush ruleset\n#" }}',
        f"{TABLE} {{ }} \\\nflush ruleset",
        f"{TABLE} {{ }}\x00",
        f"{TABLE} {{ }}; delete table inet other",
        f"add rule inet hydria input drop; {TABLE} {{ }}",
        f"define x = {{ 1 }}\n{TABLE} {{ }}",
    ],
)
def test_any_other_ruleset_is_refused(ruleset: object) -> None:
    with pytest.raises(Malformed):
        accepted(ruleset)


def test_gratuitous_arp() -> None:
    frame = announcement.frame(MAC, "192.0.2.9")
    assert frame.hex() == (
        "ffffffffffff" "020000000001" "0806"
        "0001" "0800" "06" "04" "0001" "020000000001" "c0000209" "000000000000" "c0000209"
    )  # fmt: skip


def test_unsolicited_neighbor_advertisement() -> None:
    frame = announcement.frame(MAC, "2001:db8::9")
    vip, everybody = "20010db8" + "0" * 22 + "09", "ff02" + "0" * 26 + "01"
    assert frame.hex() == (
        "333300000001" "020000000001" "86dd"
        "60000000" "0020" "3a" "ff" + vip + everybody
        + "8800" + frame.hex()[112:116] + "20000000" + vip + "0201" "020000000001"
    )  # fmt: skip
    pseudo = bytes.fromhex(vip + everybody + "00000020" + "0000003a") + frame[54:]
    words = sum(int.from_bytes(pseudo[at : at + 2], "big") for at in range(0, len(pseudo), 2))
    assert words % 0xFFFF == 0


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b'"announce"', b'{"command": "reboot", "arguments": 1}', b'{"command": "interfaces"}']
    + [
        json.dumps({"command": name, "arguments": 5}).encode()
        for name in ("interfaces", "announce", "nftables")
    ]
    + [b"[" * 100_000, b'{"command": ' * 100_000, b"9" * 5000, b'{"command": [], "arguments": 1}', b"\xff"],
)
def test_root_part_answers_nonsense(line: bytes) -> None:
    assert set(json.loads(Commands(NOWHERE).answer(line))) == {"fault"}


def test_the_commands_are_a_closed_set() -> None:
    assert set(Commands(NOWHERE).known) == {
        "interfaces",
        "announce",
        "nftables",
        "datagrams",
        "datagram_levels",
        "datagram_counters",
    }


def test_only_what_was_added_just_now_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "links_by_mac", lambda: {MAC: "eth1"})
    with pytest.raises(Refused, match=r"192\.0\.2\.9/24 was not added to eth1"):
        announcement.send([[MAC, "192.0.2.9/24"]], {(MAC, "192.0.2.8/24")})
    with pytest.raises(Refused, match="no network interface"):
        announcement.send([["02:00:00:00:00:02", "192.0.2.9/24"]], set())


def test_the_interface_of_an_address() -> None:
    assert kernel.interface_of("127.0.0.1") == "lo"
    for nowhere in (NOWHERE, "0.0.0.0", "::", "2001:db8::1", "a.name", "", "::nonsense"):
        assert kernel.interface_of(nowhere) == ""


# The root part does what it is asked by whoever has broken into the unprivileged side. None of this may raise:
# the root part is the amphora's PID 1.
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELD = _JSON | st.sampled_from([MAC, "192.0.2.5/24", "192.0.2.5/24\nlink del eth0", "::1", 1500, [], ""])
_INTERFACE = st.fixed_dictionaries(
    dict.fromkeys(("mac", "mtu", "addresses", "vips", "gateway4", "gateway6"), _FIELD)
)


@given(item=_INTERFACE | _JSON)
def test_an_interface_is_refused_or_made_of_known_parts(item: object) -> None:
    try:
        wanted = links.parse(item)
    except Malformed:
        return
    for line in links.batch(wanted, BARE):
        assert re.fullmatch(r"[a-z0-9 .:/]+", line), line


@given(name=st.sampled_from(["announce", "nftables", "reboot"]) | _JSON, arguments=_JSON)
def test_any_request_is_answered(name: object, arguments: object) -> None:
    line = json.dumps({"command": name, "arguments": arguments}).encode()
    answer = json.loads(Commands(NOWHERE).answer(line))
    # An empty list is announced, and done; a ruleset takes an object with a text.
    assert "fault" in answer or (name, arguments) == ("announce", [])


_PIECES = [
    "table inet hydria ", "{", "}", ";", "\n", '"', "#", "\\", "flush ruleset", "include ", "delete ", "add ",
    "table inet other ", "chain c ", "'", "$x", "define x = 1", 'comment "x"', "\t",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=12))
def test_a_ruleset_that_is_accepted_touches_its_own_table_alone(parts: list[str]) -> None:
    ruleset = "".join(parts)
    try:
        accepted(ruleset)
    except Malformed:
        return
    # What nft would run at the top level: without comments, texts, and what is in braces.
    plain = re.sub(r'#[^\n]*|"[^"]*"', "", ruleset)
    while plain != (plain := re.sub(r"{[^{}]*}", ";", plain)):
        pass
    for command in re.split(r"[;\n]", plain):
        assert command.strip() in (
            "",
            *(f"{verb}table inet hydria" for verb in ("", "add ", "flush ", "delete ")),
        ), ruleset
