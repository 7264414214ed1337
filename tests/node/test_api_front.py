"""The configuration of the HAProxy in front of the API, as the HAProxy of this machine reads it."""

from pathlib import Path

import pytest

from hydria.api import front_config
from tests import certificates
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
def test_haproxy_has_nothing_to_say_against_it(tmp_path: Path, encrypted: bool) -> None:
    for status, text in front_config.errors().items():
        (tmp_path / str(status)).write_bytes(text)
    (tmp_path / "pem").write_text(certificates.make("localhost").bundle)
    front = front_config.Front(
        listening=(0,),
        behind="hydria-test",
        certificate="pem" if encrypted else "",
        errors={status: str(status) for status in front_config.errors()},
        connections=100,
        per_address=10,
        longest_body=114_688,
    )
    # A check inherits no sockets.
    config = front_config.render(front).decode().replace("bind fd@0", f"bind 127.0.0.1:{lab.free_port()}")
    assert lab.check(config, tmp_path) == ""
