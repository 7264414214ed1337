"""Random valid changes of every kind to one load balancer, which serves all the while.

Each kind comes as often as any other. The first member of each pool is left alone, so that there always is
one; all else is added, changed and taken away again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# method, path, body -> the decoded answer; AssertionError when the API refuses
Call = Callable[..., Any]
Body = dict[str, Any]

HTTP, TLS, TLS_TOO, TCP, UDP = 80, 443, 8443, 9000, 5353
_SPARE = range(10_000, 10_400)  # ports of listeners that nobody uses
_HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "X-Client-IP")
_COOKIE = {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}
_PERSISTENCE = {"HTTP": ("SOURCE_IP", "HTTP_COOKIE", _COOKIE), "TCP": ("SOURCE_IP",), "UDP": ("SOURCE_IP",)}
_MONITORS = {"HTTP": ("HTTP", "TCP"), "TCP": ("TCP", "HTTP"), "UDP": ("UDP-CONNECT",)}
_ALGORITHMS = ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT")
_MATCHES = (
    ("PATH", "STARTS_WITH"),
    ("HOST_NAME", "EQUAL_TO"),
    ("HEADER", "CONTAINS"),
    ("COOKIE", "EQUAL_TO"),
)


@dataclass
class Pool:
    """``members``: id -> its port and backup flag, weight, admin state as last set; the first stays."""

    id: str
    protocol: str
    members: dict[str, Body] = field(default_factory=dict)
    monitor: str = ""
    persistent: bool = False

    @property
    def loose(self) -> list[str]:
        """Those that may be changed."""
        return list(self.members)[1:]


class Changes:
    """``clients``: the addresses that load comes from. ``ports``: of members that can come and go."""

    def __init__(self, call: Call, members: str, clients: Sequence[str], ports: range, seed: int) -> None:
        self._call, self._address, self._ports = call, members, ports
        self._clients = [f"{client}/32" for client in clients]
        self._random = random.Random(seed)
        self._bag: list[str] = []
        self._spare_listeners: list[str] = []
        self._spare_pools: list[str] = []
        self._policies: dict[str, list[str]] = {}  # id -> its rules
        self._spare_ports = iter(_SPARE)
        self.removed: set[int] = set()  # ports of members that were taken away, but from UDP
        self.pools: dict[str, Pool] = {}
        self.listeners: dict[int, str] = {}
        self.id = self.address = ""
        self.kinds = sorted(name.removeprefix("_do_") for name in dir(self) if name.startswith("_do_"))

    # --- what is there at first

    def order(self, base: range, certificate: str, name: str = "mixed") -> None:
        """A load balancer with a listener of each protocol, and members on the base ports."""
        tls = {"default_tls_container_ref": certificate}
        listeners = [
            self._listener("HTTP", HTTP, "web", base),
            self._listener("TERMINATED_HTTPS", TLS, "tls", base) | tls,
            self._listener("TERMINATED_HTTPS", TLS_TOO, "tls too", base) | tls,
            self._listener("TCP", TCP, "tcp", base),
        ]
        body = {"name": name, "listeners": listeners}
        made = self._call("POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        self.id, self.address = made["id"], made["vip_address"]
        for listener in made["listeners"]:
            self.listeners[listener["protocol_port"]] = listener["id"]
        for pool in made["pools"]:
            self._know(pool["name"], pool["id"])

    def extend(self, base: range) -> None:
        """What not every build serves: UDP and L7. Kinds that it refuses are left out."""
        self._fill(self._pool("HTTP", "other", base))
        try:
            body = self._listener("UDP", UDP, "udp", base)
            pool = self._fill(body.pop("default_pool"))
            body |= {"loadbalancer_id": self.id, "default_pool_id": pool}
            self.listeners[UDP] = self._make("listener", body)
        except AssertionError as refusal:
            self._leave_out(refusal, "udp")
        try:
            self._do_l7_policy_add()
        except AssertionError as refusal:
            self._leave_out(refusal, "l7")

    def _leave_out(self, refusal: AssertionError, what: str) -> None:
        if "501" not in str(refusal):
            raise refusal
        self.kinds = [kind for kind in self.kinds if not kind.startswith(what)]

    def _listener(self, protocol: str, port: int, name: str, base: range) -> Body:
        of_pool = "HTTP" if protocol == "TERMINATED_HTTPS" else protocol
        pool = self._pool(of_pool, name, base)
        return {"name": name, "protocol": protocol, "protocol_port": port, "default_pool": pool}

    def _pool(self, protocol: str, name: str, base: range) -> Body:
        members = [{"address": self._address, "protocol_port": port} for port in base]
        return {"name": name, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "members": members}

    def _fill(self, pool: Body) -> str:
        """Make a pool and its members."""
        members = {"members": pool.pop("members")}
        made = self._make("pool", pool | {"loadbalancer_id": self.id})
        self._call("PUT", f"/pools/{made}/members", members)
        self._know(pool["name"], made)
        return made

    def _know(self, name: str, pool_id: str) -> None:
        shown = self._call("GET", f"/pools/{pool_id}")["pool"]
        pool = self.pools[name] = Pool(pool_id, shown["protocol"])
        members = self._call("GET", f"/pools/{pool_id}/members")["members"]
        for member in sorted(members, key=lambda member: int(member["protocol_port"])):
            pool.members[member["id"]] = {"protocol_port": member["protocol_port"]}

    # --- changes

    def one(self) -> str:
        """Make one; its kind."""
        while True:
            if not self._bag:
                self._bag = self._random.sample(self.kinds, len(self.kinds))
            kind = self._bag.pop()
            if getattr(self, f"_do_{kind}")() is not False:
                return kind.replace("_", " ")

    def tidy(self) -> None:
        """Take away what the changes have added."""
        for listener in self._spare_listeners:
            self._call("DELETE", f"/listeners/{listener}")
        for pool in self._spare_pools:
            self._call("DELETE", f"/pools/{pool}")
        for policy in self._policies:
            self._call("DELETE", f"/l7policies/{policy}")
        for each in self.pools.values():
            while self._remove_member(each) is not False:
                pass

    def restructure(self) -> None:
        """Make a change that HAProxy cannot take up while it runs."""
        self._do_listener_timeouts()

    def _make(self, root: str, body: Body, path: str = "") -> str:
        return str(self._call("POST", path or f"/{root}s", {root: body})[root]["id"])

    def _any(self, *protocols: str) -> Pool:
        wanted = protocols or ("HTTP", "TCP")
        return self._random.choice([pool for pool in self.pools.values() if pool.protocol in wanted])

    def _member(self, pool: Pool, wanted: Callable[[Body], bool] = bool) -> str | None:
        found = [identifier for identifier in pool.loose if wanted(pool.members[identifier])]
        return self._random.choice(found) if found else None

    def _change_member(self, pool: Pool, **values: Any) -> bool:
        identifier = self._member(pool)
        if identifier is None:
            return False
        self._call("PUT", f"/pools/{pool.id}/members/{identifier}", {"member": values})
        pool.members[identifier] |= values
        return True

    def _change_listener(self, *ports: int, **values: Any) -> None:
        chosen = self._random.choice([port for port in ports if port in self.listeners])
        self._call("PUT", f"/listeners/{self.listeners[chosen]}", {"listener": values})

    def _add_member(self, pool: Pool) -> bool | None:
        taken = {member["protocol_port"] for member in pool.members.values()}
        port = self._random.choice([port for port in self._ports if port not in taken])
        values = {"protocol_port": port, "weight": self._random.randint(1, 256)}
        body = {"address": self._address, **values}
        pool.members[self._make("member", body, f"/pools/{pool.id}/members")] = values
        return None

    def _remove_member(self, pool: Pool) -> bool | None:
        identifier = self._member(pool, lambda member: member["protocol_port"] in self._ports)
        if identifier is None:
            return False
        self._call("DELETE", f"/pools/{pool.id}/members/{identifier}")
        port = int(pool.members.pop(identifier)["protocol_port"])
        if pool.protocol != "UDP":
            self.removed.add(port)
        return None

    def _do_member_add(self) -> bool | None:
        return self._add_member(self._any())

    def _do_member_remove(self) -> bool | None:
        return self._remove_member(self._any())

    def _do_member_weight(self) -> bool | None:
        return self._change_member(self._any(), weight=self._random.randint(1, 256))

    def _do_member_drain(self) -> bool | None:
        return self._change_member(self._any(), weight=0)

    def _do_member_admin_state(self) -> bool | None:
        return self._change_member(self._any(), admin_state_up=self._random.random() < 0.5)

    def _do_member_backup(self) -> bool | None:
        return self._change_member(self._any(), backup=self._random.random() < 0.5)

    def _do_member_monitor_port(self) -> bool | None:
        return self._change_member(self._any(), monitor_port=self._random.choice((None, 8001)))

    def _do_member_name(self) -> bool | None:
        return self._change_member(self._any(), name=self._random.choice("abc"))

    def _do_member_batch(self) -> bool | None:
        """Every member of the pool has another weight, and one more comes."""
        pool = self._any()
        fresh = next(port for port in self._ports if port not in self._taken(pool))
        first = next(iter(pool.members.values()))["protocol_port"]
        members = [
            {"protocol_port": port, "weight": 1 if port == first else self._random.randint(0, 256)}
            for port in (*self._taken(pool), fresh)
        ]
        body = [{"address": self._address, **member} for member in members]
        self._call("PUT", f"/pools/{pool.id}/members", {"members": body})
        ids = {
            member["protocol_port"]: member["id"]
            for member in self._call("GET", f"/pools/{pool.id}/members")["members"]
        }
        pool.members = {ids[member["protocol_port"]]: member for member in members}
        return None

    def _taken(self, pool: Pool) -> list[int]:
        return [member["protocol_port"] for member in pool.members.values()]

    def _do_listener_timeouts(self) -> None:
        names = ("timeout_client_data", "timeout_member_data", "timeout_member_connect")
        values = {name: self._random.randint(20, 60) * 1000 for name in names}
        self._change_listener(HTTP, TLS, TCP, **values)

    def _do_listener_limit(self) -> None:
        limit = self._random.choice((-1, 1000, 2000, 3000, 5000))
        self._change_listener(HTTP, TLS, TCP, connection_limit=limit)

    def _do_listener_allowed_cidrs(self) -> None:
        choices = (None, self._clients, ["192.0.2.0/24", *self._clients], ["0.0.0.0/0"])
        self._change_listener(HTTP, TLS, TCP, allowed_cidrs=self._random.choice(choices))

    def _do_listener_headers(self) -> None:
        chosen = self._random.sample(_HEADERS, self._random.randint(0, 3))
        self._change_listener(HTTP, TLS, insert_headers=dict.fromkeys(chosen, "true"))

    def _do_listener_name(self) -> None:
        self._change_listener(HTTP, TLS, TCP, name=self._random.choice("abc"))

    def _do_listener_hsts(self) -> None:
        self._change_listener(TLS, TLS_TOO, hsts_max_age=self._random.choice((None, 60, 3600)))

    def _do_listener_add(self) -> bool | None:
        protocol = self._random.choice(("HTTP", "TCP"))
        body = self._listener(protocol, next(self._spare_ports), "spare", self._ports[:1])
        body.pop("default_pool")
        if self._spare_pools and self._random.random() < 0.5:
            pool_id = self._spare_pools[0]
            body["protocol"] = "HTTP"
            body["default_pool_id"] = pool_id
        self._spare_listeners.append(self._make("listener", body | {"loadbalancer_id": self.id}))
        return None

    def _do_listener_remove(self) -> bool | None:
        if not self._spare_listeners:
            return False
        self._call("DELETE", f"/listeners/{self._spare_listeners.pop()}")
        return None

    def _do_listener_admin_state(self) -> bool | None:
        if not self._spare_listeners:
            return False
        chosen = self._random.choice(self._spare_listeners)
        up = self._random.random() < 0.5
        self._call("PUT", f"/listeners/{chosen}", {"listener": {"admin_state_up": up}})
        return None

    def _do_pool_add(self) -> None:
        body = {"name": "spare", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
        self._spare_pools.append(self._make("pool", body | {"loadbalancer_id": self.id}))

    def _do_pool_remove(self) -> bool | None:
        if not self._spare_pools:
            return False
        self._call("DELETE", f"/pools/{self._spare_pools.pop()}")
        return None

    def _change_pool(self, pool: Pool, **values: Any) -> None:
        self._call("PUT", f"/pools/{pool.id}", {"pool": values})

    def _do_pool_algorithm(self) -> None:
        self._change_pool(self._any(), lb_algorithm=self._random.choice(_ALGORITHMS))

    def _do_pool_persistence(self) -> None:
        self._persist(self._any())

    def _persist(self, pool: Pool) -> None:
        chosen = self._random.choice(_PERSISTENCE[pool.protocol])
        wanted = {"type": chosen} if isinstance(chosen, str) else chosen
        self._change_pool(pool, session_persistence=None if pool.persistent else wanted)
        pool.persistent = not pool.persistent

    def _do_listener_default_pool(self) -> None:
        chosen = self._random.choice(("web", "other"))
        self._change_listener(HTTP, default_pool_id=self.pools[chosen].id)

    def _do_monitor_add(self) -> bool | None:
        return self._add_monitor("HTTP", "TCP")

    def _add_monitor(self, *protocols: str) -> bool | None:
        pool = self._any(*protocols)
        if pool.monitor:
            return False
        kind = self._random.choice(_MONITORS[pool.protocol])
        timing = {"delay": 4, "timeout": 2, "max_retries": 1, "max_retries_down": 3}
        pool.monitor = self._make("healthmonitor", {"type": kind, "pool_id": pool.id, **timing})
        return None

    def _do_monitor_change(self) -> bool | None:
        pool = self._any("HTTP", "TCP", "UDP")
        if not pool.monitor:
            return False
        values = {"delay": self._random.randint(4, 6), "max_retries": self._random.randint(1, 3)}
        self._call("PUT", f"/healthmonitors/{pool.monitor}", {"healthmonitor": values})
        return None

    def _do_monitor_remove(self) -> bool | None:
        pool = self._any("HTTP", "TCP", "UDP")
        if not pool.monitor:
            return False
        self._call("DELETE", f"/healthmonitors/{pool.monitor}")
        pool.monitor = ""
        return None

    # --- L7: policies of the HTTP listener, whose rules match none of the load's requests

    def _do_l7_policy_add(self) -> None:
        action = self._random.choice(
            (
                {"action": "REJECT"},
                {"action": "REDIRECT_TO_URL", "redirect_url": "http://www.example.org/"},
                {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://www.example.org"},
                {"action": "REDIRECT_TO_POOL", "redirect_pool_id": self.pools["other"].id},
            )
        )
        body = {"listener_id": self.listeners[HTTP], **action}
        policy = self._make("l7policy", body, "/l7policies")
        self._call("POST", f"/l7policies/{policy}/rules", {"rule": self._rule()})
        self._policies[policy] = []

    def _rule(self) -> Body:
        kind, compare = self._random.choice(_MATCHES)
        key = {"key": "X-Never"} if kind in ("HEADER", "COOKIE") else {}
        value = f"/never/{self._random.randint(1, 99)}" if kind == "PATH" else "never.example.org"
        return {"type": kind, "compare_type": compare, "value": value, **key}

    def _policy(self) -> str | None:
        return self._random.choice(list(self._policies)) if self._policies else None

    def _do_l7_policy_change(self) -> bool | None:
        policy = self._policy()
        if not policy:
            return False
        self._call("PUT", f"/l7policies/{policy}", {"l7policy": {"position": self._random.randint(1, 3)}})
        return None

    def _do_l7_policy_remove(self) -> bool | None:
        policy = self._policy()
        if not policy:
            return False
        self._call("DELETE", f"/l7policies/{policy}")
        del self._policies[policy]
        return None

    def _do_l7_rule_add(self) -> bool | None:
        policy = self._policy()
        if not policy:
            return False
        self._policies[policy].append(self._make("rule", self._rule(), f"/l7policies/{policy}/rules"))
        return None

    def _do_l7_rule_remove(self) -> bool | None:
        for policy, rules in self._policies.items():
            if rules:
                self._call("DELETE", f"/l7policies/{policy}/rules/{rules.pop()}")
                return None
        return False

    # --- UDP

    def _do_udp_member_add(self) -> bool | None:
        return self._add_member(self._any("UDP"))

    def _do_udp_member_remove(self) -> bool | None:
        return self._remove_member(self._any("UDP"))

    def _do_udp_member_weight(self) -> bool | None:
        return self._change_member(self._any("UDP"), weight=self._random.randint(0, 256))

    def _do_udp_member_admin_state(self) -> bool | None:
        return self._change_member(self._any("UDP"), admin_state_up=self._random.random() < 0.5)

    def _do_udp_member_backup(self) -> bool | None:
        return self._change_member(self._any("UDP"), backup=self._random.random() < 0.5)

    def _do_udp_algorithm(self) -> None:
        self._change_pool(self._any("UDP"), lb_algorithm=self._random.choice(_ALGORITHMS))

    def _do_udp_persistence(self) -> None:
        self._persist(self._any("UDP"))

    def _do_udp_monitor_add(self) -> bool | None:
        return self._add_monitor("UDP")

    def _do_udp_listener_add(self) -> None:
        body = {"protocol": "UDP", "protocol_port": next(self._spare_ports), "loadbalancer_id": self.id}
        self._spare_listeners.append(self._make("listener", body))

    def _do_udp_listener_allowed_cidrs(self) -> None:
        choices = (None, self._clients, ["192.0.2.0/24", *self._clients])
        self._change_listener(UDP, allowed_cidrs=self._random.choice(choices))
