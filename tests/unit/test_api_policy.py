"""Every rule, asked by every kind of caller, in every role model, through the application itself.

What is expected stands in MAY, which is written by hand from contract 2: nothing in it is computed by the
rules that it is held against.
"""

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon.testing
import pytest

from hydria import settings
from hydria.api import program
from hydria.api.app import make_app
from hydria.api.call import Caller
from hydria.api.policy.enforcement import Enforcement, list_rules
from hydria.api.policy.rules import rules
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Invalid
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.settings import Settings
from hydria.store import Store, rows
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_writing import MONITOR, embedded_network

POLICIES = Path(__file__).parents[2] / "etc" / "policy"

# Who asks: roles, project, and what else Keystone's middleware says of them. Objects are of the project p1.
WHO: dict[str, dict[str, str]] = {
    "admin": {"roles": "admin,manager,member,reader", "project": "p9"},
    "system admin": {"roles": "admin,manager,member,reader", "system": "all"},
    "system reader": {"roles": "reader", "system": "all"},
    "domain admin": {"roles": "admin,manager,member,reader", "domain": "default"},
    "member": {"roles": "member,reader", "project": "p1"},
    "reader": {"roles": "reader", "project": "p1"},
    "guest": {"roles": "guest", "project": "p1"},
    "foreign member": {"roles": "member,reader", "project": "p2"},
    "unscoped": {},
    "service": {"roles": "service", "project": "p9"},
    "lb member": {"roles": "load-balancer_member", "project": "p1"},
    "lb observer": {"roles": "load-balancer_observer", "project": "p1"},
    "lb foreign member": {"roles": "load-balancer_member", "project": "p2"},
    "lb global observer": {"roles": "load-balancer_global_observer", "project": "p9"},
    "lb quota admin": {"roles": "load-balancer_quota_admin", "project": "p9"},
    "lb admin": {"roles": "load-balancer_admin", "project": "p9"},
}

# What they may. r: look at what is p1's; g: at what is anybody's; w: change what is p1's; q, Q, W: the same
# for quotas; a: what only administrators may; s: list members as a service; u: look at what is in their own
# project or in none (flavors, providers).
ALL = "rgwqQWau"
MAY: dict[str, dict[str, str]] = {
    "": {  # no policy file
        "admin": ALL, "system admin": ALL, "system reader": "u",
        "member": "rwqu", "reader": "rqu", "foreign member": "u", "service": "s",
    },
    "keystone_default_roles.yaml": {
        "admin": ALL, "system admin": ALL, "system reader": "u",
        "member": "rwqu", "reader": "rqu", "foreign member": "u", "service": "s",
    },
    "keystone_default_roles_scoped.yaml": {
        "admin": "u", "system admin": ALL, "system reader": "rgqQu",
        "member": "rwqu", "reader": "rqu", "foreign member": "u", "service": "s",
    },
    "advanced_roles.yaml": {
        "admin": ALL, "system admin": ALL, "service": "s", "lb member": "rwqu", "lb observer": "rqu",
        "lb foreign member": "u", "lb global observer": "rgqQu", "lb quota admin": "qQW", "lb admin": ALL,
    },
    "admin_or_owner.yaml": {
        "admin": ALL, "system admin": ALL, "system reader": "u", "unscoped": "u",
        "member": "rwqu", "reader": "rwqu", "guest": "rwqu", "foreign member": "u", "service": "su",
        "lb member": "rwqu", "lb observer": "rwqu", "lb foreign member": "u", "lb global observer": "u",
        "lb quota admin": "u", "lb admin": ALL,
    },
    "enforce_new_defaults = false": {
        "admin": ALL, "system admin": ALL, "system reader": "u",
        "member": "rwqu", "reader": "rqu", "foreign member": "u", "service": "s",
        "lb member": "rwqu", "lb observer": "rqu", "lb foreign member": "u", "lb global observer": "rgqQu",
        "lb quota admin": "qQW", "lb admin": ALL,
    },
}  # fmt: skip

