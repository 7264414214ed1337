"""What is rendered, loaded by the real daemons."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydria.amphora import datagrams
from hydria.dataplane import Tuning, desired_state
from hydria.model import alphabets
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import PersistenceType
from hydria.testing import bodies, strategies
from hydria.testing.trees import POOL, listener, member, monitor, pool, tree
from hydria.wire import capabilities
from hydria.wire.state import Service, Target
from tests import certificates
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node

CA = certificates.make("Test CA", ca=True)
SERVER = certificates.make("www.example.com", CA)
GOLDEN = Path(__file__).parents[1] / "golden" / "haproxy"
RARELY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.cfg")), ids=lambda path: path.stem)
def test_haproxy_loads_golden_configurations_without_a_word(golden, tmp_path):
    make_files(golden, tmp_path)
    assert lab.check(told(golden).read_text(), tmp_path) == ""


def told(golden: Path) -> Path:
    """What the HAProxy of this machine is told in place of what every version is."""
    newer = [each.parent.name for each in GOLDEN.glob(f"*/{golden.name}")]
    same = [each for each in newer if capabilities.of_version(each) == lab.CAPABILITIES]
    return GOLDEN / same[0] / golden.name if same else golden


def make_files(golden: Path, directory: Path) -> None:
    """The files of a golden configuration that are no secret, and certificates where it expects some."""
    (directory / "tls").mkdir()
    contents = {"pem": SERVER.bundle, "ca": CA.pem, "crl": CA.revoking()}
    lists = golden.with_suffix(".lists").read_text()
    for name, content in re.findall(r"(\S+):\n((?:\t.*\n)+)", lists):
        (directory / "tls" / name).write_text(content.replace("\t", ""))
    for name, suffix in re.findall(r"tls/(\w+\.(pem|ca|crl))", golden.read_text() + lists):
        (directory / "tls" / name).write_text(contents[suffix])


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.nft")), ids=lambda path: path.stem)
def test_nft_loads_golden_rulesets(golden):
    done = subprocess.run(["nft", "-c", "-f", golden], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


@RARELY
@given(strategies.served_trees())
def test_haproxy_and_nft_load_what_the_api_accepts(tree):
    state = desired_state(tree, (), Tuning(), capabilities=lab.CAPABILITIES)
    if state.haproxy:
        with tempfile.TemporaryDirectory() as directory:
            lab.write(state.files, Path(directory))
            said = lab.check(state.haproxy, Path(directory))
        # A timeout of 0, which the API allows, is what HAProxy advises against.
        assert "[ALERT]" not in said
        assert not [
            line for line in said.splitlines() if "WARNING" in line and "missing timeouts" not in line
        ]
    if state.nftables:
        done = subprocess.run(
            ["nft", "-c", "-f", "-"], input=state.nftables.encode(), capture_output=True, check=False
        )
        assert done.stderr == b""


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(bodies.valid_values(alphabets.URL_PATH), bodies.valid_values(alphabets.COOKIE_NAME)),
        min_size=30,
    )
)
def test_haproxy_loads_every_path_and_cookie_name_that_the_api_accepts(texts):
    numbers = range(1, len(texts) + 1)
    pools = [f"{POOL[:-4]}{number:04x}" for number in numbers]
    of = tree(
        *(listener(number, default_pool_id=pools[number - 1]) for number in numbers),
        *(
            pool(
                number,
                id=pools[number - 1],
                session_persistence=SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name=cookie),
            )
            for number, (_, cookie) in enumerate(texts, start=1)
        ),
        *(
            monitor(number, pool_id=pools[number - 1], url_path=path)
            for number, (path, _) in enumerate(texts, start=1)
        ),
        *(member(number, pool_id=pools[number - 1]) for number in numbers),
    )
    with tempfile.TemporaryDirectory() as directory:
        state = desired_state(of, (), Tuning(), capabilities=lab.CAPABILITIES)
        lab.write(state.files, Path(directory))
        assert lab.check(state.haproxy, Path(directory)) == ""


@pytest.mark.parametrize("protocol", ["udp", "sctp"])
@pytest.mark.parametrize("balance", ["turn", "least", "source", "flow"])
def test_nft_loads_every_kind_of_datagram_service(protocol, balance):
    targets = (
        Target("a", "198.51.100.1", 53, weight=256),
        Target("b", "198.51.100.2", 53, backup=True),
        Target("c", "2001:db8::1", 53, weight=0),
        Target("d", "2001:db8::2", 53, enabled=False),
    )
    cidrs = ("192.0.2.0/24", "192.0.2.0/25", "2001:db8::/32")
    vips = ("192.0.2.10", "2001:db8::10")
    service = Service("l", "p", protocol, vips, 53, targets, cidrs, 10, balance, 60, 24, 64)
    first = datagrams.script([service], {"l": ["a"]}, "eth0")
    second = datagrams.script([], {}, "eth0")
    again = first.text(first.made) + first.text(first.made)
    rules = first.text(None) + again + second.text(first.made)
    done = subprocess.run(["nft", "-c", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
