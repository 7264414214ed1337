"""Somebody guesses passwords: those who are known do not notice, and the log knows who it was."""

import base64
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import bcrypt
import pytest
from falcon import testing

from hydria.api import guesses, program
from hydria.api.faults import TooMany
from hydria.messages import LocalWakeups
from hydria.settings import ApiSettings, Settings
from hydria.store import Store
from tests.databases import new_store
from tests.unit.api_writing import embedded_network

LIST = "/v2/lbaas/loadbalancers"
SECRET = "correct horse"
COSTS = {"cheap": 4, "ann": 8, "dear": 10}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def client(tmp_path: Path, store: Store) -> testing.TestClient:
    users = tmp_path / "htpasswd"
    lines = [
        f"{user}:{bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(cost)).decode()}\n"
        for user, cost in COSTS.items()
    ]
    users.write_text("".join(lines))
    options = ApiSettings(auth_strategy="http_basic", http_basic_auth_user_file=str(users))
    settings = Settings(api_settings=options)
    services = program.services(settings, store, embedded_network(), LocalWakeups())
    return testing.TestClient(program.application(services))


def ask(
    client: testing.TestClient, user: str, password: str = SECRET, address: str = "127.0.0.1"
) -> testing.Result:
    said = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {said}", "Host": "localhost"}
    return client.simulate_get(LIST, headers=headers, remote_addr=address)


def test_an_address_has_some_wrong_passwords_a_minute(client: testing.TestClient) -> None:
    assert ask(client, "ann").status_code == 200
    answers = [ask(client, "cheap", str(number)) for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
    assert "wrong passwords" in answers[-1].json["faultstring"]
    assert ask(client, "cheap").status_code == 429  # a right one is not found out either
    assert ask(client, "ann").status_code == 200  # who is known already stays so, also from there
    assert ask(client, "cheap", address="127.0.0.2").status_code == 200


def test_many_addresses_keep_nobody_waiting(client: testing.TestClient) -> None:
    assert ask(client, "ann").status_code == 200
    assert ask(client, "dear", address="127.0.0.9").status_code == 200
    end = time.monotonic() + 3
    statuses: set[int] = set()

    def guess(number: int) -> None:
        while time.monotonic() < end:
            address = f"127.1.{number}.{int(time.monotonic() * 9) % 250}"
            statuses.add(ask(client, "nobody", "x", address).status_code)
            time.sleep(0.05)  # they share ann's interpreter, as strangers of a real server do not

    took = []
    with ThreadPoolExecutor(16) as strangers:
        done = [strangers.submit(guess, number) for number in range(16)]
        while time.monotonic() < end:
            began = time.monotonic()
            assert ask(client, "ann").status_code == 200
            took.append(time.monotonic() - began)
        for each in done:
            each.result()
    assert statuses == {401, 429}
    assert median(took) < 0.5


def test_friends_wait_apart_from_strangers() -> None:
    line = guesses.Guesses()
    assert line.judged("192.0.2.1", lambda: True)
    go_on, waiting = threading.Event(), threading.Semaphore(0)

    def slow() -> bool:
        waiting.release()
        return not go_on.wait(20)

    with ThreadPoolExecutor(4) as strangers:
        done = [strangers.submit(line.judged, f"198.51.100.{number}", slow) for number in range(4)]
        assert waiting.acquire(timeout=10)
        deadline = time.monotonic() + 10
        while True:  # until all four are in
            assert time.monotonic() < deadline
            try:
                line.judged("198.51.100.9", lambda: True)
            except TooMany:
                break
        assert line.judged("192.0.2.1", lambda: True)
        go_on.set()
        assert [each.result() for each in done] == [False] * 4


def test_a_client_of_ipv6_is_a_network() -> None:
    assert (
        guesses.network("2001:db8::1")
        == guesses.network("2001:db8::ffff:1")
        != guesses.network("2001:db8:0:1::1")
    )
    assert guesses.network("::ffff:192.0.2.1") == guesses.network("192.0.2.1") != guesses.network("192.0.2.2")
    assert guesses.network("") == ""
    line = guesses.Guesses()
    for number in range(10):
        assert not line.judged(f"2001:db8::{number}", lambda: False)
    with pytest.raises(TooMany):
        line.judged("2001:db8::99", lambda: True)
    assert line.judged("2001:db8:1::1", lambda: True)


def test_the_log_says_who_guessed_what_from_where(
    client: testing.TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "hydria.api.access_log"):
        ask(client, "ann", "wrong-secret", "127.0.0.7")
        ask(client, "no\nbody", "wrong-secret", "127.0.0.8")
        ask(client, "ann", address="127.0.0.9")
    lines = [record.getMessage() for record in caplog.records if record.name == "hydria.api.access_log"]
    assert lines[0].endswith("project - from 127.0.0.7 user ann")
    assert lines[1].endswith(r"project - from 127.0.0.8 user no\nbody")
    assert lines[2].endswith("project ann from 127.0.0.9 user ann")
    assert "wrong-secret" not in caplog.text


def test_times_do_not_tell_who_exists(client: testing.TestClient) -> None:
    took: dict[str, list[float]] = {}
    for round_ in range(5):
        for user in ("cheap", "ann", "dear", "nobody"):
            began = time.process_time()  # of this process' threads: others on the machine do not count
            assert ask(client, user, "wrong", f"127.2.{round_}.1").status_code == 401
            took.setdefault(user, []).append(time.process_time() - began)
    times = [min(each) for each in took.values()]
    assert max(times) < 1.5 * min(times)


def test_cheap_hashes_are_warned_of(
    client: testing.TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from hydria.api import htpasswd

    with caplog.at_level(logging.WARNING):
        htpasswd.read(tmp_path / "htpasswd")
    assert "the hashes of ann, cheap are of a cost below 10" in caplog.text
    assert client is not None
