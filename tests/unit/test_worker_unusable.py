"""One unusable input of one object: what is served, what is said of whom, and how often it is tried."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.dataplane import Tuning, haproxy
from hydria.drivers.certificates.manager import Certificate
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.housekeeping.renewals import Renewals
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError, HydriaError, Lacking, NotFound, Refused, Unreachable
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.secrets import SecretKind
from hydria.model.statuses import AmphoraStatus, ClientAuthentication, CompareType, ListenerProtocol
from hydria.store import amphorae, changes, rows, tables
from hydria.testing import trees as make
from hydria.wire.state import Applied, DesiredState
from hydria.worker.converger import Converger, Result
from hydria.worker.leasekeeper import LeaseKeeper
from tests.unit.test_worker_converger import Agent, Bench, due
from tests.unit.test_worker_converger import bench as plain_bench

bench = plain_bench
TLS = {"protocol": ListenerProtocol.TERMINATED_HTTPS, "default_tls_container_ref": "web"}
GONE = "Could not retrieve certificate: ['web']. Secret web not found."


class Secrets(NoopCertificateManager):
    """Has everything but what ``failing`` raises instead."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.failing: dict[str, HydriaError] = {}
        self.versions: dict[str, str] = {}
        self.asked: list[str] = []
        self.compared: list[str] = []

    def certificate(self, reference: str, project_id: str) -> Certificate:
        self.asked.append(reference)
        self._raise(reference)
        return super().certificate(reference, project_id)

    def text(self, reference: str, project_id: str, kind: SecretKind) -> str:
        self.asked.append(reference)
        self._raise(reference)
        return super().text(reference, project_id, kind)

    def version(self, reference: str, project_id: str) -> str:
        self.compared.append(reference)
        self._raise(reference)
        return self.versions.get(reference, super().version(reference, project_id))

    def _raise(self, reference: str) -> None:
        if reference in self.failing:
            raise self.failing[reference]

    def lose(self, reference: str) -> None:
        self.failing[reference] = NotFound("Secret", reference)