# Rule -> (what a caller must be able to, method, path, body). ``{…}`` is an object of the scene.
LBAAS = "/v2/lbaas"
PATH = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}
ONE: dict[str, tuple[str, str, str, Any]] = {
    "loadbalancer:get_one": ("r", "GET", "/loadbalancers/{lb}", None),
    "loadbalancer:get_stats": ("r", "GET", "/loadbalancers/{lb}/stats", None),
    "loadbalancer:get_status": ("r", "GET", "/loadbalancers/{lb}/status", None),
    "loadbalancer:post": ("w", "POST", "/loadbalancers", {"loadbalancer": {"project_id": "p1"}}),
    "loadbalancer:post:vip_sg_ids": (
        "w", "POST", "/loadbalancers",
        {"loadbalancer": {"project_id": "p1", "vip_sg_ids": ["00000000-0000-4000-8000-000000000001"]}},
    ),
    "loadbalancer:put": ("w", "PUT", "/loadbalancers/{lb}", {"loadbalancer": {}}),
    "loadbalancer:put:vip_sg_ids": ("w", "PUT", "/loadbalancers/{lb}", {"loadbalancer": {"vip_sg_ids": []}}),
    "loadbalancer:put_failover": ("a", "PUT", "/loadbalancers/{lb}/failover", None),
    "listener:get_one": ("r", "GET", "/listeners/{listener}", None),
    "listener:get_stats": ("r", "GET", "/listeners/{listener}/stats", None),
    "listener:post": ("w", "POST", "/listeners",
                      {"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 80}}),
    "listener:put": ("w", "PUT", "/listeners/{listener}", {"listener": {}}),
    "pool:get_one": ("r", "GET", "/pools/{pool}", None),
    "pool:post": ("w", "POST", "/pools",
                  {"pool": {"listener_id": "{listener}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}),
    "pool:put": ("w", "PUT", "/pools/{pool}", {"pool": {}}),
    "member:get_one": ("r", "GET", "/pools/{pool}/members/{member}", None),
    "member:post": ("w", "POST", "/pools/{pool}/members",
                    {"member": {"address": "192.0.2.1", "protocol_port": 80}}),
    "member:put": ("w", "PUT", "/pools/{pool}/members/{member}", {"member": {}}),
    "member:put batch": ("w", "PUT", "/pools/{pool}/members?additive_only=true", {"members": []}),
    "healthmonitor:get_one": ("r", "GET", "/healthmonitors/{monitor}", None),
    "healthmonitor:post": ("w", "POST", "/healthmonitors", {"healthmonitor": {**MONITOR, "pool_id": "{pool}"}}),
    "healthmonitor:put": ("w", "PUT", "/healthmonitors/{monitor}", {"healthmonitor": {}}),
    "l7policy:get_one": ("r", "GET", "/l7policies/{policy}", None),
    "l7policy:post": ("w", "POST", "/l7policies", {"l7policy": {"listener_id": "{web}", "action": "REJECT"}}),
    "l7policy:put": ("w", "PUT", "/l7policies/{policy}", {"l7policy": {}}),
    "l7rule:get_all": ("r", "GET", "/l7policies/{policy}/rules", None),
    "l7rule:get_one": ("r", "GET", "/l7policies/{policy}/rules/{rule}", None),
    "l7rule:post": ("w", "POST", "/l7policies/{policy}/rules", {"rule": PATH}),
    "l7rule:put": ("w", "PUT", "/l7policies/{policy}/rules/{rule}", {"rule": {}}),
    "ratelimitpolicy:get_one": ("r", "GET", "/ratelimitpolicies/{limit}", None),
    "ratelimitpolicy:post": ("w", "POST", "/ratelimitpolicies", {"ratelimitpolicy": {"listener_id": "{web}", "action": "DENY"}}),
    "ratelimitpolicy:put": ("w", "PUT", "/ratelimitpolicies/{limit}", {"ratelimitpolicy": {}}),
    "ratelimitrule:get_all": ("r", "GET", "/ratelimitpolicies/{limit}/rules", None),
    "ratelimitrule:get_one": ("r", "GET", "/ratelimitpolicies/{limit}/rules/{limit_rule}", None),
    "ratelimitrule:post": ("w", "POST", "/ratelimitpolicies/{limit}/rules", {"rule": {"metric": "REQUESTS", "threshold": 1}}),
    "ratelimitrule:put": ("w", "PUT", "/ratelimitpolicies/{limit}/rules/{limit_rule}", {"rule": {}}),
    "quota:get_one": ("q", "GET", "/quotas/p1", None),
    "quota:get_defaults": ("q", "GET", "/quotas/p1/default", None),
    "quota:put": ("W", "PUT", "/quotas/p1", {"quota": {"pool": 5}}),
    "flavor:get_all": ("u", "GET", "/flavors", None),
    "flavor:get_one": ("u", "GET", "/flavors/{flavor}", None),
    "flavor:post": ("a", "POST", "/flavors", {"flavor": {"name": "gold", "flavor_profile_id": "{profile}"}}),
    "flavor:put": ("a", "PUT", "/flavors/{flavor}", {"flavor": {"description": "x"}}),
    "flavor:delete": ("a", "DELETE", "/flavors/{flavor}", None),
    "flavor-profile:get_all": ("a", "GET", "/flavorprofiles", None),
    "flavor-profile:get_one": ("a", "GET", "/flavorprofiles/{profile}", None),
    "flavor-profile:post": ("a", "POST", "/flavorprofiles",
                            {"flavorprofile": {"name": "p", "provider_name": "amphora", "flavor_data": "no JSON"}}),
    "flavor-profile:put": ("a", "PUT", "/flavorprofiles/{profile}", {"flavorprofile": {"name": "gold"}}),
    "flavor-profile:delete": ("a", "DELETE", "/flavorprofiles/{profile}", None),
    "availability-zone:get_all": ("u", "GET", "/availabilityzones", None),
    "availability-zone:get_one": ("u", "GET", "/availabilityzones/here", None),
    "availability-zone:post": (
        "a", "POST", "/availabilityzones",
        {"availability_zone": {"name": "here", "availability_zone_profile_id": "{zone_profile}"}},
    ),
    "availability-zone:put": ("a", "PUT", "/availabilityzones/here", {"availability_zone": {"description": "x"}}),
    "availability-zone:delete": ("a", "DELETE", "/availabilityzones/here", None),
    "availability-zone-profile:get_all": ("a", "GET", "/availabilityzoneprofiles", None),
    "availability-zone-profile:get_one": ("a", "GET", "/availabilityzoneprofiles/{zone_profile}", None),
    "availability-zone-profile:post": (
        "a", "POST", "/availabilityzoneprofiles",
        {"availability_zone_profile": {"name": "p", "provider_name": "amphora", "availability_zone_data": "no"}},
    ),
    "availability-zone-profile:put": ("a", "PUT", "/availabilityzoneprofiles/{zone_profile}",
                                      {"availability_zone_profile": {"name": "zones"}}),
    "availability-zone-profile:delete": ("a", "DELETE", "/availabilityzoneprofiles/{zone_profile}", None),
    "provider:get_all": ("u", "GET", "/providers", None),
    "provider-flavor:get_all": ("a", "GET", "/providers/amphora/flavor_capabilities", None),
    "provider-availability-zone:get_all": ("a", "GET", "/providers/amphora/availability_zone_capabilities", None),
    "amphora:get_all": ("a", "GET", "/v2/octavia/amphorae", None),
    "amphora:get_one": ("a", "GET", "/v2/octavia/amphorae/{amphora}", None),
    "amphora:get_stats": ("a", "GET", "/v2/octavia/amphorae/{amphora}/stats", None),
    "amphora:put_config": ("a", "PUT", "/v2/octavia/amphorae/{amphora}/config", None),
    "amphora:put_failover": ("a", "PUT", "/v2/octavia/amphorae/{amphora}/failover", None),
    "amphora:delete": ("a", "DELETE", "/v2/octavia/amphorae/{amphora}", None),
    # Last: what is deleted stays there until a worker has taken it down, and there is none.
    "member:put whole batch": ("w", "PUT", "/pools/{pool}/members", {"members": []}),
    "member:delete": ("w", "DELETE", "/pools/{pool}/members/{member}", None),
    "l7rule:delete": ("w", "DELETE", "/l7policies/{policy}/rules/{rule}", None),
    "l7policy:delete": ("w", "DELETE", "/l7policies/{policy}", None),
    "ratelimitrule:delete": ("w", "DELETE", "/ratelimitpolicies/{limit}/rules/{limit_rule}", None),
    "ratelimitpolicy:delete": ("w", "DELETE", "/ratelimitpolicies/{limit}", None),
    "healthmonitor:delete": ("w", "DELETE", "/healthmonitors/{monitor}", None),
    "pool:delete": ("w", "DELETE", "/pools/{pool}", None),
    "listener:delete": ("w", "DELETE", "/listeners/{listener}", None),
    "loadbalancer:delete": ("w", "DELETE", "/loadbalancers/{lb}?cascade=true", None),
    "quota:delete": ("W", "DELETE", "/quotas/p1", None),
}  # fmt: skip

# Rule of a list -> (what shows p1's, what shows everybody's, path, key of the list, object that is p1's).
LISTS = {
    "loadbalancer:get_all": ("r", "g", "/loadbalancers", "lb"),
    "listener:get_all": ("r", "g", "/listeners", "listener"),
    "pool:get_all": ("r", "g", "/pools", "pool"),
    "l7policy:get_all": ("r", "g", "/l7policies", "policy"),
    "ratelimitpolicy:get_all": ("r", "g", "/ratelimitpolicies", "limit"),
    "healthmonitor:get_all": ("r", "g", "/healthmonitors", "monitor"),
}
# What is done to amphorae is done to their load balancers.
OF_BALANCERS = {"amphora:put_config", "amphora:put_failover", "amphora:delete"}
QUOTAS = {"quota:get_all"}
MEMBERS = {"member:get_all"}


class Scene:
    """An application with something of everything, of the project p1, and callers to ask it."""

    def __init__(self, store: Store, conf: Path) -> None:
        loaded = settings.load([str(conf)])
        services = program.services(loaded, store, embedded_network(), LocalWakeups())
        self.services = services
        self.client = falcon.testing.TestClient(make_app(services))
        self.templates = [template for template, _ in self.client.app.routed]
        self.store = store
        self.ids: dict[str, str] = {}
        self._fill()

    def ask(self, who: str, method: str, path: str, body: Any = None) -> falcon.testing.Result:
        said = WHO[who]
        headers = {"X-Identity-Status": "Confirmed", "X-Roles": said.get("roles", ""), "X-User-Id": who}
        for name, key in (("X-Project-Id", "project"), ("X-Domain-Id", "domain")):
            if key in said:
                headers[name] = said[key]
        token = SimpleNamespace(user=SimpleNamespace(system_scoped="system" in said))
        query = path.partition("?")[2]
        path = path.partition("?")[0]
        return self.client.simulate_request(
            method,
            path if path.startswith("/v2/") else LBAAS + path,
            headers=headers,
            query_string=query,
            json=body,
            extras={"keystone.token_auth": token},
        )

    def judged_by(self, judge: Any) -> None:
        """From now on it is this judge who is asked."""
        self.client = falcon.testing.TestClient(make_app(dataclasses.replace(self.services, policy=judge)))

    def filled(self, value: Any) -> Any:
        """The value with ids in place of names in braces."""
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: self.ids[found[1]], value)
        return value

    def _fill(self) -> None:
        self._make(
            "profile",
            "/flavorprofiles",
            "flavorprofile",
            name="gold",
            provider_name="amphora",
            flavor_data="{}",
        )
        self._make("flavor", "/flavors", "flavor", name="gold", flavor_profile_id="{profile}")
        self._make(
            "zone_profile", "/availabilityzoneprofiles", "availability_zone_profile",
            name="zones", provider_name="amphora", availability_zone_data="{}",
        )  # fmt: skip
        self._make(
            "",
            "/availabilityzones",
            "availability_zone",
            name="here",
            availability_zone_profile_id="{zone_profile}",
        )
        self._make(
            "lb",
            "/loadbalancers",
            "loadbalancer",
            project_id="p1",
            flavor_id="{flavor}",
            availability_zone="here",
        )
        self._make(
            "listener", "/listeners", "listener", loadbalancer_id="{lb}", protocol="TCP", protocol_port=80
        )
        self._make(
            "pool", "/pools", "pool", listener_id="{listener}", protocol="TCP", lb_algorithm="ROUND_ROBIN"
        )
        self._make("member", "/pools/{pool}/members", "member", address="192.0.2.1", protocol_port=80)
        self._make("monitor", "/healthmonitors", "healthmonitor", pool_id="{pool}", **MONITOR)
        self._make("web", "/listeners", "listener", loadbalancer_id="{lb}", protocol="HTTP", protocol_port=81)
        self.ask(self.admin, "PUT", "/quotas/p1", {"quota": {"pool": 7}})
        self.ids["amphora"] = "00000000-0000-4000-8000-00000000a001"
        amphora = Amphora(
            id=self.ids["amphora"],
            load_balancer_id=self.ids["lb"],
            status=AmphoraStatus.ALLOCATED,
            role=AmphoraRole.STANDALONE,
            created_at=rows.now(),
        )
        # Not through the API: no provider here serves them.
        place = {"load_balancer_id": self.ids["lb"], "project_id": "p1"}
        policy = trees.policy(listener_id=self.ids["web"], **place)
        rule = trees.rule(l7policy_id=policy.id, **place)
        limit = trees.limit_policy(listener_id=self.ids["web"], **place)
        limit_rule = trees.limit_rule(rate_limit_policy_id=limit.id, **place)
        self.ids |= {"policy": policy.id, "rule": rule.id, "limit": limit.id, "limit_rule": limit_rule.id}
        for item in (amphora, policy, rule, limit, limit_rule):
            self.store.transact(lambda tx, item=item: rows.insert(tx, [item]))

    admin = "system admin"

    def _make(self, key: str, path: str, root: str, /, **values: Any) -> None:
        answer = self.ask(self.admin, "POST", self.filled(path), {root: self.filled(values)})
        assert answer.status_code == 201, (path, answer.text)
        if key:
            self.ids[key] = answer.json[root]["id"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def configuration(directory: Path, model: str) -> Path:
    conf = directory / "hydria.conf"
    option = model if "=" in model else f"policy_file = {POLICIES / model}" if model else ""
    conf.write_text(f"[api_settings]\nauth_strategy = keystone\n[oslo_policy]\n{option}\n")
    return conf


@pytest.mark.parametrize("model", MAY)
def test_every_rule_for_everybody(tmp_path: Path, store: Store, model: str) -> None:
    scene = Scene(store, configuration(tmp_path, model))
    wrong = []
    for who in WHO:
        may = MAY[model].get(who, "")
        wrong += [(who, *each) for each in lists(scene, who, may)]
    for rule, (needed, method, path, body) in ONE.items():
        for who in WHO:
            status = scene.ask(who, method, scene.filled(path), scene.filled(body)).status_code
            allowed = needed in MAY[model].get(who, "")
            # Whoever may is told what the state of the scene is: also that something is in use, or pending.
            if (status != 403) != allowed or (
                allowed and status not in (200, 201, 202, 204, 400, 404, 409, 501)
            ):
                wrong.append((who, rule, status))
    assert not wrong


def lists(scene: Scene, who: str, may: str) -> Iterator[tuple[str, object]]:
    """What lists show to a caller and should not, or the other way round."""
    own = "project" in WHO[who] and "u" in may
    for rule, (needed, over_all, path, name) in LISTS.items():
        answer = scene.ask(who, "GET", path)
        shown = answer.status_code == 200 and scene.ids[name] in answer.text
        if (answer.status_code == 200) != (own or over_all in may) or shown != (needed in may):
            yield rule, answer.status_code
        answer = scene.ask(who, "GET", f"{path}?project_id=p1")
        if (answer.status_code == 200) != (needed in may) or answer.status_code not in (200, 403):
            yield f"{rule} of p1", answer.status_code
    answer = scene.ask(who, "GET", "/quotas")
    shown = answer.status_code == 200 and '"p1"' in answer.text
    if (answer.status_code == 200) != (own or "Q" in may) or shown != ("q" in may):
        yield "quota:get_all", answer.status_code
    answer = scene.ask(who, "GET", scene.filled("/pools/{pool}/members"))
    if (answer.status_code == 200) != ("r" in may or "s" in may) or answer.status_code not in (200, 403):
        yield "member:get_all", answer.status_code


class Recorder:
    """A judge who allows everything and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        self.asked.append((rule, project_id))
        return True


# Requests that ask for more than the rule they stand for.
TOGETHER = {
    "loadbalancer:post:vip_sg_ids": ("loadbalancer:post", "loadbalancer:post:vip_sg_ids"),
    "loadbalancer:put:vip_sg_ids": ("loadbalancer:put", "loadbalancer:put:vip_sg_ids"),
    "member:put batch": ("member:post", "member:put"),
    "member:put whole batch": ("member:post", "member:put", "member:delete"),
}


def test_each_request_asks_for_its_own_rule(tmp_path: Path, store: Store) -> None:
    """By name, and for the project of the load balancer rather than that of the caller."""
    scene = Scene(store, configuration(tmp_path, ""))
    judge = Recorder()
    scene.judged_by(judge)
    for rule, (needed, method, path, body) in ONE.items():
        judge.asked.clear()
        scene.ask("foreign member", method, scene.filled(path), scene.filled(body))
        project = "p1" if needed in "rwqW" or rule.endswith("put_failover") or rule in OF_BALANCERS else None
        assert judge.asked == [(name, project) for name in TOGETHER.get(rule, (rule,))]
    for rule, (_, _, path, _) in LISTS.items():
        judge.asked.clear()
        scene.ask("foreign member", "GET", path)
        assert judge.asked == [(f"{rule}-global", "")]


def test_no_rule_is_left_out() -> None:
    walked = {rule.partition(" ")[0] for rule in ONE} | LISTS.keys() | QUOTAS | MEMBERS
    walked |= {f"{rule}-global" for rule in (*LISTS, *QUOTAS)}
    assert walked == {rule.name for rule in rules()}
    assert {who for model in MAY.values() for who in model} <= WHO.keys()


def test_every_request_has_its_rule(tmp_path: Path, store: Store) -> None:
    """The operations that the rules name are routes, and no route is without a rule."""
    scene = Scene(store, configuration(tmp_path, ""))
    named = {re.sub(r"\{\w+\}", "{}", path) for rule in rules() for _, path in rule.operations}
    routed = {
        re.sub(r"\{\w+\}", "{}", path)
        for path in scene.templates
        if path.startswith(("/v2/lbaas/", "/v2/octavia/"))
    }
    free = {
        f"{LBAAS}/loadbalancers/{{}}/statuses",
        f"{LBAAS}/quotas/{{}}/usage",
    }  # as status and as quota:get_one
    kinds = ("networks", "subnets", "ports", "floatingips")  # as loadbalancer:get_all
    free |= {f"{LBAAS}/{kind}{one}" for kind in kinds for one in ("", "/{}")}
    free |= {f"{LBAAS}/extensions{one}" for one in ("", "/{}")}
    assert routed - named - free == set()
    assert named - routed == set()


def test_a_changed_file_counts_soon(tmp_path: Path) -> None:
    conf = configuration(tmp_path, "")
    (tmp_path / "policy.yaml").write_text('"load-balancer:admin": "role:boss"\n')
    judge = Enforcement(Settings(config_files=(str(conf),)))
    boss = Caller("p1", roles=("boss",))
    assert judge.allows(boss, "amphora:get_all", None)
    (tmp_path / "policy.yaml").write_text('"load-balancer:admin": "role:nobody"\n')
    deadline = time.monotonic() + 10
    while judge.allows(boss, "amphora:get_all", None):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (tmp_path / "policy.yaml").write_text("{ no yaml")
    time.sleep(1.1)  # longer than files go unlooked at
    assert not judge.allows(boss, "amphora:get_all", None)
    assert judge.allows(Caller("p1", roles=("reader",)), "loadbalancer:get_one", "p1")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    conf = configuration(tmp_path, "policy_file = nowhere.yaml")
    with pytest.raises(Invalid, match=r"nowhere.yaml: there is no such file"):
        Enforcement(Settings(config_files=(str(conf),)))
    (tmp_path / "broken.yaml").write_text("{ no yaml")
    conf = configuration(tmp_path, "policy_file = broken.yaml")
    with pytest.raises(Invalid, match="cannot be used"):
        Enforcement(Settings(config_files=(str(conf),)))


def test_nothing_belongs_to_nobody(tmp_path: Path) -> None:
    """Who has no project owns no object, whatever that object's project is called."""
    judge = Enforcement(Settings(config_files=(str(configuration(tmp_path, "admin_or_owner.yaml")),)))
    for project_id in ("", "None", "-"):
        assert not judge.allows(Caller("", roles=("member",)), "loadbalancer:get_one", project_id)


def test_no_identity_needs_none_of_this() -> None:
    """Without identity, the libraries of the others are not even loaded."""
    code = (
        "import sys; from hydria import settings; from hydria.api import program, pipeline;"
        "loaded = settings.load([]); program.check(loaded); pipeline.around(lambda *_: [], loaded);"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('keystonemiddleware', 'oslo_policy', 'oslo_middleware', 'webob', 'pycadf')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_rules_for_tools() -> None:
    made = list_rules()
    assert len({rule.name for rule in made}) == len(made)
    assert all(dataclasses.is_dataclass(rule) for rule in rules())
