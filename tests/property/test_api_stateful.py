"""Random sequences of requests, valid and not, against a model of the API and the real one; workers are killed.

``HYDRIA_STATEFUL_EXAMPLES`` and ``HYDRIA_STATEFUL_STEPS`` ask for longer runs.
"""

from __future__ import annotations

import os
import shutil
import uuid
from typing import Any

import sqlalchemy as sa
from falcon import testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hydria import settings as settings_module
from hydria.api import program
from hydria.api.app import make_app
from hydria.messages import LocalWakeups
from hydria.store import Store, tables
from tests.property.api_model import ACTIVE, DELETING, ERROR, FITS, Body, Item, Model
from tests.property.api_workers import Template, Workers

EXAMPLES = int(os.environ.get("HYDRIA_STATEFUL_EXAMPLES", "12"))
STEPS = int(os.environ.get("HYDRIA_STATEFUL_STEPS", "40"))
ROOT = "/v2/lbaas"
PLURAL = {
    "loadbalancer": "loadbalancers", "listener": "listeners", "pool": "pools", "healthmonitor": "healthmonitors",
    "l7policy": "l7policies",
}  # fmt: skip
KINDS = (*PLURAL, "member", "rule")
NOBODY = str(uuid.UUID(int=7))
# Not compared: moments, and what heartbeats decide.
UNSTEADY = ("created_at", "updated_at", "operating_status")

COMMON = 24
providers = st.sampled_from(["amphora", "noop_driver"])
index = st.integers(0, COMMON + 3)
names = st.sampled_from(["", "web", "ünïcode ☃", "a'b\"c;--", "x" * 255])
flags = st.booleans()
tags = st.lists(st.sampled_from(["a", "b", "blue green", "é"]), max_size=3, unique=True)
ports = st.sampled_from([80, 81, 443])
protocols = st.sampled_from(["HTTP", "TCP"])
pool_protocols = st.sampled_from(["HTTP", "TCP", "PROXY"])
addresses = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"])


def some(**optional: Any) -> st.SearchStrategy[Body]:
    """Any of these attributes."""
    return st.fixed_dictionaries({}, optional=optional)


shared = {"name": names, "admin_state_up": flags, "tags": tags}
of_balancer = some(**shared, description=names)
of_listener = some(
    **shared, description=names, connection_limit=st.sampled_from([-1, 1, 5000]), timeout_client_data=st.sampled_from([0, 7000]),
    insert_headers=st.sampled_from([{}, {"X-Forwarded-For": "true"}]),
)  # fmt: skip
of_pool = some(
    **shared, description=names, lb_algorithm=st.sampled_from(["ROUND_ROBIN", "LEAST_CONNECTIONS"])
)
of_member = some(
    **shared, weight=st.integers(0, 256), backup=flags, monitor_port=st.sampled_from([None, 8080])
)
of_monitor = some(
    **shared, delay=st.integers(5, 9), max_retries=st.integers(1, 10), timeout=st.integers(1, 4)
)
of_policy = some(**shared, description=names)
of_rule = some(admin_state_up=flags, tags=tags, invert=flags, value=st.sampled_from(["/a", "/b/c"]))
members = st.lists(st.tuples(addresses, ports, of_member), max_size=3)


template: list[Template] = []


