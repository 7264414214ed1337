"""What the root part accepts, and what it makes of it."""

import json

import pytest

from hydria.amphora import announcement, commands, links
from hydria.amphora.faults import Malformed
from hydria.amphora.firewall import accepted
from hydria.amphora.links import Link

MAC = "02:00:00:00:00:01"
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
    ],
)
def test_root_part_answers_nonsense(line: bytes) -> None:
    assert set(json.loads(commands.answer(line))) == {"fault"}


def test_the_commands_are_a_closed_set() -> None:
    assert set(commands._COMMANDS) == {"interfaces", "announce", "nftables"}
