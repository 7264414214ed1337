"""A list of ciphers allows what it names: no version of TLS falls back to what OpenSSL has by default."""

import ssl
from collections.abc import Iterator

import pytest

from hydria.dataplane import haproxy
from hydria.model.errors import Invalid
from hydria.model.rules import OWASP_B
from hydria.model.statuses import MonitorType, TLSVersion
from hydria.testing.trees import LISTENER, POOL, member, monitor, tree
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import eventually
from tests.node.test_dataplane_options import NUMBERS, SECRETS, TERMINATING, connected, served

pytestmark = [pytest.mark.node, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

V1, V1_1, V1_2, V1_3 = NUMBERS
USUAL, ALL = [V1_2, V1_3], [V1, V1_1, V1_2, V1_3]
SUITE, OF_1_2, OLD = "TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"
LISTS = [
    # The list, the versions that are allowed, and those that are spoken.
    (SUITE, USUAL, [V1_3]),
    (SUITE, None, [V1_3]),
    (SUITE, ALL, [V1_3]),
    (f"{SUITE}:!RC4:@SECLEVEL=2", None, [V1_3]),
    (OF_1_2, USUAL, [V1_2]),
    (OF_1_2, None, [V1_2]),
    (f"{SUITE}:{OF_1_2}", USUAL, USUAL),
    (OWASP_B, ALL, USUAL),
    (OLD, ALL, [V1, V1_1, V1_2]),
    (OLD, [V1_1], [V1_1]),
    (f"{OLD}:{SUITE}", ALL, ALL),
    ("HIGH", USUAL, USUAL),
    (None, [V1, V1_1], [V1, V1_1]),
    (None, USUAL, USUAL),
]


@pytest.mark.parametrize(("listed", "allowed", "spoken"), LISTS)
def test_versions_of_a_listener_are_those_of_its_ciphers(proxy, port, listed, allowed, spoken):
    """The client knows every version and every cipher."""
    proxy.serve(served(port, 1, **TERMINATING, tls_ciphers=listed, tls_versions=allowed), SECRETS)
    found = []
    for version, number in NUMBERS.items():
        try:
            with connected(port, minimum_version=number, maximum_version=number) as encrypted:
                name, _, _ = encrypted.cipher()
                assert listed in (None, "HIGH") or name in listed.split(":")
                found.append(version)
        except (ssl.SSLError, ConnectionError):
            pass
    assert found == spoken


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[TLSVersion, int]]:
    """The ports of members that know one version each, and every cipher."""
    directory = tmp_path_factory.mktemp("members")
    (directory / "server.pem").write_text(SECRETS["server"])
    found = dict(zip(NUMBERS, lab.free_ports(len(NUMBERS)), strict=True))
    other = lab.Proxy(directory)
    words = {version: "TLSv1.0" if version is V1 else str(version) for version in NUMBERS}
    other.start(
        "global\n    stats socket unix@stats.sock\ndefaults\n    mode http\n    timeout client 5s\n"
        + "".join(
            f"frontend {version}\n    bind 127.0.0.1:{port} ssl crt server.pem ciphers ALL:@SECLEVEL=0"
            f" ssl-min-ver {words[version]} ssl-max-ver {words[version]}\n"
            for version, port in found.items()
        )
    )
    try:
        yield found
    finally:
        other.stop()


@pytest.mark.parametrize(("listed", "allowed", "spoken"), LISTS)
def test_versions_of_a_pool_are_those_of_its_ciphers(proxy, port, members, listed, allowed, spoken):
    """A monitor shakes hands with each, by the settings of the pool."""
    of = served(port, 1, of_pool={"tls_enabled": True, "tls_ciphers": listed, "tls_versions": allowed})
    each = {
        version: member(number, address="127.0.0.1", protocol_port=at)
        for number, (version, at) in enumerate(members.items(), 1)
    }
    hello = monitor(type=MonitorType.TLS_HELLO, delay=1, timeout=1, max_retries=1, max_retries_down=1)
    proxy.serve(tree(of.load_balancer, *of.listeners, *of.pools, *each.values(), hello))

    def found() -> list[str]:
        rows = proxy.statistics()
        of_servers = {version: rows[f"{POOL}:{LISTENER}/{each[version].id}"] for version in each}
        ended = [row["check_status"].startswith("L6") for row in of_servers.values()]
        return [version for version, row in of_servers.items() if row["status"] == "UP"] if all(ended) else []

    assert eventually(found) == spoken


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [(SUITE, [V1_2]), (OF_1_2, [V1_3]), (OF_1_2, [V1, V1_1]), ("!RC4", USUAL), (None, [TLSVersion.SSL_V3])],
)
def test_what_leaves_nothing_is_no_configuration(port, listed, allowed):
    settings = {"tls_ciphers": listed, "tls_versions": allowed}
    for of in (
        served(port, 1, **TERMINATING, **settings),
        served(port, 1, of_pool={"tls_enabled": True, **settings}),
    ):
        with pytest.raises(Invalid, match="change tls_versions or tls_ciphers"):
            haproxy.render(of.desired(), lab.TUNING, SECRETS)
