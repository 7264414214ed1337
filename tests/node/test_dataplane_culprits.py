"""HAProxy itself refuses what is wrong with one object, and its words lead to that object."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hydria.amphora.haproxy import fault
from hydria.dataplane import Rendered, Tuning, render
from hydria.dataplane.culprits import culprits
from hydria.dataplane.usable import Unusable, usable
from hydria.model import secrets
from hydria.model.statuses import ClientAuthentication, CompareType, ListenerProtocol
from hydria.model.tree import Tree
from hydria.testing import trees as make
from tests import certificates
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node

CA = certificates.make("Test CA", ca=True)
SERVER = certificates.make("www.example.com", CA)
SECURE = make.listener(2).id
GOOD = {"web": SERVER.bundle, "sni": SERVER.bundle, "ca": CA.pem, "crl": CA.revoking(), "own": SERVER.bundle}
BAD = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"
TLS: dict[str, Any] = {
    "protocol": ListenerProtocol.TERMINATED_HTTPS,
    "default_tls_container_ref": "web",
    "sni_container_refs": ["sni"],
    "client_ca_tls_container_ref": "ca",
    "client_crl_container_ref": "crl",
    "client_authentication": ClientAuthentication.MANDATORY,
}
VERIFIED = {
    "tls_enabled": True,
    "tls_container_ref": "own",
    "ca_tls_container_ref": "ca",
    "crl_container_ref": "crl",
}


def of(rule: Any = None, listener: Any = None, pool: Any = None, monitor: Any = None) -> Tree:
    return make.tree(
        make.listener(1, default_pool_id=make.POOL),
        make.listener(2, default_pool_id=make.POOL, **{**TLS, **(listener or {})}),
        make.pool(**VERIFIED, **(pool or {})),
        make.member(1),
        make.member(2),
        make.monitor(**(monitor or {})),
        make.policy(),
        make.rule(**(rule or {})),
    )


def refusal(tree: Tree, pem: dict[str, str], directory: Path) -> tuple[Rendered, str]:
    """What HAProxy says, as an agent tells it; "" when it takes the configuration."""
    needed = secrets.in_use(tree.load_balancer, (*tree.listeners, *tree.pools))
    found = render(tree, (), Tuning(), {key: pem[key] for key in needed})
    lab.write(found.state.files, directory)
    (directory / "haproxy.cfg.new").write_text(found.state.haproxy)
    (directory / "server-state").write_text("1\n")
    done = subprocess.run(
        ["haproxy", "-c", "-f", "haproxy.cfg.new"], cwd=directory, capture_output=True, text=True, check=False
    )
    return found, f"Amphora a refused generation 2: {fault(done.stderr)}" if done.returncode else ""


def refused(tree: Tree, pem: dict[str, str], directory: Path) -> tuple[set[str], set[str]]:
    """The objects and the secrets that have to be left out until HAProxy takes the rest."""
    objects: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for _ in range(20):
        rest = usable(tree, Unusable(missing=unusable, refused=objects)).tree
        rendered, said = refusal(rest, pem, directory)
        if not said:
            return set(objects), set(unusable)
        found = culprits(said, rendered, tree)
        assert found.objects or found.secrets, said
        objects, unusable = {**found.objects, **objects}, {**found.secrets, **unusable}
    raise AssertionError(f"no end to it: {objects}, {unusable}")


def test_haproxy_takes_what_is_right(tmp_path: Path) -> None:
    assert refused(of(), GOOD, tmp_path) == (set(), set())


@pytest.mark.parametrize("value", ["^/[[:number:]]+$", "^/((a{1,200}){1,200}){1,100}$", "[[=a=]]"])
def test_a_regular_expression(tmp_path: Path, value: str) -> None:
    rule = {"value": value, "compare_type": CompareType.REGEX}
    assert refused(of(rule=rule), GOOD, tmp_path)[0] == {make.RULE}


@pytest.mark.parametrize("reference", list(GOOD))
@pytest.mark.parametrize("content", [BAD, "", CA.pem])
def test_what_a_secret_holds(tmp_path: Path, reference: str, content: str) -> None:
    if content == CA.pem and reference in ("ca", "crl"):
        return  # which HAProxy takes; that a list is one, the store of secrets sees to
    objects, unusable = refused(of(), {**GOOD, reference: content}, tmp_path)
    assert (objects, unusable) == (set(), {reference})


@pytest.mark.parametrize(
    ("wrong", "culprit"),
    [
        ({"listener": {"tls_ciphers": "NOSUCHCIPHER"}}, SECURE),
        ({"pool": {"tls_ciphers": "NOSUCHCIPHER"}}, make.POOL),
    ],
)
def test_what_an_attribute_says(tmp_path: Path, wrong: Any, culprit: str) -> None:
    assert refused(of(**wrong), GOOD, tmp_path) == ({culprit}, set())


def test_several_at_once(tmp_path: Path) -> None:
    tree = of(
        rule={"value": "[[:number:]]", "compare_type": CompareType.REGEX},
        pool={"tls_ciphers": "NOSUCHCIPHER"},
    )
    objects, unusable = refused(tree, {**GOOD, "sni": BAD}, tmp_path)
    assert (objects, unusable) == ({make.RULE, make.POOL}, {"sni"})
