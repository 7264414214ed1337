from hydria.dataplane import nftables
from hydria.testing.trees import POOL, listener, load_balancer, tree

V6 = [{"subnet_id": POOL, "ip_address": "2001:db8::10", "port_id": POOL}]


def rules(ruleset: str) -> list[str]:
    return [line.strip() for line in ruleset.splitlines() if " dport " in line]


def test_nothing_restricted_is_no_ruleset():
    assert nftables.render(tree(listener(), listener(2, allowed_cidrs=[]))) == ""
    assert nftables.render(tree(listener(allowed_cidrs=["10.0.0.0/8"], admin_state_up=False))) == ""
    restricted = listener(allowed_cidrs=["10.0.0.0/8"])
    assert nftables.render(tree(load_balancer(admin_state_up=False), restricted)) == ""


def test_everybody_allowed_is_no_rule():
    assert nftables.render(tree(listener(allowed_cidrs=["0.0.0.0/0"]))) == ""


def test_replaces_only_its_own_table():
    ruleset = nftables.render(tree(listener(allowed_cidrs=["10.0.0.0/8"])))
    assert ruleset.startswith("table inet hydria\ndelete table inet hydria\ntable inet hydria {\n")
    assert "policy accept" in ruleset


def test_overlapping_networks_are_merged():
    of = tree(listener(allowed_cidrs=["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"]))
    assert rules(nftables.render(of)) == [
        "ip daddr { 192.0.2.10 } tcp dport 80 ip saddr != { 10.0.0.0/8 } drop"
    ]


def test_a_family_that_no_network_is_of_is_shut_out():
    of = tree(load_balancer(additional_vips=V6), listener(allowed_cidrs=["10.0.0.0/8"]))
    assert rules(nftables.render(of))[1] == "ip6 daddr { 2001:db8::10 } tcp dport 80 drop"


def test_a_family_without_vip_has_no_rule():
    of = tree(listener(allowed_cidrs=["2001:db8::/32"]))
    assert rules(nftables.render(of)) == ["ip daddr { 192.0.2.10 } tcp dport 80 drop"]
