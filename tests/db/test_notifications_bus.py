"""Notifications over a real broker: whoever listens gets them, and a broker that is away is in nobody's way."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from hydria import notifications
from hydria.model.load_balancer import LoadBalancer
from hydria.settings import NotificationSettings
from tests.databases import new_store
from tests.services import Service
from tests.unit.api_writing import Api

pytestmark = pytest.mark.db
SECONDS = 60.0


class Endpoint:
    """What a subscriber of Octavia's notifications has."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[tuple[str, str, Any, Any]] = queue.SimpleQueue()

    def info(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, _metadata: Any) -> None:
        self.heard.put((publisher_id, event_type, payload, ctxt))

    def await_type(self, event_type: str) -> tuple[str, str, Any, Any]:
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.heard.get(timeout=max(0.1, deadline - time.monotonic()))
            if found[1] == event_type:
                return found


@contextmanager
def listening(url: str) -> Iterator[Endpoint]:
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    endpoint = Endpoint()
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic="notifications")], [endpoint], executor="threading"
    )
    listener.start()
    try:
        yield endpoint
    finally:
        listener.stop()
        listener.wait()
        transport.cleanup()


@pytest.fixture
def api(tmp_path: Path, rabbitmq: Service) -> Iterator[Api]:
    made = Api(new_store(tmp_path))
    settings = dataclasses.replace(
        made.settings,
        oslo_messaging_notifications=NotificationSettings(
            driver=("messagingv2",), transport_url=rabbitmq.url
        ),
    )
    outbox = notifications.connect(settings, made.store)
    assert outbox is not None
    yield made
    outbox.close()


def test_a_listener_gets_octavias_notification(api: Api, rabbitmq: Service) -> None:
    with listening(rabbitmq.url) as endpoint:
        made = api.create(LoadBalancer, name="web")
        api.apply()
        publisher, _, payload, context = endpoint.await_type("octavia.loadbalancer.create.end")
        assert publisher == "octavia"
        assert payload["loadbalancer_id"] == made["id"]
        assert payload["name"] == "web"
        assert context["project_id"] == "p1"


def test_a_broker_that_is_away_holds_nothing_up_and_gets_them_when_it_is_back(
    api: Api, rabbitmq: Service
) -> None:
    rabbitmq.stop()
    try:
        began = time.monotonic()
        made = [api.create(LoadBalancer, name=f"lb{number}")["id"] for number in range(10)]
        assert time.monotonic() - began < 5
    finally:
        rabbitmq.start()
    with listening(rabbitmq.url) as endpoint:
        found = [endpoint.await_type("octavia.loadbalancer.create.start") for _ in made]
        assert [payload["loadbalancer_id"] for _, _, payload, _ in found] == made
