"""What flow logs say, and what the operator may say about them."""

import dataclasses

import msgspec
import pytest

from hydria.dataplane import Tuning, desired_state, haproxy
from hydria.dataplane.haproxy.logs import record
from hydria.model.errors import Invalid
from hydria.settings import AmphoraAgentSettings, HaproxyAmphoraSettings, Settings, load
from hydria.testing.trees import BALANCER, listener, web
from hydria.wire.logs import LOG_FORMAT, Syslog, endpoint
from hydria.wire.state import DesiredState
from hydria.worker.tuning import tuning

HARMLESS = r"""regsub("[\\x00-\\x1f\\x22\\x7f]",_,g)"""
REST = f"%B %U %[ssl_c_verify,{HARMLESS}] %{{+Q}}[ssl_c_s_dn,{HARMLESS}] %b %s %Tt %tsc"
OF = listener(project_id="project")
TARGETS = ("192.0.2.1:514", "192.0.2.2:514")


@pytest.mark.parametrize(
    ("form", "mode", "wanted"),
    [
        (LOG_FORMAT, "http", f"project {BALANCER} %f %ci %cp %t %{{+Q}}r %ST {REST}"),
        (LOG_FORMAT, "tcp", f"project {BALANCER} %f %ci %cp %t - - {REST}"),
        ("%[req.hdr(a]b),lower]x", "http", f"%[req.hdr(a]b),lower,{HARMLESS}]x"),
        (r'%[req.hdr("a)\"]b"),lower]]', "http", rf'%[req.hdr("a)\"]b"),lower,{HARMLESS}]]'),
        ("%{+Q}[src %[dst", "http", "%{+Q}[src %[dst"),
        ("{project_id}/{lb_id}", "http", f"project/{BALANCER}"),
        ("{{project_id}} {{ who }}", "http", "project -"),
        ("%{+E}r %HM %HP %hr|%hsl %tr %Tr %tsc %rt", "tcp", "- - - -|- - - %tsc %rt"),
    ],
)
def test_records(form: str, mode: str, wanted: str) -> None:
    assert record(form, OF, mode) == wanted


@pytest.mark.parametrize("project", ["a b", "100%", "%[hostname]", '"x"', "a\nb", "é", "{lb_id}"])
def test_an_odd_project_is_one_plain_field(project: str) -> None:
    said = record("{{ project_id }} end", listener(project_id=project), "http")
    assert said.endswith(" end")
    assert said.count(" ") == 1
    assert "%" not in said
    assert said.isprintable()


def test_nothing_is_logged_where_nobody_wants_it() -> None:
    config = haproxy.render(web().desired(), Tuning()).config
    assert "log" not in config.replace("option dontlog", "").replace("backlog", "")


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_a_load_balancer_can_do_without(protocol: str) -> None:
    operators = Tuning(tenant_logs=Syslog(TARGETS, protocol), admin_logs=Syslog(TARGETS))
    silent, usual = Tuning(admin_logs=operators.admin_logs), web()

    def said(tuning: Tuning, flow_logs: bool | None) -> DesiredState:
        balancer = msgspec.structs.replace(usual.load_balancer, flow_logs=flow_logs)
        return desired_state(dataclasses.replace(usual, load_balancer=balancer), (), tuning)

    assert said(operators, flow_logs=False) == said(silent, flow_logs=None)
    assert said(operators, flow_logs=True) == said(operators, flow_logs=None) != said(silent, flow_logs=None)
    assert said(silent, flow_logs=True) == said(silent, flow_logs=None)


def test_other_receivers_are_another_structure() -> None:
    structures = {
        haproxy.render(web().desired(), Tuning(tenant_logs=logs)).structure
        for logs in (None, Syslog(TARGETS), Syslog(TARGETS[1:]), Syslog(TARGETS, protocol="TCP"))
    }
    assert len(structures) == 4


def test_options_become_tuning() -> None:
    agent = AmphoraAgentSettings(
        tenant_log_targets=TARGETS, admin_log_targets=TARGETS[1:], log_protocol="TCP", user_log_facility=2,
        log_queue_size=5, log_retry_count=6, log_retry_interval=7, disable_local_log_storage=True,
    )  # fmt: skip
    made = tuning(Settings(amphora_agent=agent))
    assert made.tenant_logs == Syslog(TARGETS, "TCP", 2, 5, 7, 6, keep=False)
    assert made.admin_logs == Syslog(TARGETS[1:], "TCP", 1, 5, 7, 6, keep=False)
    assert made.log_format == LOG_FORMAT
    quiet = HaproxyAmphoraSettings(connection_logging=False)
    assert tuning(Settings(amphora_agent=agent, haproxy_amphora=quiet)).tenant_logs is None
    assert tuning(Settings()) == Tuning()


@pytest.mark.parametrize(
    "text",
    [
        "tenant_log_targets = logs.example.org:514",
        "tenant_log_targets = 192.0.2.1:514, 192.0.2.2",
        "admin_log_targets = 192.0.2.1:0",
        "admin_log_targets = [::1:514",
        "user_log_facility = 8",
        "administrative_log_facility = -1",
        "log_queue_size = 0",
        "log_retry_interval = 0",
        "log_protocol = RELP",
    ],
)
def test_options_that_no_amphora_could_use(text: str, tmp_path) -> None:
    path = tmp_path / "hydria.conf"
    path.write_text(f"[amphora_agent]\n{text}\n")
    with pytest.raises(Invalid, match=text.partition(" ")[0]):
        load([str(path)])


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("192.0.2.1:514", ("192.0.2.1", 514)),
        ("[2001:db8::1]:514", ("2001:db8::1", 514)),
        ("2001:db8:1::10:10514", ("2001:db8:1::10", 10514)),
    ],
)
def test_endpoints(target: str, wanted: tuple[str, int]) -> None:
    assert endpoint(target) == wanted
