"""The certificate authority keeps the contract that is shipped for authors of others."""

from pathlib import Path

import pytest

from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.testing.contracts.certificates import CertificateAuthorityContract
from tests import driver_lab


class TestLocal(CertificateAuthorityContract):
    @pytest.fixture
    def authority(self, tmp_path: Path) -> LocalCertificateAuthority:
        return LocalCertificateAuthority(driver_lab.settings(tmp_path / "state"))
