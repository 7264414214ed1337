"""Every value and every option that a user can set is seen on the wire, by the test that is named here.

What has no line of its own fails, and so does a line whose test is gone.
"""

import ast
import functools
from enum import StrEnum
from pathlib import Path

import pytest

from hydria.model import statuses
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import HEADERS, SSL_HEADERS, Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.modification import Direction, Operation
from hydria.model.pool import SESSION_PERSISTENCE, Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Use, attributes, wire_name
from hydria.model.statuses import (
    Algorithm,
    ALPNProtocol,
    ClientAuthentication,
    CompareType,
    HTTPMethod,
    ListenerProtocol,
    MonitorType,
    PersistenceType,
    PolicyAction,
    PoolProtocol,
    RateLimitAction,
    RateLimitMetric,
    RuleType,
    TLSVersion,
)

TESTS = Path(__file__).parents[1]

POLICIES, EXTENSIONS = "node/test_dataplane_policies.py", "node/test_dataplane_extensions.py"
TRAFFIC, TLS, MEMBERS = (
    "node/test_dataplane_traffic.py",
    "node/test_dataplane_tls.py",
    "node/test_dataplane_members.py",
)
OPTIONS, DATAGRAMS, PINGS = (
    "node/test_dataplane_options.py",
    "node/test_agent_datagrams.py",
    "node/test_agent_pings.py",
)
METRICS, DRAIN, MACHINE = "node/test_agent_metrics.py", "node/test_agent_drain.py", "system/test_traffic.py"
EVERY_RULE = f"{POLICIES}::test_every_type_of_rule_and_way_to_compare"
MORE_RULES = f"{EXTENSIONS}::test_more_types_of_rules"
OF_CERTIFICATES = f"{TLS}::test_rules_about_the_certificate"
EVERY_ACTION = f"{POLICIES}::test_every_action"
VERSIONS, ALPN = f"{OPTIONS}::test_each_version_of_tls_alone", f"{OPTIONS}::test_each_alpn_protocol_alone"
METHODS = f"{TRAFFIC}::test_http_monitor_knows_all_methods"
CHANGED_HEADERS = f"{EXTENSIONS}::test_headers_change_on_the_way"
ASKED = f"{TRAFFIC}::test_http_monitor_asks_what_it_is_told_to"
LIMITS = "node/test_dataplane_rate_limits.py"
PATIENCE = f"{OPTIONS}::test_as_many_failures_and_successes_as_it_takes"

