"""A small model of the API, made from the contract alone: what each request is answered, and what is there then.

It knows nothing of Hydria's code. Objects are plain dictionaries as a GET shows them; what only the service can
choose (ids, moments, the VIP) is learned from the answer to the POST and must never change after it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]

ACTIVE, ERROR = "ACTIVE", "ERROR"
CREATING, UPDATING, DELETING = "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"

COMMON: Body = {"name": "", "admin_state_up": True, "tags": []}
DEFAULTS: dict[str, Body] = {
    "loadbalancer": COMMON | {
        "description": "", "vip_qos_policy_id": None, "vip_sg_ids": [], "vip_vnic_type": "normal",
        "additional_vips": [], "provider": "amphora", "flavor_id": None, "availability_zone": None,
    },
    "listener": COMMON | {
        "description": "", "connection_limit": -1, "default_tls_container_ref": None, "sni_container_refs": [],
        "default_pool_id": None, "l7policies": [], "insert_headers": {}, "timeout_client_data": 50000,
        "timeout_member_connect": 5000, "timeout_member_data": 50000, "timeout_tcp_inspect": 0,
        "client_ca_tls_container_ref": None, "client_authentication": "NONE", "client_crl_container_ref": None,
        "allowed_cidrs": None, "tls_ciphers": None, "tls_versions": None, "alpn_protocols": None,
        "hsts_max_age": None, "hsts_include_subdomains": False, "hsts_preload": False,
    },
    "pool": COMMON | {
        "description": "", "session_persistence": None, "tls_container_ref": None, "ca_tls_container_ref": None,
        "crl_container_ref": None, "tls_enabled": False, "tls_ciphers": None, "tls_versions": None,
        "alpn_protocols": None,
    },
    "member": COMMON | {
        "weight": 1, "backup": False, "subnet_id": None, "monitor_address": None, "monitor_port": None,
        "vnic_type": "normal",
    },
    "healthmonitor": COMMON | {
        "max_retries_down": 3, "http_method": None, "url_path": None, "expected_codes": None,
        "http_version": None, "domain_name": None,
    },
    "l7policy": COMMON | {
        "description": "", "redirect_pool_id": None, "redirect_url": None, "redirect_prefix": None,
        "redirect_http_code": None,
    },
    "rule": {"admin_state_up": True, "tags": [], "key": None, "invert": False},
}  # fmt: skip
HTTP_MONITOR = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
# What only the service can choose.
LEARNED = (
    "id", "project_id", "tenant_id", "created_at", "vip_address", "vip_port_id", "vip_subnet_id",
    "vip_network_id",
)  # fmt: skip
FITS = {"HTTP": ("HTTP", "PROXY", "PROXYV2"), "TCP": ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP")}


@dataclass
class Item:
    """One object. ``own``: its attributes; ``balancer``, ``pool``: the ids of what it is on; a rule is in an L7 policy."""

    kind: str
    own: Body
    balancer: str
    pool: str | None = None
    status: str = CREATING
    updated: bool = False

    @property
    def id(self) -> str:
        return str(self.own["id"])

    @property
    def desired(self) -> bool:
        return self.status != DELETING

    @property
    def moved(self) -> bool:
        """Whether it has a time of update: since a request changed it, or its status did."""
        return self.updated or self.status != CREATING


@dataclass
class Model:
    """Everything there is, and what has been there."""

    items: dict[str, Item] = field(default_factory=dict)
    gone: dict[str, Item] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)  # listener -> its policies, by position

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items.values() if item.kind == kind]

    def find(self, kind: str, identifier: str | None) -> Item | None:
        item = self.items.get(identifier or "")
        return item if item is not None and item.kind == kind else None

    def below(self, balancer: str) -> Iterator[Item]:
        return (
            item for item in self.items.values() if item.balancer == balancer and item.kind != "loadbalancer"
        )

    # --- what is shown

    def shown(self, item: Item) -> Body:
        """The object as GET shows it, without moments and without what heartbeats decide."""
        body = copy.deepcopy(item.own) | {"provisioning_status": item.status}
        below = list(self.below(item.balancer))
        if item.kind == "loadbalancer":
            body["listeners"] = ids(each for each in below if each.kind == "listener")
            body["pools"] = ids(each for each in below if each.kind == "pool")
        if item.kind in ("listener", "pool"):
            body["loadbalancers"] = [{"id": item.balancer}]
        if item.kind == "pool":
            body["listeners"] = ids(iter(self.affected(item)))
            body["members"] = ids(each for each in below if each.kind == "member" and each.pool == item.id)
            monitor = self.monitor(item.id)
            if monitor is not None:
                body["healthmonitor_id"] = monitor.id
        if item.kind == "healthmonitor":
            body["pools"] = [{"id": item.pool}]
        if item.kind == "listener":
            body["l7policies"] = [{"id": each} for each in self.order.get(item.id, [])]
        if item.kind == "l7policy":
            body["rules"] = ids(each for each in below if each.kind == "rule" and each.pool == item.id)
            places = self.order.get(item.own["listener_id"], [])
            body["position"] = places.index(item.id) + 1 if item.id in places else None
        return body

    def monitor(self, pool: str) -> Item | None:
        return next((each for each in self.of("healthmonitor") if each.pool == pool and each.desired), None)

    # --- what workers do

    def apply(self, balancer: str) -> None:
        """All of a load balancer is as it is wanted."""
        owner = self.items[balancer]
        if not owner.desired:
            for item in [*self.below(balancer), owner]:
                self.gone[item.id] = self.items.pop(item.id)
            return
        for item in list(self.below(balancer)):
            if item.desired:
                item.status = ACTIVE
                continue
            self.gone[item.id] = self.items.pop(item.id)
            if item.kind == "pool":
                for listener in self.of("listener"):
                    if listener.own["default_pool_id"] == item.id:
                        listener.own["default_pool_id"] = None
        owner.status = ACTIVE

    def fail(self, balancer: str) -> None:
        """The amphora has refused what is wanted."""
        for item in [*self.below(balancer), self.items[balancer]]:
            if item.desired and item.status != ACTIVE:
                item.status = ERROR

    def pending(self) -> list[Item]:
        """Load balancers that a worker has something to do for."""
        return [item for item in self.of("loadbalancer") if item.status != ACTIVE]

    # --- what requests do; each returns the status code

    def locked(self, balancer: str) -> bool:
        return not self.items[balancer].desired

    def touch(self, balancer: str, *affected: Item | None) -> None:
        for item in (self.items[balancer], *affected):
            if item is not None and item.status in (ACTIVE, ERROR):
                item.status = UPDATING
        self.items[balancer].updated = True

    def affected(self, pool: Item) -> list[Item]:
        """The listeners that send traffic to a pool."""
        listeners = [each for each in self.below(pool.balancer) if each.kind == "listener"]
        return [each for each in listeners if pool.id in self.pools_of(each)]

    def pools_of(self, listener: Item) -> list[str]:
        """The pools that a listener sends traffic to: by default, or by policies that are enabled and have a rule."""
        pools = [] if listener.own["default_pool_id"] is None else [listener.own["default_pool_id"]]
        ruled = {rule.pool for rule in self.of("rule") if rule.desired}
        for policy in map(self.items.__getitem__, self.order.get(listener.id, [])):
            if policy.own["redirect_pool_id"] and policy.own["admin_state_up"] and policy.id in ruled:
                pools.append(policy.own["redirect_pool_id"])
        return list(dict.fromkeys(pools))

    def add(
        self, kind: str, given: Body, answer: Body, balancer: str | None, pool: str | None = None
    ) -> Item:
        """Take in an object as it was made; ``given``: what the request said of its own attributes."""
        own = DEFAULTS[kind] | given | {key: answer[key] for key in LEARNED if key in answer}
        if kind == "healthmonitor" and own["type"] == "HTTP":
            own |= {key: value for key, value in HTTP_MONITOR.items() if own[key] is None}
        item = Item(kind, copy.deepcopy(own), balancer or str(own["id"]), pool)
        self.items[item.id] = item
        return item

    def change(self, item: Item, given: Body) -> None:
        item.own |= copy.deepcopy(given)
        item.updated = True
        if item.status in (ACTIVE, ERROR):
            item.status = UPDATING

    def remove(self, item: Item) -> None:
        """Take an object out of what is wanted, with what is in it."""
        item.status, item.updated = DELETING, True
        if item.kind == "l7policy":
            self.order[item.own["listener_id"]].remove(item.id)
        for each in self.below(item.balancer):
            inside = each.pool == item.id or (each.kind == "l7policy" and each.own["listener_id"] == item.id)
            if inside and each.desired and item.kind != "loadbalancer":
                self.remove(each)

    def place(self, policy: Item, position: int | None) -> None:
        """Give a policy a position among the others, the last one if it names none."""
        places = self.order.setdefault(policy.own["listener_id"], [])
        if policy.id in places:
            places.remove(policy.id)
        places.insert(len(places) if position is None else min(position - 1, len(places)), policy.id)

    def create_policy(self, given: Body) -> int:
        listener = self.find("listener", given["listener_id"])
        if listener is None:
            return 404
        code = self._default_pool(
            listener.balancer, {"default_pool_id": given.get("redirect_pool_id")}, listener.own["protocol"]
        )
        if code:
            return code
        going = self._going_pool({"default_pool_id": given.get("redirect_pool_id")})
        return 409 if self.locked(listener.balancer) or not listener.desired or going else 201

    def create_listener(self, given: Body) -> int:
        balancer = self.find("loadbalancer", given["loadbalancer_id"])
        if balancer is None:
            return 404
        code = self._default_pool(balancer.id, given, given["protocol"])
        if code:
            return code
        if self.locked(balancer.id) or self._going_pool(given):
            return 409
        taken = (each.own["protocol_port"] for each in self.below(balancer.id) if each.kind == "listener" and each.desired)  # fmt: skip
        return 409 if given["protocol_port"] in taken else 201

    def update_listener(self, item: Item | None, given: Body) -> int:
        if item is None:
            return 404
        code = self._default_pool(item.balancer, given, item.own["protocol"])
        if code:
            return code
        return 409 if self.locked(item.balancer) or not item.desired or self._going_pool(given) else 200

    def _default_pool(self, balancer: str, given: Body, protocol: str) -> int:
        wanted = given.get("default_pool_id")
        if wanted is None:
            return 0
        pool = self.find("pool", wanted)
        if pool is None or pool.balancer != balancer:
            return 404
        return 0 if pool.own["protocol"] in FITS[protocol] else 400

    def _going_pool(self, given: Body) -> bool:
        pool = self.find("pool", given.get("default_pool_id"))
        return pool is not None and not pool.desired

    def create_pool(self, given: Body) -> int:
        listener = self.find("listener", given.get("listener_id"))
        if "loadbalancer_id" in given:
            balancer = self.find("loadbalancer", given["loadbalancer_id"])
        else:
            balancer = listener and self.items[listener.balancer]
        if balancer is None:
            return 404
        if "listener_id" in given:
            if listener is None or listener.balancer != balancer.id:
                return 404
            if given["protocol"] not in FITS[listener.own["protocol"]]:
                return 400
        if self.locked(balancer.id):
            return 409
        if listener is not None and "listener_id" in given:
            present = self.find("pool", listener.own["default_pool_id"])
            if not listener.desired or (present is not None and present.desired):
                return 409
        return 201

    def change_child(self, item: Item | None) -> int:
        """PUT of something in a pool, or of a pool itself; 0: it may."""
        if item is None:
            return 404
        pool = self.items.get(item.pool or "")
        if self.locked(item.balancer) or not item.desired or (pool is not None and not pool.desired):
            return 409
        return 0

    def delete_child(self, item: Item | None) -> int:
        if item is None:
            return 404
        if self.locked(item.balancer):
            return 409
        if not item.desired:
            return 204  # again, while it is on its way out
        pool = self.items.get(item.pool or "")
        redirected = item.kind == "pool" and any(
            each.own["redirect_pool_id"] == item.id and each.desired for each in self.of("l7policy")
        )
        return 409 if redirected or (pool is not None and not pool.desired) else 0

    def create_in_pool(self, pool: Item | None) -> int:
        if pool is None:
            return 404
        return 409 if self.locked(pool.balancer) or not pool.desired else 0

    def places(self, pool: str) -> dict[tuple[str, int], Item]:
        """Address and port -> member, of those that stay."""
        return {
            (each.own["address"], each.own["protocol_port"]): each
            for each in self.of("member")
            if each.pool == pool and each.desired
        }


def ids(items: Iterator[Item]) -> list[Body]:
    return [{"id": identifier} for identifier in sorted(item.id for item in items)]
