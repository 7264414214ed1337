"""What the REST driver makes of agents that behave badly."""

import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hydria.drivers.amphora.rest import RestAmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError, Lacking, Unreachable
from hydria.testing.agent import FakeAgent, fake_agent
from hydria.wire import capabilities
from hydria.wire.capabilities import Capability
from hydria.wire.state import DesiredState, File
from tests import driver_lab


@pytest.fixture
def authority(tmp_path: Path) -> LocalCertificateAuthority:
    return LocalCertificateAuthority(driver_lab.settings(tmp_path))


@pytest.fixture
def amphora() -> Amphora:
    return driver_lab.amphora(str(uuid.uuid4()), "127.0.0.1")


@pytest.fixture
def agent(authority: LocalCertificateAuthority, amphora: Amphora) -> Iterator[FakeAgent]:
    with fake_agent(authority, amphora.id) as agent:
        yield agent


def make_driver(tmp_path: Path, authority: LocalCertificateAuthority, port: int) -> RestAmphoraDriver:
    options: dict[str, object] = {
        "bind_port": port,
        "rest_request_conn_timeout": 0.5,
        "rest_request_read_timeout": 0.5,
    }
    return RestAmphoraDriver(driver_lab.settings(tmp_path, haproxy_amphora=options), authority)


@pytest.fixture
def driver(tmp_path: Path, authority: LocalCertificateAuthority, agent: FakeAgent) -> RestAmphoraDriver:
    return make_driver(tmp_path, authority, agent.port)


def test_one_connection_serves_all_requests(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    driver.await_ready(amphora, 5)
    for generation in range(1, 6):
        driver.apply(amphora, DesiredState(generation))
    assert agent.connections == 1


def test_capabilities_are_those_that_both_know(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    assert driver.capabilities(amphora) == capabilities.NONE  # an agent that reports none yet
    agent.info = {"haproxy_version": "9.9", "haproxy_capabilities": ["server-cookies", "flying"]}
    assert driver.capabilities(amphora) == {Capability.SERVER_COOKIES}
    for strange in (b"[]", b"{", b'{"haproxy_capabilities": 3}', b'{"haproxy_capabilities": [[]]}'):
        agent.answer = 200, strange
        with pytest.raises(DriverError, match=amphora.id):
            driver.capabilities(amphora)
    agent.answer = 500, b'{"error": "no"}'
    with pytest.raises(DriverError, match="answered 500: no"):
        driver.capabilities(amphora)


def test_a_connection_that_the_agent_has_closed_is_replaced(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    agent.close_after = True
    for generation in range(1, 4):
        assert driver.apply(amphora, DesiredState(generation)).generation == generation
    assert agent.connections == 3


def test_threads_do_not_share_a_connection(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: driver.apply(amphora, DesiredState(1)), range(64)))
    assert {answer.generation for answer in answers} == {1}
    assert agent.connections <= 64


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b'{"error": "it burns"}', "answered 500: it burns"),
        (400, b'{"error": "not a state"}', "answered 400: not a state"),
        (503, b"<html>", "answered 503: <html>"),
        (200, b"[]", "something strange"),
    ],
)
def test_an_answer_that_is_none_names_the_amphora(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent, status: int, body: bytes, words: str
) -> None:
    agent.answer = (status, body)
    with pytest.raises(DriverError) as failed:
        driver.apply(amphora, DesiredState(1))
    assert words in failed.value.message
    assert amphora.id in failed.value.message


def test_an_agent_of_an_earlier_release_has_to_be_given_every_file(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    agent.answer = (400, b'{"error": "content of file: unexpected value"}')
    with pytest.raises(Lacking) as lacking:
        driver.apply(amphora, DesiredState(1, files=(File("a.pem", None), File("b.list", "a.pem"))))
    assert lacking.value.names == {"a.pem"}
    with pytest.raises(DriverError, match="answered 400"):
        driver.apply(amphora, DesiredState(1, files=(File("b.list", "a.pem"),)))


def test_an_agent_of_an_earlier_release_is_told_no_terms(
    driver: RestAmphoraDriver, amphora: Amphora, agent: FakeAgent
) -> None:
    agent.knows_terms = False
    assert driver.apply(amphora, DesiredState(1, term=7)).generation == 1
    agent.knows_terms = True  # it was replaced by one of this release
    driver.apply(amphora, DesiredState(1, term=7))
    assert agent.term == 7
    agent.answer = (412, b"[]")
    with pytest.raises(DriverError, match="something strange"):
        driver.apply(amphora, DesiredState(1, term=8))


def test_whoever_inherited_the_address_is_not_the_amphora(driver: RestAmphoraDriver) -> None:
    other = driver_lab.amphora(str(uuid.uuid4()), "127.0.0.1")
    with pytest.raises(Unreachable, match="certificate"):
        driver.apply(other, DesiredState(1))
    assert not driver.alive(other)


def test_an_agent_that_comes_up_late_is_found_at_once(
    tmp_path: Path, authority: LocalCertificateAuthority, amphora: Amphora
) -> None:
    with fake_agent(authority, amphora.id) as agent:
        port = agent.port
    driver = make_driver(tmp_path, authority, port)
    waiting = threading.Thread(target=driver.await_ready, args=(amphora, 5))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = tmp_path / "own.pem"
    own.write_bytes(authority.issue(amphora.id).pem)
    context.load_cert_chain(own)
    with socket.create_server(("127.0.0.1", port)) as listener:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as channel:
            assert channel.recv(4096).startswith(b"GET /v1/info ")
            channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            waiting.join(5)
    assert not waiting.is_alive()


def test_an_agent_that_accepts_and_says_nothing_does_not_hold_us(
    tmp_path: Path, authority: LocalCertificateAuthority, amphora: Amphora
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = make_driver(tmp_path, authority, silent.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            driver.apply(amphora, DesiredState(1))
        assert time.monotonic() - began < 3
