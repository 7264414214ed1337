"""Certificates for third-party drivers."""

from __future__ import annotations

import pytest
from octavia_lib.api.drivers import data_models

from hydria.drivers.certificates.local_manager import LocalCertificateManager
from hydria.model.errors import Invalid
from hydria.providers import tls
from hydria.settings import DefaultSettings, Settings


def test_a_certificate_that_has_gone_meanwhile(tmp_path: object) -> None:
    manager = LocalCertificateManager(Settings(DEFAULT=DefaultSettings(state_dir=str(tmp_path))))
    listener = data_models.Listener(default_tls_container_ref="local:gone", sni_container_refs=["local:gone"])
    with pytest.raises(Invalid, match=r"^Could not retrieve certificate: \['local:gone'\]$"):
        tls.fill(listener, manager, "a project")
    tls.fill(listener, manager, "a project", needed=False)
    assert not listener.default_tls_container_data
