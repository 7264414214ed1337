"""What a client was given on one listener is worth nothing on another that asks for more."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hydria.model.listener import Listener
from hydria.model.modification import FixedResponse
from hydria.model.statuses import ClientAuthentication, ListenerProtocol, PolicyAction
from hydria.testing.trees import listener, load_balancer, policy, rule, tree
from hydria.wire.state import DesiredState, File
from tests import certificates
from tests.certificates import Made
from tests.node import agent_lab, dataplane_lab
from tests.node.agent_lab import VIP

pytestmark = pytest.mark.node

HOST = "www.example.org"
CA_A, CA_B = certificates.make("CA A", ca=True), certificates.make("CA B", ca=True)
SECRETS = {"server": certificates.make(HOST, CA_A).bundle, "a": CA_A.pem, "b": CA_B.pem}
OF_A = certificates.make("somebody", CA_A)
VERIFIES = {"client_authentication": ClientAuthentication.MANDATORY}


def https(number: int, port: int, **more: Any) -> Listener:
    return listener(
        number,
        protocol=ListenerProtocol.TERMINATED_HTTPS,
        protocol_port=port,
        default_tls_container_ref="server",
        **more,
    )


def serve(proxy: dataplane_lab.Proxy, *listeners: Listener) -> None:
    """Each of them answers whom it lets in with the port that he got into."""
    answers = [
        policy(
            number,
            listener_id=each.id,
            action=PolicyAction.FIXED_RESPONSE,
            fixed_response=FixedResponse(status=200, body=f"secret of {each.protocol_port}"),
        )
        for number, each in enumerate(listeners, 1)
    ]
    rules = [rule(number, l7policy_id=each.id, value="/") for number, each in enumerate(answers, 1)]
    proxy.serve(tree(load_balancer(vip_address="127.0.0.1"), *listeners, *answers, *rules), SECRETS)


def speak(
    port: int, *options: str, client: Made | None = None, directory: Path, host: str = "127.0.0.1"
) -> str:
    """All that openssl says of a connection with one request."""
    if client:
        (directory / "client.pem").write_text(client.bundle)
        options = (*options, "-cert", str(directory / "client.pem"))
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST, "-ign_eof"]
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        [*command, *options], input=request, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("tickets", ["-no_ticket", "-ticket"])
@pytest.mark.parametrize("client", [None, OF_A], ids=["nobody", "of A"])
def test_a_session_opens_no_other_listener(
    proxy: dataplane_lab.Proxy,
    tmp_path: Path,
    version: str,
    tickets: str,
    client: Made | None,
) -> None:
    """Neither from one without verification to one with it, nor from one CA to the other."""
    first, second = dataplane_lab.free_ports(2)
    of_first = VERIFIES | {"client_ca_tls_container_ref": "a"} if client else {}
    serve(proxy, https(1, first, **of_first), https(2, second, **VERIFIES, client_ca_tls_container_ref="b"))
    session = tmp_path / "session"
    how = (version, *(() if tickets == "-ticket" else (tickets,)))
    said = speak(first, *how, "-sess_out", str(session), client=client, directory=tmp_path)
    assert f"secret of {first}" in said
    again = ("-sess_in", str(session)) if session.exists() else ()  # none was given: nothing to try
    said = speak(second, *how, *again, client=client, directory=tmp_path)
    assert "secret of" not in said
    assert "alert" in said


def test_a_session_is_worth_something_where_it_was_given(proxy: dataplane_lab.Proxy, tmp_path: Path) -> None:
    """Tickets, which stay with the listener: clients go on resuming by them, verified ones too."""
    (port,) = dataplane_lab.free_ports(1)
    serve(proxy, https(1, port, **VERIFIES, client_ca_tls_container_ref="a"))
    session = str(tmp_path / "session")
    speak(port, "-tls1_2", "-sess_out", session, client=OF_A, directory=tmp_path)
    said = speak(port, "-tls1_2", "-sess_in", session, directory=tmp_path)
    assert re.search(r"^Reused, TLSv1\.2", said, re.MULTILINE)
    assert f"secret of {port}" in said


def verifying(generation: int, authority: Made, revoked: str) -> DesiredState:
    """A state that serves whoever has a certificate of an authority that does not revoke it."""
    words = "ssl crt-list tls/web.list ca-file tls/of.ca crl-file tls/of.crl verify required"
    front = f"frontend tls\n    bind {VIP}:443 {words}\n    http-request return status 200 hdr Secret told"
    pem, trusted = File("web.pem", SECRETS["server"]), File("of.ca", authority.pem)
    files = (pem, trusted, File("of.crl", revoked), File("web.list", "tls/web.pem\n"))
    return agent_lab.state(generation, extra=front, files=files)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("change", ["another CA", "revoked"])
def test_a_session_does_not_outlive_what_it_was_verified_by(
    lab: agent_lab.Lab,
    tmp_path_factory: pytest.TempPathFactory,
    version: str,
    change: str,
) -> None:
    """HAProxy would take tickets that it has given before, if it were told of the change while it runs."""
    directory = tmp_path_factory.mktemp("client")
    session = str(directory / "session")
    common = {"host": VIP, "client": OF_A, "directory": directory}
    lab.apply(verifying(1, CA_A, CA_A.revoking()))
    said = lab.outside.run(lambda: speak(443, version, "-sess_out", session, **common))
    assert "told" in said
    said = lab.outside.run(lambda: speak(443, version, "-sess_in", session, **common))
    assert "Reused" in said
    other = (CA_B, CA_B.revoking()) if change == "another CA" else (CA_A, CA_A.revoking(OF_A))
    lab.apply(verifying(2, *other))
    said = lab.outside.run(lambda: speak(443, version, "-sess_in", session, **common))
    assert "told" not in said
    assert "alert" in said
