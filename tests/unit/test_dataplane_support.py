import pytest

from hydria.dataplane.support import unsupported
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import HEADERS, SSL_HEADERS, Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.statuses import (
    Algorithm,
    ListenerProtocol,
    MonitorType,
    PoolProtocol,
)

SERVED = {
    (Listener, "protocol"): set(ListenerProtocol),
    (Pool, "protocol"): set(PoolProtocol),
    (Pool, "lb_algorithm"): set(Algorithm),
    (HealthMonitor, "type"): set(MonitorType),
}


@pytest.mark.parametrize(("resource", "attribute"), SERVED)
def test_words_are_served_or_refused_by_name(resource, attribute):
    served = SERVED[resource, attribute]
    for word in type(next(iter(served))):
        sentence = unsupported(resource, {attribute: word})
        if word in served:
            assert sentence is None
        else:
            assert sentence == f"{attribute} '{word}' is not served by the amphora data plane yet."


@pytest.mark.parametrize(
    ("resource", "values"),
    [
        (Listener, {}),
        (Listener, {"insert_headers": dict.fromkeys((*HEADERS, *SSL_HEADERS), "true")}),
        (Pool, {"tls_enabled": True, "session_persistence": None}),
        (
            Pool,
            {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "x", "persistence_timeout": None}},
        ),
        (Member, {"backup": True}),
        (LoadBalancer, {"vip_address": "192.0.2.1"}),
    ],
)
def test_served(resource, values):
    assert unsupported(resource, values) is None