class ApiMachine(RuleBasedStateMachine):
    """Requests and workers, in any order."""

    def __init__(self) -> None:
        super().__init__()
        if not template:
            template.append(Template())
        self.directory = template[0].copy()
        self.workers = Workers(self.directory)
        configured = settings_module.load(
            overrides={
                "DEFAULT": {"state_dir": str(self.directory)},
                "api_settings": {"enabled_provider_drivers": {"amphora": "", "noop_driver": ""}},
            }
        )
        self.store = Store(configured.database_url)
        services = program.services(configured, self.store, self.workers.network, LocalWakeups())
        self.client = testing.TestClient(make_app(services), headers={"Host": "localhost"})
        self.model = Model()
        self.touched: set[str] = set()
        self.interrupted: set[str] = set()  # by a worker's death, since everything was as wanted

    def teardown(self) -> None:
        """In the end everything is as wanted, and nothing is left of what is gone."""
        try:
            self.settle()
            self.check_all()
            assert not [item for item in self.model.items.values() if item.status != ACTIVE]
            with self.store.read() as tx:
                for table in ("listeners", "pools", "members", "health_monitors", "l7policies", "l7rules"):
                    found = tx.execute(
                        sa.select(tables.BY_NAME[table].c.id, tables.BY_NAME[table].c.provisioning_status)
                    ).all()
                    assert {row.id for row in found} == {
                        item.id for item in self.model.items.values() if self.table(item) == table
                    }
                    assert {row.provisioning_status for row in found} <= {ACTIVE}
                owned = set(tx.execute(sa.select(tables.tags.c.resource_id)).scalars())
                assert owned <= set(self.model.items), "tags of what is gone"
                leased = set(tx.execute(sa.select(tables.leases.c.load_balancer_id)).scalars())
                assert leased == {item.id for item in self.model.of("loadbalancer")}
                held = tx.execute(
                    sa.select(tables.leases.c.owner).where(tables.leases.c.owner.is_not(None))
                ).all()
                assert not held
        finally:
            self.store.close()
            self.workers.store.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def table(item: Item) -> str:
        return {
            "listener": "listeners",
            "pool": "pools",
            "member": "members",
            "healthmonitor": "health_monitors",
            "l7policy": "l7policies",
            "rule": "l7rules",
        }.get(item.kind, "")

    # --- requests

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> testing.Result:
        return self.client.simulate_request(method, ROOT + path, json=body, params=params)

    def asked(self, expected: int, method: str, path: str, body: Any = None, **params: Any) -> Body:
        """The answer, which must have this status code."""
        answer = self.ask(method, path, body, **params)
        assert answer.status_code == expected, (method, path, body, expected, answer.status_code, answer.text)
        if expected >= 400:
            shown = answer.json
            assert shown.get("faultstring") or shown.get("description")
            return {}
        return answer.json if answer.text else {}

    def path(self, item: Item) -> str:
        if item.kind == "member":
            return f"/pools/{item.pool}/members/{item.id}"
        if item.kind == "rule":
            return f"/l7policies/{item.pool}/rules/{item.id}"
        return f"/{PLURAL[item.kind]}/{item.id}"

    def pick(self, kind: str, number: int) -> Item | None:
        """One of the objects that are there; with the last numbers one that was, or None for one that never was."""
        known = self.model.of(kind)
        if number >= COMMON:
            known = [item for item in self.model.gone.values() if item.kind == kind]
            return known[-1] if known and number % 2 else None
        return known[number % len(known)] if known else None

    def alive(self, kind: str, item: Item | None) -> Item | None:
        return None if item is None else self.model.find(kind, item.id)

    def id_of(self, item: Item | None) -> str:
        return NOBODY if item is None else item.id

    def done(self, balancer: str) -> None:
        """After every change: a provider that is done at once is done now."""
        self.touched.add(balancer)
        if self.model.items[balancer].own["provider"] == "noop_driver":
            self.model.apply(balancer)

    # --- load balancers

    @initialize(inside=members, provider=providers)
    def first_balancers(self, inside: list[Any], provider: str) -> None:
        once = list({(address, port): (address, port, more) for address, port, more in inside}.values())
        self.create_populated({}, {}, "HTTP", "HTTP", once, [80], monitored=True, provider=provider)
        self.create_balancer({}, "amphora")

    @rule(given=of_balancer, provider=providers)
    def create_balancer(self, given: Body, provider: str) -> None:
        body = {**given, "vip_subnet_id": str(uuid.uuid4()), "provider": provider}
        made = self.asked(201, "POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        assert made["vip_subnet_id"] == body["vip_subnet_id"]
        self.model.add("loadbalancer", {**given, "provider": provider}, made, None)
        self.done(made["id"])

    @rule(
        given=of_balancer, pool=of_pool, protocol=protocols, pool_protocol=pool_protocols, inside=members,
        listeners=st.lists(ports, max_size=2), monitored=flags, provider=providers,
    )  # fmt: skip
    def create_populated(
        self, given: Body, pool: Body, protocol: str, pool_protocol: str, inside: list[Any], listeners: list[int],
        monitored: bool, provider: str,
    ) -> None:  # fmt: skip
        pool = {"lb_algorithm": "ROUND_ROBIN", **pool, "name": "p", "protocol": pool_protocol}
        monitor = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
        nested = [{**more, "address": address, "protocol_port": port} for address, port, more in inside]
        body = {
            **given, "provider": provider, "vip_subnet_id": str(uuid.uuid4()),
            "pools": [pool | {"members": nested} | ({"healthmonitor": monitor} if monitored else {})],
            "listeners": [
                {"protocol": protocol, "protocol_port": port, "default_pool": {"name": "p"}} for port in listeners
            ],
        }  # fmt: skip
        places = [(address, port) for address, port, _ in inside]
        expected = 201
        if listeners and pool_protocol not in FITS[protocol]:
            expected = 400
        elif len(set(listeners)) < len(listeners) or len(set(places)) < len(places):
            expected = 409
        answer = self.asked(expected, "POST", "/loadbalancers", {"loadbalancer": body})
        if not answer:
            return
        made = answer["loadbalancer"]
        balancer = self.model.add("loadbalancer", {**given, "provider": provider}, made, None).id
        (shown_pool,) = made["pools"]
        pool_id = self.model.add("pool", pool, shown_pool, balancer).id
        for shown, port in zip(made["listeners"], listeners, strict=True):
            own = {"protocol": protocol, "protocol_port": port, "default_pool_id": pool_id}
            self.model.add("listener", own, shown, balancer)
        for shown, own in zip(shown_pool["members"], nested, strict=True):
            self.model.add("member", own, shown, balancer, pool_id)
        if monitored:
            self.model.add("healthmonitor", monitor, shown_pool["healthmonitor"], balancer, pool_id)
        self.done(balancer)

    @rule(which=index, given=of_balancer)
    def update_balancer(self, which: int, given: Body) -> None:
        picked = self.pick("loadbalancer", which)
        item = self.alive("loadbalancer", picked)
        expected = 404 if item is None else 409 if not item.desired else 200
        self.asked(expected, "PUT", f"/loadbalancers/{self.id_of(picked)}", {"loadbalancer": given})
        if item is not None and expected == 200:
            self.model.change(item, given)
            self.done(item.id)

    @rule(which=index, cascade=flags)
    def delete_balancer(self, which: int, cascade: bool) -> None:
        picked = self.pick("loadbalancer", which)
        item = self.alive("loadbalancer", picked)
        expected = 404
        if item is not None:
            children = [each for each in self.model.below(item.id) if each.desired]
            # What is in a pool that goes, goes with it.
            expected = 400 if children and not cascade else 204 if item.desired else 409
        params = {"cascade": "true"} if cascade else {}
        self.asked(expected, "DELETE", f"/loadbalancers/{self.id_of(picked)}", **params)
        if item is not None and expected == 204:
            self.model.remove(item)
            self.done(item.id)

    # --- listeners

    @rule(which=index, default=index, has_default=flags, protocol=protocols, port=ports, given=of_listener)
    def create_listener(
        self, which: int, default: int, has_default: bool, protocol: str, port: int, given: Body
    ) -> None:
        given = self.fitting(given, protocol)
        own = {**given, "protocol": protocol, "protocol_port": port}
        if has_default:
            own["default_pool_id"] = self.id_of(self.pick("pool", default))
        body = {**own, "loadbalancer_id": self.id_of(self.pick("loadbalancer", which))}
        expected = self.model.create_listener(body)
        answer = self.asked(expected, "POST", "/listeners", {"listener": body})
        if answer:
            item = self.model.add("listener", own, answer["listener"], body["loadbalancer_id"])
            self.model.touch(item.balancer)
            self.done(item.balancer)

    @staticmethod
    def fitting(given: Body, protocol: str) -> Body:
        """Headers are for HTTP alone."""
        return (
            given
            if protocol == "HTTP"
            else {key: each for key, each in given.items() if key != "insert_headers"}
        )

    @rule(which=index, default=index, action=st.sampled_from(["keep", "clear", "set"]), given=of_listener)
    def update_listener(self, which: int, default: int, action: str, given: Body) -> None:
        picked = self.pick("listener", which)
        item = self.alive("listener", picked)
        given = self.fitting(given, "TCP" if picked is None else picked.own["protocol"])
        if action != "keep":
            given = {
                **given,
                "default_pool_id": self.id_of(self.pick("pool", default)) if action == "set" else None,
            }
        expected = self.model.update_listener(item, given)
        self.asked(expected, "PUT", f"/listeners/{self.id_of(picked)}", {"listener": given})
        if item is not None and expected == 200:
            self.model.change(item, given)
            self.model.touch(item.balancer)
            self.done(item.balancer)

    @rule(which=index, kind=st.sampled_from(KINDS[1:]))
    def delete_child(self, which: int, kind: str) -> None:
        picked = self.pick(kind, which)
        item = self.alive(kind, picked)
        expected = self.model.delete_child(item)
        nowhere = {
            "member": f"/pools/{NOBODY}/members/{NOBODY}",
            "rule": f"/l7policies/{NOBODY}/rules/{NOBODY}",
        }
        path = nowhere.get(kind, f"/{PLURAL.get(kind)}/{NOBODY}") if picked is None else self.path(picked)
        self.asked(expected or 204, "DELETE", path)
        if item is None or expected:
            return
        pool = item if kind == "pool" else self.model.items.get(item.pool or "")
        affected = [pool, *self.model.affected(pool)] if pool is not None and pool.kind == "pool" else []
        self.model.remove(item)
        self.model.touch(item.balancer, *affected)
        if kind in ("l7policy", "rule"):
            self.touch_above(item)
        self.done(item.balancer)

    def touch_above(self, item: Item) -> None:
        """A policy affects its listener, a rule its policy, too."""
        policy = item if item.kind == "l7policy" else self.model.items[item.pool or ""]
        listener = self.model.items[policy.own["listener_id"]]
        self.model.touch(item.balancer, listener, *([policy] if item.kind == "rule" else []))

    # --- L7 policies and rules

    @rule(which=index, to=index, redirect=flags, position=st.sampled_from([None, 1, 2, 9]), given=of_policy)
    def create_policy(self, which: int, to: int, redirect: bool, position: int | None, given: Body) -> None:
        picked = self.pick("listener", which)
        if picked is not None and not self.serves_policies(picked):
            return
        own = {**given, "action": "REJECT", "listener_id": self.id_of(picked)}
        if redirect:
            own |= {"action": "REDIRECT_TO_POOL", "redirect_pool_id": self.id_of(self.pick("pool", to))}
        placed = own if position is None else {**own, "position": position}
        expected = self.model.create_policy(own)
        answer = self.asked(expected, "POST", "/l7policies", {"l7policy": placed})
        if answer:
            balancer = self.model.items[own["listener_id"]].balancer
            item = self.model.add("l7policy", own, answer["l7policy"], balancer)
            self.model.place(item, position)
            self.touch_above(item)
            self.done(balancer)

    def serves_policies(self, listener: Item) -> bool:
        """Which data planes serve policies, and on what, is theirs to say; one that does nothing serves all."""
        balancer = self.model.items.get(listener.balancer)
        return balancer is None or balancer.own["provider"] == "noop_driver"

    @rule(which=index, position=st.sampled_from([None, 1, 2, 9]), given=of_policy)
    def update_policy(self, which: int, position: int | None, given: Body) -> None:
        picked = self.pick("l7policy", which)
        item = self.alive("l7policy", picked)
        body = given if position is None else {**given, "position": position}
        expected = self.model.change_child(item) or 200
        if item is not None and not body:
            expected = 400
        self.asked(expected, "PUT", f"/l7policies/{self.id_of(picked)}", {"l7policy": body})
        if item is not None and expected == 200:
            self.model.change(item, given)
            if position is not None:
                self.model.place(item, position)
            self.touch_above(item)
            self.done(item.balancer)

    @rule(which=index, given=of_rule)
    def create_rule(self, which: int, given: Body) -> None:
        picked = self.pick("l7policy", which)
        policy = self.alive("l7policy", picked)
        own = {"value": "/", **given, "type": "PATH", "compare_type": "STARTS_WITH"}
        expected = self.model.create_in_pool(policy) or 201
        answer = self.asked(expected, "POST", f"/l7policies/{self.id_of(picked)}/rules", {"rule": own})
        if policy is not None and answer:
            self.touch_above(self.model.add("rule", own, answer["rule"], policy.balancer, policy.id))
            self.done(policy.balancer)

    @rule(which=index, given=of_rule)
    def update_rule(self, which: int, given: Body) -> None:
        picked = self.pick("rule", which)
        item = self.alive("rule", picked)
        expected = self.model.change_child(item) or 200
        path = f"/l7policies/{NOBODY}/rules/{NOBODY}" if picked is None else self.path(picked)
        self.asked(expected, "PUT", path, {"rule": given})
        if item is not None and expected == 200:
            self.model.change(item, given)
            self.touch_above(item)
            self.done(item.balancer)

    # --- pools

    @rule(which=index, by_listener=flags, both=flags, balancer=index, protocol=pool_protocols, given=of_pool)
    def create_pool(
        self, which: int, by_listener: bool, both: bool, balancer: int, protocol: str, given: Body
    ) -> None:
        own = {"lb_algorithm": "ROUND_ROBIN", **given, "protocol": protocol}
        body = dict(own)
        if by_listener:
            body["listener_id"] = self.id_of(self.pick("listener", which))
        if both or not by_listener:
            body["loadbalancer_id"] = self.id_of(self.pick("loadbalancer", balancer))
        expected = self.model.create_pool(body)
        answer = self.asked(expected, "POST", "/pools", {"pool": body})
        if answer:
            item = self.model.add("pool", own, answer["pool"], answer["pool"]["loadbalancers"][0]["id"])
            listener = self.model.find("listener", body.get("listener_id"))
            if listener is not None:
                self.model.change(listener, {"default_pool_id": item.id})
            self.model.touch(item.balancer)
            self.done(item.balancer)

    @rule(which=index, given=of_pool)
    def update_pool(self, which: int, given: Body) -> None:
        picked = self.pick("pool", which)
        item = self.alive("pool", picked)
        expected = self.model.change_child(item) or 200
        self.asked(expected, "PUT", f"/pools/{self.id_of(picked)}", {"pool": given})
        if item is not None and expected == 200:
            self.model.change(item, given)
            self.model.touch(item.balancer, *self.model.affected(item))
            self.done(item.balancer)

    # --- members

    @rule(which=index, address=addresses, port=ports, given=of_member)
    def create_member(self, which: int, address: str, port: int, given: Body) -> None:
        picked = self.pick("pool", which)
        pool = self.alive("pool", picked)
        expected = self.model.create_in_pool(pool)
        if pool is not None and not expected:
            expected = 409 if (address, port) in self.model.places(pool.id) else 201
        own = {**given, "address": address, "protocol_port": port}
        answer = self.asked(expected, "POST", f"/pools/{self.id_of(picked)}/members", {"member": own})
        if pool is not None and answer:
            start = "OFFLINE" if self.model.monitor(pool.id) else "NO_MONITOR"
            assert answer["member"]["operating_status"] == start
            self.model.add("member", own, answer["member"], pool.balancer, pool.id)
            self.model.touch(pool.balancer, pool, *self.model.affected(pool))
            self.done(pool.balancer)

    @rule(which=index, given=of_member)
    def update_member(self, which: int, given: Body) -> None:
        picked = self.pick("member", which)
        item = self.alive("member", picked)
        expected = self.model.change_child(item) or 200
        path = f"/pools/{NOBODY}/members/{NOBODY}" if picked is None else self.path(picked)
        self.asked(expected, "PUT", path, {"member": given})
        if item is not None and expected == 200:
            pool = self.model.items[item.pool or ""]
            self.model.change(item, given)
            self.model.touch(item.balancer, pool, *self.model.affected(pool))
            self.done(item.balancer)

    @rule(which=index, asked=members, additive=flags)
    def batch(self, which: int, asked: list[Any], additive: bool) -> None:
        picked = self.pick("pool", which)
        pool = self.alive("pool", picked)
        body = [{**more, "address": address, "protocol_port": port} for address, port, more in asked]
        wanted = [(address, port) for address, port, _ in asked]
        present = {} if pool is None else self.model.places(pool.id)
        repeated = {place for place in wanted if wanted.count(place) > 1}
        deleted = [] if additive else [each for place, each in present.items() if place not in wanted]
        expected = 404 if pool is None else 202
        if pool is not None and repeated:
            expected = 400 if repeated & set(present) else 409
        elif pool is not None and (body or deleted) and self.model.create_in_pool(pool):
            expected = 409
        params = {"additive_only": "true"} if additive else {}
        if repeated and repeated - set(present):
            # Which of two mistakes is told first is nobody's promise.
            assert self.ask(
                "PUT", f"/pools/{self.id_of(picked)}/members", {"members": body}, **params
            ).status_code in (400, 404, 409)
            return
        self.asked(expected, "PUT", f"/pools/{self.id_of(picked)}/members", {"members": body}, **params)
        if pool is None or expected != 202 or not (body or deleted):
            return
        for each in deleted:
            self.model.remove(each)
        defaults = {
            "weight": 1,
            "backup": False,
            "admin_state_up": True,
            "monitor_address": None,
            "monitor_port": None,
        }
        shown = self.asked(200, "GET", f"/pools/{pool.id}/members")["members"] if body else []
        for own in body:
            place = (own["address"], own["protocol_port"])
            if place in present:
                self.model.change(present[place], {**defaults, **own})
                continue
            (answer,) = [each for each in shown if (each["address"], each["protocol_port"]) == place and each["provisioning_status"] != DELETING]  # fmt: skip
            self.model.add("member", own, answer, pool.balancer, pool.id)
        self.model.touch(pool.balancer, pool, *self.model.affected(pool))
        self.done(pool.balancer)

    # --- monitors

    @rule(which=index, type_=st.sampled_from(["HTTP", "TCP"]), given=of_monitor)
    def create_monitor(self, which: int, type_: str, given: Body) -> None:
        picked = self.pick("pool", which)
        pool = self.alive("pool", picked)
        own = {"delay": 5, "timeout": 3, "max_retries": 2, **given, "type": type_}
        expected = self.model.create_in_pool(pool)
        if pool is not None and not expected:
            expected = 409 if self.model.monitor(pool.id) else 201
        answer = self.asked(
            expected, "POST", "/healthmonitors", {"healthmonitor": {**own, "pool_id": self.id_of(picked)}}
        )
        if pool is not None and answer:
            self.model.add("healthmonitor", own, answer["healthmonitor"], pool.balancer, pool.id)
            self.model.touch(pool.balancer, pool, *self.model.affected(pool))
            self.done(pool.balancer)

    @rule(which=index, given=of_monitor)
    def update_monitor(self, which: int, given: Body) -> None:
        picked = self.pick("healthmonitor", which)
        item = self.alive("healthmonitor", picked)
        expected = self.model.change_child(item) or 200
        self.asked(expected, "PUT", f"/healthmonitors/{self.id_of(picked)}", {"healthmonitor": given})
        if item is not None and expected == 200:
            pool = self.model.items[item.pool or ""]
            self.model.change(item, given)
            self.model.touch(item.balancer, pool, *self.model.affected(pool))
            self.done(item.balancer)

    # --- what is wrong whatever there is

    @rule(which=index, kind=st.sampled_from(KINDS), method=st.sampled_from(["POST", "PUT"]), wrong=st.sampled_from([
        {"no_such_attribute": 1}, {"admin_state_up": "perhaps"}, {"tags": ["x" * 256]}, {"tags": [["a"]]}, {"tags": "a"},
        {"provisioning_status": "ACTIVE"}, {"id": NOBODY}, {"tags": ["a\x00b"]},
    ]))  # fmt: skip
    def nonsense(self, which: int, kind: str, method: str, wrong: Body) -> None:
        item = self.pick(kind, which)
        if item is None or item.id not in self.model.items:
            return
        path = self.path(item)
        self.asked(400, method, path if method == "PUT" else path.rpartition("/")[0], {item.kind: wrong})
        self.asked(400, method, path if method == "PUT" else path.rpartition("/")[0], {"unknown": wrong})

    @rule(which=index, kind=st.sampled_from(KINDS))
    def what_is_gone_stays_so(self, which: int, kind: str) -> None:
        item = self.pick(kind, which)
        if item is not None and item.id in self.model.gone:
            self.asked(404, "GET", self.path(item))

    # --- workers

    @rule()
    def work(self) -> None:
        self.settle()

    def settle(self) -> None:
        """A worker that lives brings everything about."""
        self.interrupted.clear()
        self.workers.run()
        for balancer in self.model.pending():
            self.touched.add(balancer.id)
            self.model.apply(balancer.id)

    @rule()
    def work_that_is_refused(self) -> None:
        self.workers.agent.refusing = True
        try:
            self.workers.run()
        finally:
            self.workers.agent.refusing = False
        for balancer in self.model.pending():
            self.touched.add(balancer.id)
            if not balancer.desired or self.confirmed_before(balancer.id):
                self.model.apply(balancer.id)
            else:
                self.model.fail(balancer.id)

    def confirmed_before(self, balancer: str) -> bool:
        """Whether a worker that was killed had got as far as the amphora's confirmation."""
        shown = self.asked(200, "GET", f"/loadbalancers/{balancer}")["loadbalancer"]
        confirmed = shown["provisioning_status"] == ACTIVE
        assert not confirmed or balancer in self.interrupted
        return confirmed

    @rule(statements=st.integers(1, 45))
    def work_that_is_killed(self, statements: int) -> None:
        """Of each load balancer either all is done or nothing, as one look at it tells."""
        self.workers.run_and_be_killed(statements)
        for balancer in self.model.pending():
            answer = self.ask("GET", f"/loadbalancers/{balancer.id}")
            done = answer.status_code == 404 or answer.json["loadbalancer"]["provisioning_status"] == ACTIVE
            assert balancer.desired or answer.status_code == 404 or not done
            self.touched.add(balancer.id)
            self.interrupted.add(balancer.id)
            if done:
                self.model.apply(balancer.id)

    # --- the same is there

    @invariant()
    def what_was_touched_is_as_expected(self) -> None:
        touched, self.touched = self.touched, set()
        for balancer in touched & set(self.model.items):
            for item in (self.model.items[balancer], *self.model.below(balancer)):
                self.check(item, self.asked(200, "GET", self.path(item))[item.kind])
            self.check_statuses(balancer)
        for balancer in touched & set(self.model.gone):
            self.asked(404, "GET", f"/loadbalancers/{balancer}")

    def check(self, item: Item, shown: Body) -> None:
        expected = self.model.shown(item)
        fault = shown.pop("fault", None)
        assert (fault is not None) == (item.status == ERROR)
        assert (shown["updated_at"] is not None) == item.moved, (item.kind, shown)
        assert shown["created_at"] == expected["created_at"]
        compared = {key: value for key, value in shown.items() if key not in UNSTEADY}
        if item.kind == "listener":
            # Policies on their way out have given up their place.
            present = {each.id for each in self.model.of("l7policy") if each.own["listener_id"] == item.id}
            assert {each["id"] for each in compared["l7policies"]} == present
            compared["l7policies"] = [
                each for each in compared["l7policies"] if self.model.items[each["id"]].desired
            ]
        if item.kind == "l7policy" and not item.desired:
            compared["position"] = None
        compared["tags"] = sorted(compared["tags"])
        expected["tags"] = sorted(expected["tags"])
        assert compared == {key: value for key, value in expected.items() if key not in UNSTEADY}

    def check_statuses(self, balancer: str) -> None:
        tree = self.asked(200, "GET", f"/loadbalancers/{balancer}/status")["statuses"]["loadbalancer"]
        assert tree["provisioning_status"] == self.model.items[balancer].status
        below = [item for item in self.model.below(balancer) if item.kind == "listener"]
        assert {each["id"]: each["provisioning_status"] for each in tree["listeners"]} == {
            item.id: item.status for item in below
        }
        for listener in tree["listeners"]:
            used = self.model.pools_of(self.model.items[listener["id"]])
            assert [pool["id"] for pool in listener["pools"]] == used

    def check_all(self) -> None:
        """Lists hold everything, and all of it in the same way."""
        for kind, plural in PLURAL.items():
            shown = self.asked(200, "GET", f"/{plural}")[plural]
            assert [each["id"] for each in shown] == [
                each["id"] for each in sorted(shown, key=lambda each: (each["created_at"], 0))
            ]
            assert {each["id"] for each in shown} == {item.id for item in self.model.of(kind)}
            for each in shown:
                self.check(self.model.items[each["id"]], each)
        for pool in self.model.of("pool"):
            shown = self.asked(200, "GET", f"/pools/{pool.id}/members")["members"]
            assert {each["id"] for each in shown} == {
                item.id for item in self.model.of("member") if item.pool == pool.id
            }
            for each in shown:
                self.check(self.model.items[each["id"]], each)


TestApi = ApiMachine.TestCase
TestApi.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)
