"""Builders of load-balancer trees for tests: every attribute has a sensible value until told otherwise.

Identifiers and times are made from numbers, so that the same calls give the same tree (golden files)::

    tree(listener(default_pool_id=POOL), pool(), member(1), member(2, weight=0), monitor())
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource
from hydria.model.statuses import (
    Algorithm,
    CompareType,
    HTTPMethod,
    ListenerProtocol,
    MonitorType,
    OperatingStatus,
    PolicyAction,
    PoolProtocol,
    ProvisioningStatus,
    RateLimitAction,
    RateLimitMetric,
    RuleType,
)
from hydria.model.tree import Tree

EPOCH = datetime(2026, 1, 1)  # noqa: DTZ001  (the model keeps times in UTC without saying so)
PROJECT = "9e000000000040008000000000000001"

_PREFIXES: dict[type[Resource], str] = {
    LoadBalancer: "1b000000",
    Listener: "11000000",
    Pool: "90000000",
    Member: "3e000000",
    HealthMonitor: "4e000000",
    L7Policy: "17000000",
    L7Rule: "71000000",
    RateLimitPolicy: "4a000000",
    RateLimitRule: "a4000000",
}


def identifier(resource: type[Resource], number: int = 1) -> str:
    """The id of the ``number``-th resource of its type."""
    return f"{_PREFIXES[resource]}-0000-4000-8000-{number:012x}"


BALANCER = identifier(LoadBalancer)
LISTENER = identifier(Listener)
POOL = identifier(Pool)
MEMBER = identifier(Member)
MONITOR = identifier(HealthMonitor)
POLICY = identifier(L7Policy)
RULE = identifier(L7Rule)
LIMIT_POLICY = identifier(RateLimitPolicy)
LIMIT_RULE = identifier(RateLimitRule)


def load_balancer(number: int = 1, /, **attributes: Any) -> LoadBalancer:
    """A load balancer at 192.0.2.10."""
    given: dict[str, Any] = {
        "name": f"lb-{number}",
        "vip_address": "192.0.2.10",
        "provider": "amphora",
        **attributes,
    }
    return LoadBalancer(**{**_common(LoadBalancer, number), **given})


def listener(number: int = 1, /, **attributes: Any) -> Listener:
    """An HTTP listener; the first at port 80, the next at 81, …; without a pool."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "name": f"listener-{number}",
        "protocol": ListenerProtocol.HTTP,
        "protocol_port": 79 + number,
        **attributes,
    }
    return Listener(**{**_common(Listener, number), **given})


def pool(number: int = 1, /, **attributes: Any) -> Pool:
    """An HTTP pool, round robin."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "name": f"pool-{number}",
        "protocol": PoolProtocol.HTTP,
        "lb_algorithm": Algorithm.ROUND_ROBIN,
        **attributes,
    }
    return Pool(**{**_common(Pool, number), **given})


def member(number: int = 1, /, **attributes: Any) -> Member:
    """A member of the first pool: 198.51.100.1:8080, 198.51.100.2:8080, …"""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "pool_id": POOL,
        "name": f"member-{number}",
        "address": f"198.51.{100 + number // 256}.{number % 256}",
        "protocol_port": 8080,
        **attributes,
    }
    return Member(**{**_common(Member, number), **given})


def monitor(number: int = 1, /, **attributes: Any) -> HealthMonitor:
    """An HTTP monitor of the first pool; of other types, without the attributes of HTTP."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "pool_id": POOL,
        "name": f"monitor-{number}",
        "type": MonitorType.HTTP,
        "delay": 5,
        "timeout": 3,
        "max_retries": 2,
        **attributes,
    }
    if given["type"] in (MonitorType.HTTP, MonitorType.HTTPS):
        given = {"http_method": HTTPMethod.GET, "url_path": "/", "expected_codes": "200", **given}
    return HealthMonitor(**{**_common(HealthMonitor, number), **given})


def policy(number: int = 1, /, **attributes: Any) -> L7Policy:
    """A policy of the first listener that rejects requests; its position is its number."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "listener_id": LISTENER,
        "name": f"policy-{number}",
        "action": PolicyAction.REJECT,
        "position": number,
        **attributes,
    }
    return L7Policy(**{**_common(L7Policy, number), **given})


def rule(number: int = 1, /, **attributes: Any) -> L7Rule:
    """A rule of the first policy: the path begins with ``/1``, ``/2``, …"""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "l7policy_id": POLICY,
        "type": RuleType.PATH,
        "compare_type": CompareType.STARTS_WITH,
        "value": f"/{number}",
        **attributes,
    }
    return L7Rule(**{**_common(L7Rule, number), **given})


def limit_policy(number: int = 1, /, **attributes: Any) -> RateLimitPolicy:
    """A rate limit policy of the first listener that denies requests."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "listener_id": LISTENER,
        "name": f"limit-{number}",
        "action": RateLimitAction.DENY,
        **attributes,
    }
    return RateLimitPolicy(**{**_common(RateLimitPolicy, number), **given})


def limit_rule(number: int = 1, /, **attributes: Any) -> RateLimitRule:
    """A rule of the first rate limit policy: 100 requests in 30 seconds."""
    given: dict[str, Any] = {
        "load_balancer_id": BALANCER,
        "rate_limit_policy_id": LIMIT_POLICY,
        "metric": RateLimitMetric.REQUESTS,
        "threshold": 100,
        **attributes,
    }
    return RateLimitRule(**{**_common(RateLimitRule, number), **given})


def tree(*resources: Resource) -> Tree:
    """A tree of these, in any order; a load balancer is made if none is given."""
    balancers = [item for item in resources if isinstance(item, LoadBalancer)]
    return Tree(
        balancers[0] if balancers else load_balancer(),
        tuple(item for item in resources if isinstance(item, Listener)),
        tuple(item for item in resources if isinstance(item, Pool)),
        tuple(item for item in resources if isinstance(item, Member)),
        tuple(item for item in resources if isinstance(item, HealthMonitor)),
        tuple(item for item in resources if isinstance(item, L7Policy)),
        tuple(item for item in resources if isinstance(item, L7Rule)),
        tuple(item for item in resources if isinstance(item, RateLimitPolicy)),
        tuple(item for item in resources if isinstance(item, RateLimitRule)),
    )


def web(members: int = 2) -> Tree:
    """The usual: one HTTP listener, its pool, some members and a health monitor."""
    return tree(
        listener(default_pool_id=POOL),
        pool(),
        *(member(number) for number in range(1, members + 1)),
        monitor(),
    )


def _common(resource: type[Resource], number: int) -> dict[str, Any]:
    return {
        "id": identifier(resource, number),
        "project_id": PROJECT,
        "admin_state_up": True,
        "provisioning_status": ProvisioningStatus.ACTIVE,
        "operating_status": OperatingStatus.ONLINE,
        "created_at": EPOCH + timedelta(seconds=number),
        "updated_at": None,
        "generation": 1,
    }