class Picky(Agent):
    """Goes on with the files it has, as agents do, and refuses lines as HAProxy does.

    refuses: a pattern, and what it says of a line that has it. tried: all states that it was given. reloads:
    whether it says that HAProxy had to read what it has applied.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.refuses: dict[str, str] = {}
        self.files: dict[str, dict[str, str]] = {}
        self.tried: list[DesiredState] = []
        self.reloads = True

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        self.tried.append(state)
        has = self.files.get(amphora.id, {})
        lacks = [file.name for file in state.files if file.content is None and file.name not in has]
        if lacks:
            raise Lacking("it does not have them", lacks)
        lines = state.haproxy.splitlines()
        said = [
            f"config : parsing [haproxy.cfg.new:{number}] : {text}." if text else "no reason"
            for number, line in enumerate(lines, start=1)
            for words, text in self.refuses.items()
            if re.search(words, line)
        ]
        if said:
            raise Refused(f"Amphora {amphora.id} refused generation 1: haproxy: {'; '.join(said)}")
        applied = super().apply(amphora, state)
        self.files[amphora.id] = {
            file.name: has[file.name] if file.content is None else file.content for file in state.files
        }
        return dataclasses.replace(applied, reloaded=self.reloads)


@dataclasses.dataclass
class Scene:
    bench: Bench
    agent: Picky
    secrets: Secrets

    def converge(self) -> Any:
        return self.bench.converger.converge(make.BALANCER)

    def state(self) -> DesiredState:
        """What was applied last."""
        return self.agent.states[-1][1]

    def fronts(self) -> set[str]:
        return {line.split()[1] for line in self.state().haproxy.splitlines() if line.startswith("frontend")}

    def faults(self) -> dict[str, str | None]:
        """Of all that are in ERROR."""
        tree = self.bench.tree(make.BALANCER)
        items = (tree.load_balancer, *tree.children())
        assert all((item.fault is not None) == (item.provisioning_status == "ERROR") for item in items)
        assert all((item.fault_since is not None) == (item.fault is not None) for item in items)
        return {item.id: item.fault for item in items if item.provisioning_status != "ACTIVE"}

    def generation(self) -> int:
        return int(self.bench.tree(make.BALANCER).load_balancer.generation)

    def look(self) -> list[str]:
        """Housekeeping looks for renewed secrets."""
        return Renewals(self.bench.store, self.secrets, LocalWakeups(), 60).look()

    def change(self) -> None:
        self.bench.touch(make.BALANCER)

    def due(self) -> bool:
        with self.bench.store.read() as tx:
            return due(tx) == [make.BALANCER]


@pytest.fixture
def scene(bench: Bench) -> Scene:
    """An HTTP listener, one with a certificate, and a pool for both; nothing is built yet."""
    settings = bench.tools.settings
    agent, secrets = Picky(settings, bench.tools.authority), Secrets(settings)
    tools = dataclasses.replace(bench.tools, amphorae=agent, certificates=secrets)
    bench = dataclasses.replace(
        bench, tools=tools, agent=agent, converger=Converger(tools, "me:1", LeaseKeeper(bench.store, 30))
    )
    new = {"provisioning_status": "PENDING_CREATE"}
    bench.add(
        lambda _: make.pool(**new),
        lambda _: make.listener(1, default_pool_id=make.POOL, **new),
        lambda _: make.listener(2, default_pool_id=make.POOL, **new, **TLS),
        lambda _: make.member(**new),
        lambda _: make.policy(**new),
        lambda _: make.rule(**new),
    )
    return Scene(bench, agent, secrets)


PLAIN, SECURE = make.listener(1).id, make.listener(2).id


def test_a_new_amphora_comes_up_without_the_listener_whose_certificate_is_gone(scene: Scene) -> None:
    scene.secrets.lose("web")
    outcome = scene.converge()
    assert outcome.result is Result.DONE
    assert f"not as wanted: {SECURE}: {GONE}" in outcome.sentence
    assert scene.fronts() == {PLAIN}
    assert scene.faults() == {SECURE: f"{GONE} The listener is not served until it can be used."}
    assert not scene.due(), "nothing but the secret's return is a reason for another pass"


def test_one_that_serves_goes_on_with_what_it_has_through_changes(scene: Scene) -> None:
    scene.converge()
    (amphora,) = scene.bench.amphorae(make.BALANCER)
    before = dict(scene.agent.files[amphora.id])
    scene.secrets.lose("web")
    assert scene.look() == [make.BALANCER]
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN, SECURE}
    assert scene.agent.files[amphora.id] == before
    assert scene.faults() == {SECURE: f"{GONE} Amphorae that have it go on with it."}
    # Its replacement does not have it, and serves the rest.
    scene.bench.store.transact(lambda tx: amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR))
    scene.change()
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN}
    assert "not served" in str(scene.faults()[SECURE])


def test_a_change_asks_the_store_of_secrets_nothing(scene: Scene) -> None:
    scene.converge()
    (amphora,) = scene.bench.amphorae(make.BALANCER)
    scene.secrets.asked.clear()
    for _ in range(2):
        scene.change()
        assert scene.converge().result is Result.DONE
    assert scene.secrets.asked == []
    assert scene.fronts() == {PLAIN, SECURE}
    assert {file.content for file in scene.state().files if file.name.endswith(".pem")} == {None}
    # What is renewed is read, once.
    scene.secrets.versions["web"] = "2"
    assert scene.look() == [make.BALANCER]
    assert scene.converge().result is Result.DONE
    assert scene.secrets.asked == ["web"]
    # So is what an amphora has lost.
    scene.agent.files[amphora.id].clear()
    scene.change()
    assert scene.converge().result is Result.DONE
    assert scene.secrets.asked == ["web"] * 2
    assert scene.fronts() == {PLAIN, SECURE}
    # A new amphora gets all of them.
    scene.bench.store.transact(lambda tx: amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR))
    scene.change()
    assert scene.converge().result is Result.DONE
    assert scene.secrets.asked == ["web"] * 3
    assert scene.fronts() == {PLAIN, SECURE}


def test_another_certificate_is_read_with_the_change_that_names_it(scene: Scene) -> None:
    scene.converge()
    scene.secrets.asked.clear()
    listener = next(one for one in scene.bench.tree(make.BALANCER).listeners if one.id == SECURE)
    scene.change()
    scene.bench.store.transact(
        lambda tx: changes.update_object(tx, listener, {"sni_container_refs": ["more"]}, scene.generation())
    )
    assert scene.converge().result is Result.DONE
    assert sorted(scene.secrets.asked) == ["more", "web"]


def test_the_object_heals_when_its_secret_is_back_with_one_pass_for_each_change(scene: Scene) -> None:
    scene.converge()
    assert scene.look() == []
    scene.secrets.lose("web")
    assert scene.look() == [make.BALANCER], "that it is gone is a change"
    scene.converge()
    generation = scene.generation()
    for _ in range(16):
        assert scene.look() == []
    assert scene.generation() == generation
    assert SECURE in scene.faults()
    scene.secrets.failing.clear()
    assert scene.look() == [make.BALANCER]
    scene.converge()
    assert scene.faults() == {}
    assert scene.look() == []


def test_a_look_asks_for_each_secret_once_in_a_bounded_number_of_statements(scene: Scene) -> None:
    """However many load balancers refer to it."""
    scene.converge()
    versions = scene.bench.tree(make.BALANCER).load_balancer.secret_versions
    applied = {"generation": 1, "applied_generation": 1, "secret_versions": versions}
    others = [make.load_balancer(number, **applied) for number in range(2, 300)]
    listeners = [
        make.listener(number + 10, load_balancer_id=each.id, **TLS)  # type: ignore[arg-type]  # its own values
        for number, each in enumerate(others)
    ]
    for items in (others, listeners):
        scene.bench.store.transact(lambda tx, items=items: rows.insert(tx, items))
    scene.secrets.compared.clear()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    sa.event.listen(scene.bench.store.reader, "before_cursor_execute", note)
    assert scene.look() == []
    assert scene.secrets.compared == ["web"]
    assert len(statements) == 3
    scene.secrets.versions["web"] = "renewed"
    assert len(scene.look()) == 299


def test_housekeeping_does_not_bring_a_failing_pass_forward(scene: Scene) -> None:
    scene.converge()
    scene.secrets.versions["web"] = "renewed"
    scene.agent.fails = Refused("all of it")
    scene.change()
    assert scene.converge().result is Result.FAILED
    balancer = scene.bench.tree(make.BALANCER).load_balancer
    for _ in range(16):
        assert scene.look() == []
    after = scene.bench.tree(make.BALANCER).load_balancer
    assert (after.generation, after.retry_at) == (balancer.generation, balancer.retry_at)
    assert scene.converge().result is Result.IDLE


def test_what_cannot_be_read_now_changes_nothing_for_those_that_serve(scene: Scene) -> None:
    scene.converge()
    scene.secrets.failing["web"] = Unreachable("the store of secrets does not answer")
    scene.change()
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN, SECURE}
    assert scene.faults() == {}
    assert scene.look() == [], "whether it was renewed is not known"


def test_what_could_not_be_read_is_tried_again_with_back_off_and_no_new_generation(scene: Scene) -> None:
    scene.secrets.failing["web"] = Unreachable("the store of secrets does not answer")
    delays = []
    for attempt in range(4):
        assert scene.converge().result is Result.DONE
        balancer = scene.bench.tree(make.BALANCER).load_balancer
        assert (balancer.generation, balancer.attempts) == (1, attempt + 1)
        assert scene.fronts() == {PLAIN}
        assert "Could not retrieve certificate: ['web']" in str(scene.faults()[SECURE])
        assert balancer.retry_at is not None
        delays.append(round((balancer.retry_at - rows.now()).total_seconds()))
        assert scene.look() == []
        assert not scene.due()
        assert scene.converge().result is Result.IDLE
        scene.bench.wait_for_retry(make.BALANCER)
        assert scene.due()
    assert delays == [1, 2, 4, 8]
    scene.secrets.failing.clear()
    scene.converge()
    assert (scene.faults(), scene.fronts(), scene.due()) == ({}, {PLAIN, SECURE}, False)
    assert scene.generation() == 1


def test_a_planned_replacement_waits_for_the_store_and_an_urgent_one_does_not(scene: Scene) -> None:
    scene.converge()
    (old,) = scene.bench.amphorae(make.BALANCER)
    scene.secrets.failing["web"] = Unreachable("the store of secrets does not answer")
    scene.bench.store.transact(lambda tx: amphorae.request_failover(tx, amphora_id=old.id))
    scene.change()
    outcome = scene.converge()
    assert outcome.result is Result.FAILED
    assert "serves until it does" in outcome.sentence
    assert AmphoraStatus.ALLOCATED in [
        one.status for one in scene.bench.amphorae(make.BALANCER) if one.id == old.id
    ]
    # The one that serves still gets what is wanted.
    scene.change()
    scene.converge()
    assert scene.agent.states[-2][0] == old.id
    scene.bench.store.transact(lambda tx: amphorae.update(tx, old.id, status=AmphoraStatus.ERROR))
    scene.change()
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN}
    scene.secrets.failing.clear()
    scene.bench.wait_for_retry(make.BALANCER)
    scene.converge()
    assert scene.fronts() == {PLAIN, SECURE}


def test_a_wake_up_for_nothing_heals_nobody(scene: Scene) -> None:
    scene.secrets.lose("web")
    scene.converge()
    before = scene.faults()
    assert scene.converge().result is Result.IDLE
    assert scene.faults() == before


def test_a_deletion_asks_for_no_secret(scene: Scene) -> None:
    scene.converge()
    scene.secrets.failing["web"] = DriverError("the store is broken")
    scene.secrets.asked.clear()
    balancer = scene.bench.tree(make.BALANCER).load_balancer
    scene.bench.store.transact(lambda tx: changes.touch(tx, balancer, provisioning_status="PENDING_DELETE"))
    assert scene.converge().result is Result.DONE
    assert scene.bench.tree(make.BALANCER).load_balancer.provisioning_status == "DELETED"
    assert scene.secrets.asked == []


def update(scene: Scene, resource: Any, identifier: str, **values: Any) -> None:
    def work(tx: sa.Connection) -> None:
        balancer = changes.lock(tx, make.BALANCER)
        item = rows.load_one(tx, resource, identifier)
        assert balancer is not None
        assert item is not None
        changes.update_object(tx, item, values, changes.touch(tx, balancer))

    scene.bench.store.transact(work)


def test_a_disabled_listener_needs_no_certificate(scene: Scene) -> None:
    scene.secrets.lose("web")
    scene.converge()
    update(scene, Listener, SECURE, admin_state_up=False)
    scene.converge()
    assert scene.faults() == {}


def test_a_listener_never_serves_without_the_verification_that_was_asked_for(scene: Scene) -> None:
    of = {"client_ca_tls_container_ref": "ca", "client_authentication": ClientAuthentication.MANDATORY}
    update(scene, Listener, SECURE, **of)
    scene.secrets.lose("ca")
    scene.converge()
    assert scene.fronts() == {PLAIN}
    assert list(scene.faults()) == [SECURE]


def test_a_pool_without_its_authority_answers_503_and_its_listeners_are_well(scene: Scene) -> None:
    update(scene, Pool, make.POOL, tls_enabled=True, ca_tls_container_ref="ca")
    scene.secrets.lose("ca")
    scene.converge()
    assert scene.fronts() == {PLAIN, SECURE}
    assert scene.state().servers == ()
    assert list(scene.faults()) == [make.POOL]


# A rule that counts as met is judged by the method alone.
RULE_REFUSED = {rf"acl {make.RULE} var\(txn\.normal\)": "regex is invalid"}


def test_what_the_daemon_refuses_is_left_out_and_says_so(scene: Scene) -> None:
    scene.agent.refuses = RULE_REFUSED
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN, SECURE}
    faults = scene.faults()
    assert set(faults) == {make.RULE, make.POLICY}
    assert faults[make.RULE] == "It cannot be served, HAProxy says: regex is invalid."
    tree = scene.bench.tree(make.BALANCER)
    assert {str(item.operating_status) for item in (*tree.l7rules, *tree.l7policies)} == {"ERROR"}
    # It is asked again, for the next amphora may see it otherwise.
    tries = len(scene.agent.tried)
    scene.bench.wait_for_retry(make.BALANCER)
    assert scene.converge().result is Result.DONE
    assert len(scene.agent.tried) - tries == 2, "the whole, then all but that"
    scene.agent.refuses = {}
    scene.bench.wait_for_retry(make.BALANCER)
    scene.converge()
    assert (scene.faults(), scene.due()) == ({}, False)
    tree = scene.bench.tree(make.BALANCER)
    assert {str(item.operating_status) for item in (*tree.l7rules, *tree.l7policies)} == {"ONLINE"}


def test_what_was_changed_into_something_refused_is_served_as_it_was(scene: Scene) -> None:
    """And its neighbors change; also in a new amphora."""
    scene.converge()
    before = scene.state().files
    scene.agent.refuses = {rf"acl {make.RULE} var\(txn\.normal\) -m reg": "regex is invalid"}
    change = {"compare_type": CompareType.REGEX, "value": "[[:number:]]"}
    update(scene, L7Rule, make.RULE, **change)
    update(scene, Pool, make.POOL, lb_algorithm="LEAST_CONNECTIONS")
    assert scene.converge().result is Result.DONE
    assert scene.state().files == before
    assert "balance leastconn" in scene.state().haproxy
    said = "It cannot be served, HAProxy says: regex is invalid. It is served as it was before."
    assert scene.faults() == {make.RULE: said}
    # Another mistake does not make one forget what was served.
    update(scene, L7Rule, make.RULE, value="[[:letter:]]")
    (amphora,) = scene.bench.amphorae(make.BALANCER)
    scene.bench.store.transact(lambda tx: amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR))
    assert scene.converge().result is Result.DONE
    assert scene.state().files == before
    assert scene.faults() == {make.RULE: said}
    # What is served by now is what the next one goes back to.
    update(scene, L7Rule, make.RULE, compare_type=CompareType.ENDS_WITH, value=".js")
    scene.converge()
    assert scene.faults() == {}
    served = scene.state().files
    assert served != before
    update(scene, L7Rule, make.RULE, **change)
    scene.converge()
    assert scene.state().files == served
    # Unless that is refused by now, too.
    scene.agent.refuses = RULE_REFUSED
    scene.bench.wait_for_retry(make.BALANCER)
    scene.converge()
    assert set(scene.faults()) == {make.RULE, make.POLICY}


def test_a_listener_goes_back_to_the_certificate_it_had(scene: Scene) -> None:
    scene.converge()
    served = scene.state().files
    scene.agent.refuses = {"ciphers NO": "unable to set SSL cipher list"}
    update(scene, Listener, SECURE, tls_ciphers="NO", default_tls_container_ref="new")
    assert scene.converge().result is Result.DONE
    assert scene.state().files == served
    assert scene.fronts() == {PLAIN, SECURE}
    assert list(scene.faults()) == [SECURE]


def test_a_refused_object_can_be_deleted(scene: Scene) -> None:
    scene.agent.refuses = RULE_REFUSED
    scene.converge()

    def delete(tx: sa.Connection) -> None:
        balancer = changes.lock(tx, make.BALANCER)
        rule = rows.load_one(tx, type(make.rule()), make.RULE)
        assert balancer is not None
        assert rule is not None
        changes.delete_object(tx, rule, changes.touch(tx, balancer))

    scene.bench.store.transact(delete)
    assert scene.converge().result is Result.DONE
    assert scene.faults() == {}
    assert scene.bench.tree(make.BALANCER).l7rules == ()


def test_a_certificate_that_the_daemon_refuses_is_done_without(scene: Scene) -> None:
    rendered = haproxy.render(make.tree(make.listener(2, **TLS)), Tuning(), {"web": "x"})
    (name,) = rendered.references
    scene.agent.refuses = {rf"bind .*{SECURE}\.list": f"'bind' : unable to load 'tls/{name}'"}
    scene.converge()
    assert scene.fronts() == {PLAIN}
    assert "Could not use certificate: ['web']" in str(scene.faults()[SECURE])
    assert scene.due() is False
    scene.agent.refuses = {}
    scene.bench.wait_for_retry(make.BALANCER)
    scene.converge()
    assert (scene.fronts(), scene.faults()) == ({PLAIN, SECURE}, {})


def test_one_that_is_named_by_nobody_is_found_by_trying(scene: Scene) -> None:
    scene.agent.refuses = {rf"frontend {SECURE}": ""}
    assert scene.converge().result is Result.DONE
    assert scene.fronts() == {PLAIN}
    assert list(scene.faults()) == [SECURE]


@pytest.mark.parametrize("read", [True, False])
def test_that_it_can_stay_as_it_is_proves_nothing_against_what_is_new(scene: Scene, read: bool) -> None:
    scene.converge()
    scene.agent.refuses = {rf"frontend {SECURE}": ""}
    scene.agent.reloads = read
    scene.change()
    assert scene.converge().result is (Result.DONE if read else Result.FAILED)
    whole = scene.bench.tree(make.BALANCER).load_balancer
    assert whole.provisioning_status == ("ACTIVE" if read else "ERROR")


def test_what_is_no_objects_fault_fails_the_pass_and_changes_nothing(scene: Scene) -> None:
    scene.converge()
    before = len(scene.agent.states)
    scene.agent.refuses = {"^global": ""}
    scene.change()
    assert scene.converge().result is Result.FAILED
    assert len(scene.agent.states) == before
    assert scene.bench.tree(make.BALANCER).load_balancer.provisioning_status == "ERROR"


def test_a_build_that_fails_again_and_again_leaves_one_amphora_at_most(scene: Scene) -> None:
    scene.converge()
    (dead,) = scene.bench.amphorae(make.BALANCER)
    scene.bench.store.transact(lambda tx: amphorae.update(tx, dead.id, status=AmphoraStatus.ERROR))
    scene.change()
    scene.agent.fails = Unreachable("nobody answers")
    for _ in range(6):
        assert scene.converge().result is Result.FAILED
        left = [one for one in scene.bench.amphorae(make.BALANCER) if one.id != dead.id]
        assert len(left) == 1
        names = {instance.name for instance in scene.bench.tools.compute.instances()}
        assert names <= {f"amphora-{one.id}" for one in (dead, *left)}
        scene.bench.wait_for_retry(make.BALANCER)
    scene.agent.fails = None
    assert scene.converge().result is Result.DONE
    (living,) = scene.bench.amphorae(make.BALANCER)
    assert living.status is AmphoraStatus.ALLOCATED
    assert [each.name for each in scene.bench.tools.compute.instances()] == [f"amphora-{living.id}"]


def test_a_load_balancer_that_was_applied_but_for_something_is_due_once_it_may_be_there(bench: Bench) -> None:
    """Only those that are ACTIVE: one in the middle of something is due for that."""
    row = tables.load_balancers
    bench.add()
    bench.converger.converge(make.BALANCER)
    with bench.store.read() as tx:
        assert due(tx) == []
    bench.store.transact(lambda tx: tx.execute(sa.update(row).values(retry_at=make.EPOCH)))
    with bench.store.read() as tx:
        assert due(tx) == [make.BALANCER]
    outcome = bench.converger.converge(make.BALANCER)
    assert "could not be served" in outcome.sentence
    with bench.store.read() as tx:
        assert due(tx) == []
