"""The rules of the bridge driver that depend on options."""

from ipaddress import ip_network

import pytest

from hydria.drivers.network import firewall


class Segment:
    """Of the shape that the rules are made of."""

    def __init__(self, bridge: str, *networks: str) -> None:
        self.bridge = bridge
        self.ranges = [Range(network) for network in networks]


class Range:
    def __init__(self, network: str) -> None:
        self.network = ip_network(network)
        self.host = type("Host", (), {"ip": self.network[1]})


LB = Segment("lb", "10.213.0.0/18", "fd00::/64")
VIP = Segment("vip", "10.213.64.0/18")


@pytest.mark.parametrize(
    ("protocol", "targets", "wanted"),
    [
        ("UDP", (), []),
        ("UDP", ("10.213.0.1:514",), ["ip daddr 10.213.0.1 udp dport 514 accept"]),
        ("TCP", ("[fd00::1]:514", "[fd00::1]:514"), ["ip6 daddr fd00::1 tcp dport 514 accept"]),
        ("TCP", ("10.213.0.9:514", "192.0.2.1:514"), []),  # not this host
    ],
)
def test_receivers_of_logs_at_the_hosts_address(
    protocol: str, targets: tuple[str, ...], wanted: list[str]
) -> None:
    rules = firewall.ruleset(
        "hydria_000000",
        LB,  # type: ignore[arg-type]  # as far as the rules look
        VIP,  # type: ignore[arg-type]  # the same
        firewall.Host(before=""),
        masquerade=False,
        heartbeat_ports=[5555],
        log_targets=targets,
        log_protocol=protocol,
    )
    lines = [line.strip() for line in rules.splitlines()]
    start, end = (
        lines.index("udp dport { 5555 } accept"),
        lines.index("meta l4proto { icmp, ipv6-icmp } accept"),
    )
    assert lines[start + 1 : end] == wanted