# Pairs, for values of different vocabularies that read the same are equal.
VALUES: list[tuple[StrEnum, str]] = [
    (RateLimitAction.DENY, f"{LIMITS}::test_requests_beyond_the_threshold"),
    (RateLimitAction.REJECT, f"{LIMITS}::test_requests_beyond_the_threshold"),
    (RateLimitAction.SILENT_DROP, f"{LIMITS}::test_silence"),
    (RateLimitAction.QUEUE, f"{LIMITS}::test_requests_are_held_back_and_none_fails"),
    (RateLimitMetric.REQUESTS, f"{LIMITS}::test_requests_beyond_the_threshold"),
    (RateLimitMetric.REQUESTS_PER_URL, f"{LIMITS}::test_requests_to_single_urls"),
    (RateLimitMetric.KBYTES, f"{LIMITS}::test_kbytes_limit_who_downloads_much_and_nobody_else"),
    (ListenerProtocol.HTTP, f"{TRAFFIC}::test_headers_are_inserted_when_they_are_true"),
    (ListenerProtocol.TCP, f"{OPTIONS}::test_tcp_listeners_carry_whatever_is_said"),
    (ListenerProtocol.HTTPS, f"{OPTIONS}::test_tls_passes_through_to_members"),
    (ListenerProtocol.TERMINATED_HTTPS, f"{TLS}::test_https_ends_here"),
    (ListenerProtocol.UDP, f"{MACHINE}::test_udp_and_tcp_share_a_port"),
    (ListenerProtocol.SCTP, "node/test_agent_sctp.py::test_sctp"),
    (ListenerProtocol.PROMETHEUS, f"{METRICS}::test_metrics_have_octavias_names_and_the_ids_of_the_objects"),
    (PoolProtocol.HTTP, f"{OPTIONS}::test_tcp_listeners_carry_whatever_is_said"),
    (PoolProtocol.TCP, f"{OPTIONS}::test_tcp_listeners_carry_whatever_is_said"),
    (PoolProtocol.HTTPS, f"{OPTIONS}::test_tls_passes_through_to_members"),
    (PoolProtocol.PROXY, f"{MEMBERS}::test_members_learn_who_the_client_is"),
    (PoolProtocol.PROXYV2, f"{MEMBERS}::test_members_learn_who_the_client_is"),
    (PoolProtocol.UDP, f"{MACHINE}::test_udp_and_tcp_share_a_port"),
    (PoolProtocol.SCTP, "node/test_agent_sctp.py::test_sctp"),
    (Algorithm.ROUND_ROBIN, f"{TRAFFIC}::test_round_robin_follows_weights"),
    (Algorithm.LEAST_CONNECTIONS, f"{TRAFFIC}::test_least_connections_avoids_the_busy"),
    (Algorithm.SOURCE_IP, f"{TRAFFIC}::test_source_ip_is_even_and_stays_when_members_come_and_processes_go"),
    (Algorithm.SOURCE_IP_PORT, f"{MEMBERS}::test_source_ip_port_spreads_the_connections_of_one_client"),
    (PersistenceType.SOURCE_IP, f"{TRAFFIC}::test_source_ip_persistence_stays_and_survives_a_reload"),
    (PersistenceType.HTTP_COOKIE, f"{TRAFFIC}::test_http_cookie_names_the_member_and_stays_with_it"),
    (PersistenceType.APP_COOKIE, f"{TRAFFIC}::test_app_cookie_binds_the_session_that_a_member_opened"),
    (MonitorType.HTTP, ASKED),
    (MonitorType.HTTPS, f"{MEMBERS}::test_monitors_over_tls_really_shake_hands"),
    (MonitorType.TLS_HELLO, f"{MEMBERS}::test_monitors_over_tls_really_shake_hands"),
    (MonitorType.PING, f"{PINGS}::test_members_that_fall_silent_and_come_back"),
    (MonitorType.TCP, f"{TRAFFIC}::test_tcp_monitor_connects"),
    (MonitorType.UDP_CONNECT, f"{DATAGRAMS}::test_a_dead_member_loses_its_flows_at_once"),
    *((method, METHODS) for method in HTTPMethod if method is not HTTPMethod.HEAD),
    (HTTPMethod.HEAD, ASKED),
    (PolicyAction.REJECT, EVERY_ACTION),
    (PolicyAction.REDIRECT_TO_POOL, EVERY_ACTION),
    (PolicyAction.REDIRECT_TO_URL, EVERY_ACTION),
    (PolicyAction.REDIRECT_PREFIX, EVERY_ACTION),
    (PolicyAction.FIXED_RESPONSE, f"{EXTENSIONS}::test_fixed_responses"),
    (PolicyAction.MODIFY, CHANGED_HEADERS),
    (RuleType.HOST_NAME, EVERY_RULE),
    (RuleType.PATH, EVERY_RULE),
    (RuleType.FILE_TYPE, EVERY_RULE),
    (RuleType.HEADER, EVERY_RULE),
    (RuleType.COOKIE, EVERY_RULE),
    (RuleType.SSL_CONN_HAS_CERT, OF_CERTIFICATES),
    (RuleType.SSL_VERIFY_RESULT, OF_CERTIFICATES),
    (RuleType.SSL_DN_FIELD, f"{OPTIONS}::test_names_in_certificates_are_compared_in_every_way"),
    (RuleType.METHOD, MORE_RULES),
    (RuleType.QUERY, f"{OPTIONS}::test_parameters_are_compared_in_every_way"),
    (RuleType.SOURCE_IP, MORE_RULES),
    *((each, EVERY_RULE) for each in CompareType),
    (ClientAuthentication.NONE, f"{OPTIONS}::test_without_client_authentication_nobody_is_asked_for_a_certificate"),
    (ClientAuthentication.OPTIONAL, f"{TLS}::test_members_learn_what_the_certificate_says"),
    (ClientAuthentication.MANDATORY, f"{TLS}::test_clients_must_show_a_certificate_of_the_ca"),
    *((version, VERSIONS) for version in TLSVersion if version is not TLSVersion.SSL_V3),
    (TLSVersion.SSL_V3, f"{OPTIONS}::test_ssl_3_is_nothing_that_openssl_has"),
    *((each, ALPN) for each in ALPNProtocol),
    *((each, CHANGED_HEADERS) for each in Direction),
    *((each, CHANGED_HEADERS) for each in Operation),
]  # fmt: skip
# What no test can show, and why.
UNSEEN: list[tuple[StrEnum, str]] = [
    (
        MonitorType.SCTP,
        "asks by the kernel's SCTP sockets, which the kernels of the test machines do not have",
    ),
]
# Set by Hydria, by operators in flavors, or by what the network has.
NOT_OF_USERS = {
    statuses.ProvisioningStatus, statuses.OperatingStatus, statuses.AmphoraStatus, statuses.AmphoraRole,
    statuses.Topology, statuses.VnicType,
}  # fmt: skip

