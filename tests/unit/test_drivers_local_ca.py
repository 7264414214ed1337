"""The local CA: made once, renewed in time, or the operator's own."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.model.errors import DriverError
from tests import driver_lab


def authority(path: Path, **options: object) -> LocalCertificateAuthority:
    return LocalCertificateAuthority(driver_lab.settings(path, certificates=options))


def test_programs_that_start_at_once_make_one_ca(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        pems = set(pool.map(lambda _: authority(tmp_path).client_ca_pem, range(16)))
        clients = set(pool.map(lambda _: authority(tmp_path).client_certificate.read_bytes(), range(16)))
    assert len(pems) == 1
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.key", "ca.pem", "controller.pem"]
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]
    assert len(clients) == 1


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    found = authority(tmp_path)
    found.client_certificate.read_bytes()
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "ca").iterdir()} == {0o600}


def test_a_restart_goes_on_with_the_same(tmp_path: Path) -> None:
    first = authority(tmp_path)
    pem, client = first.client_ca_pem, first.client_certificate.read_bytes()
    second = authority(tmp_path)
    assert (second.client_ca_pem, second.client_certificate.read_bytes()) == (pem, client)


def test_the_controllers_certificate_is_renewed_before_its_end(tmp_path: Path) -> None:
    short = authority(tmp_path, cert_validity_time=1200)  # less than a third of what began an hour ago
    before = short.client_certificate.read_bytes()
    assert short.client_certificate.read_bytes() != before


def test_the_controllers_certificate_follows_a_new_ca(tmp_path: Path) -> None:
    before = authority(tmp_path).client_certificate.read_bytes()
    for name in ("ca.pem", "ca.key"):
        (tmp_path / "ca" / name).unlink()
    (tmp_path / "ca" / "controller.pem").rename(tmp_path / "controller.pem")
    (tmp_path / "ca").rmdir()
    found = authority(tmp_path)
    assert found.client_ca_pem
    (tmp_path / "ca" / "controller.pem").write_bytes(before)
    assert found.client_certificate.read_bytes() != before


def test_the_operators_ca_is_used(tmp_path: Path) -> None:
    own = authority(tmp_path / "own")
    own.client_ca_pem  # noqa: B018  (makes it)
    paths = {
        "ca_certificate": str(tmp_path / "own" / "ca" / "ca.pem"),
        "ca_private_key": str(tmp_path / "own" / "ca" / "ca.key"),
    }
    found = authority(tmp_path / "state", **paths)
    assert found.client_ca_pem == own.client_ca_pem
    assert str(found.server_ca) == paths["ca_certificate"]
    assert sorted(path.name for path in (tmp_path / "state").glob("ca/*")) == []
    with pytest.raises(DriverError, match="set both or none"):
        authority(tmp_path / "state", ca_certificate=paths["ca_certificate"]).issue("x")
    with pytest.raises(DriverError, match=r"Cannot use the CA in .*missing"):
        authority(tmp_path / "state", ca_certificate="/missing", ca_private_key="/missing").issue("x")
    (tmp_path / "other.key").write_bytes(_key_of(authority(tmp_path / "other")))
    with pytest.raises(DriverError, match="not the private key"):
        authority(tmp_path / "state", **{**paths, "ca_private_key": str(tmp_path / "other.key")}).issue("x")


def test_certificates_last_as_long_as_configured(tmp_path: Path) -> None:
    issued = authority(tmp_path, cert_validity_time=86400).issue("x")
    assert abs(issued.expires - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    certificate = x509.load_pem_x509_certificate(issued.pem)
    assert certificate.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=30)


def test_issuing_is_fast(tmp_path: Path) -> None:
    found = authority(tmp_path)
    found.issue("first")
    times = []
    for number in range(20):
        began = time.perf_counter()
        found.issue(f"amphora-{number}")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.002


def _key_of(found: LocalCertificateAuthority) -> bytes:
    pem = found.issue("x").pem
    return pem[pem.index(b"-----BEGIN PRIVATE") :]