CIPHERS = "node/test_dataplane_ciphers.py"
SENT_ON = f"{TLS}::test_members_are_verified"
SEVERAL = f"{TRAFFIC}::test_several_listeners_share_a_pool"
INSERTED = f"{TRAFFIC}::test_headers_are_inserted_when_they_are_true"
HSTS = f"{TLS}::test_hsts_on_what_is_answered_here"
OFF = f"{MACHINE}::test_what_is_disabled_carries_no_traffic"
TOLD = f"{TLS}::test_members_learn_what_the_certificate_says"
MANDATORY = f"{TLS}::test_clients_must_show_a_certificate_of_the_ca"
EVERY_CODE = f"{TRAFFIC}::test_http_monitor_expects_codes"
STICKY = f"{DATAGRAMS}::test_clients_stick"

SEEN: dict[str, str] = {
    "loadbalancer.flow_logs": "node/test_agent_logs.py::test_a_load_balancer_without_flow_logs",
    "pool.preserve_source": "node/test_agent_kept_sources.py::test_members_that_see_their_clients",
    "ratelimitpolicy.enabled": "node/test_agent_rate_limits.py::test_limits_change_without_a_reload",
    "ratelimitrule.threshold": f"{LIMITS}::test_requests_beyond_the_threshold",
    "ratelimitrule.interval": f"{LIMITS}::test_requests_are_held_back_and_none_fails",
    "ratelimitrule.urls": f"{LIMITS}::test_requests_to_single_urls",
    "loadbalancer.admin_state_up": OFF,
    "loadbalancer.vip_address": "system/test_machine.py",
    "loadbalancer.additional_vips": "system/test_additional_vips.py::test_every_listener_serves_every_vip",
    "listener.admin_state_up": OFF,
    "listener.protocol_port": SEVERAL,
    "listener.default_pool_id": SEVERAL,
    "listener.connection_limit": f"{TRAFFIC}::test_no_more_connections_than_the_limit",
    "listener.insert_headers.X-Forwarded-For": INSERTED,
    "listener.insert_headers.X-Forwarded-Port": INSERTED,
    "listener.insert_headers.X-Forwarded-Proto": INSERTED,
    **{f"listener.insert_headers.{name}": f"{OPTIONS}::test_the_address_of_the_client_under_other_names" for name in HEADERS[3:]},
    **{f"listener.insert_headers.{name}": TOLD for name in SSL_HEADERS},
    "listener.default_tls_container_ref": f"{TLS}::test_the_certificate_is_that_of_the_name",
    "listener.sni_container_refs": f"{TLS}::test_the_certificate_is_that_of_the_name",
    "listener.client_ca_tls_container_ref": MANDATORY,
    "listener.client_crl_container_ref": MANDATORY,
    "listener.timeout_client_data": f"{TRAFFIC}::test_the_client_timeout_closes_idle_connections",
    "listener.timeout_member_connect": f"{OPTIONS}::test_members_that_do_not_take_connections_in_time",
    "listener.timeout_member_data": f"{OPTIONS}::test_members_that_do_not_answer_in_time",
    "listener.allowed_cidrs": f"{MACHINE}::test_allowed_cidrs_let_nobody_else_in",
    "listener.tls_ciphers": f"{CIPHERS}::test_versions_of_a_listener_are_those_of_its_ciphers",
    "listener.tls_versions": f"{OPTIONS}::test_versions_with_a_hole_between_them",
    "listener.alpn_protocols": f"{TLS}::test_http_2_to_clients",
    "listener.hsts_max_age": HSTS,
    "listener.hsts_include_subdomains": f"{TLS}::test_hsts_in_full",
    "listener.hsts_preload": f"{TLS}::test_hsts_in_full",
    "listener.compression": f"{EXTENSIONS}::test_compression_for_clients_that_take_it",
    "pool.admin_state_up": OFF,
    "pool.session_persistence.cookie_name": f"{TRAFFIC}::test_app_cookie_binds_the_session_that_a_member_opened",
    "pool.session_persistence.persistence_timeout": STICKY,
    "pool.session_persistence.persistence_granularity": STICKY,
    "pool.tls_enabled": f"{TLS}::test_members_are_spoken_to_in_tls",
    "pool.tls_container_ref": f"{TLS}::test_members_get_our_certificate",
    "pool.ca_tls_container_ref": SENT_ON,
    "pool.crl_container_ref": SENT_ON,
    "pool.tls_ciphers": f"{CIPHERS}::test_versions_of_a_pool_are_those_of_its_ciphers",
    "pool.tls_versions": f"{OPTIONS}::test_each_version_of_tls_towards_members",
    "pool.alpn_protocols": "node/test_dataplane_tls_monitors.py::test_probes_speak_what_each_member_chose",
    "pool.drain_timeout": f"{DRAIN}::test_connections_of_a_member_that_leaves_end_in_time",
    "pool.slow_start": f"{DRAIN}::test_a_member_that_comes_gets_its_share_by_and_by",
    "member.admin_state_up": OFF,
    "member.address": f"{MACHINE}::test_members_of_both_families_on_the_host_beside_it_and_beyond",
    "member.protocol_port": f"{TRAFFIC}::test_round_robin_follows_weights",
    "member.weight": f"{TRAFFIC}::test_round_robin_follows_weights",
    "member.backup": f"{TRAFFIC}::test_backups_serve_when_nobody_else_does",
    "member.monitor_address": f"{OPTIONS}::test_members_are_probed_at_another_address",
    "member.monitor_port": f"{OPTIONS}::test_members_are_probed_at_another_address",
    "healthmonitor.admin_state_up": f"{OPTIONS}::test_a_monitor_that_is_off_asks_nobody",
    "healthmonitor.delay": f"{OPTIONS}::test_probes_come_at_the_delay",
    "healthmonitor.timeout": f"{OPTIONS}::test_probes_fail_after_the_timeout",
    "healthmonitor.max_retries": PATIENCE,
    "healthmonitor.max_retries_down": PATIENCE,
    "healthmonitor.url_path": ASKED,
    "healthmonitor.expected_codes": EVERY_CODE,
    "healthmonitor.http_version": f"{TRAFFIC}::test_http_1_1_without_domain_name_gives_the_vip_as_host",
    "healthmonitor.domain_name": ASKED,
    "l7policy.redirect_pool_id": EVERY_ACTION,
    "l7policy.redirect_url": EVERY_ACTION,
    "l7policy.redirect_prefix": EVERY_ACTION,
    "l7policy.redirect_http_code": EVERY_ACTION,
    "l7policy.position": f"{POLICIES}::test_the_first_that_matches_wins",
    "l7policy.admin_state_up": f"{POLICIES}::test_a_policy_that_is_skipped",
    "l7policy.fixed_response": f"{EXTENSIONS}::test_fixed_responses",
    "l7policy.header_changes": CHANGED_HEADERS,
    "l7policy.url_rewrite": f"{EXTENSIONS}::test_paths_change_on_the_way",
    "l7rule.admin_state_up": f"{POLICIES}::test_all_rules_of_a_policy_must_match",
    "l7rule.key": EVERY_RULE,
    "l7rule.value": EVERY_RULE,
    "l7rule.invert": EVERY_RULE,
}  # fmt: skip
# For people and for the database; whose values are in the table above; or where they go besides the wire.
NOT_OF_THE_WIRE = {
    "id",
    "name",
    "description",
    "tags",
    "project_id",
    "loadbalancer_id",
    "listener_id",
    "pool_id",
}
ELSEWHERE = {
    "loadbalancer.vip_subnet_id", "loadbalancer.vip_network_id", "loadbalancer.vip_port_id",
    "loadbalancer.vip_qos_policy_id", "loadbalancer.vip_sg_ids", "loadbalancer.provider",
    "loadbalancer.flavor_id", "loadbalancer.availability_zone", "member.subnet_id", "member.request_sriov",
    # Nothing inspects the beginning of connections, so that there is nothing to wait for.
    "listener.timeout_tcp_inspect",
}  # fmt: skip


def of_users() -> list[StrEnum]:
    vocabularies = {
        each for each in vars(statuses).values() if isinstance(each, type) and issubclass(each, StrEnum)
    }
    chosen = (*(vocabularies - NOT_OF_USERS - {StrEnum}), Direction, Operation)
    return [value for each in chosen for value in each]


def test_every_value_has_a_test_on_the_wire():
    named = {(type(value).__name__, value) for value, _ in (*VALUES, *UNSEEN)}
    assert {(type(value).__name__, value) for value in of_users()} == named


def test_every_option_has_a_test_on_the_wire():
    found = set()
    for resource in (
        LoadBalancer,
        Listener,
        Pool,
        Member,
        HealthMonitor,
        L7Policy,
        L7Rule,
        RateLimitPolicy,
        RateLimitRule,
    ):
        for field, attribute in attributes(resource).items():
            wire = wire_name(field, attribute)
            name = f"{resource.called or resource.root}.{wire}"
            if attribute.create is Use.NEVER or wire in NOT_OF_THE_WIRE or hasattr(attribute.kind, "words"):
                continue
            if name == "listener.insert_headers":
                found |= {f"{name}.{header}" for header in (*HEADERS, *SSL_HEADERS)}
            elif name == "pool.session_persistence":
                found |= {f"{name}.{key}" for key in SESSION_PERSISTENCE.fields if key != "type"}
            else:
                found.add(name)
    assert found - ELSEWHERE == set(SEEN)
    assert found >= ELSEWHERE


@pytest.mark.parametrize("named", sorted({*(test for _, test in VALUES), *SEEN.values()}))
def test_the_tests_that_are_named_exist(named):
    file, _, name = named.partition("::")
    assert (TESTS / file).is_file()
    assert not name or name in named_in(file)


@functools.cache
def named_in(file: str) -> set[str]:
    parsed = ast.parse((TESTS / file).read_text())
    return {each.name for each in ast.walk(parsed) if isinstance(each, ast.FunctionDef)}
