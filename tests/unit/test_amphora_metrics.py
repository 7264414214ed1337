"""HAProxy's metrics in Octavia's names."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hydria.amphora import metrics
from hydria.amphora.usage import Usage

EXPORTED = """\
# HELP haproxy_process_pool_used_bytes Amount of total pool memory in use, in bytes.
# TYPE haproxy_process_pool_used_bytes gauge
haproxy_process_pool_used_bytes 55528
# HELP haproxy_process_requests_total Total number of requests on this worker process since started
# TYPE haproxy_process_requests_total counter
haproxy_process_requests_total 7
# HELP haproxy_process_build_info Build info
# TYPE haproxy_process_build_info gauge
haproxy_process_build_info{version="2.6.12"} 1
# HELP haproxy_frontend_bytes_in_total Total number of request bytes since process started
# TYPE haproxy_frontend_bytes_in_total counter
haproxy_frontend_bytes_in_total{proxy="one"} 5
haproxy_frontend_bytes_in_total{proxy="_exporter"} 9
haproxy_frontend_bytes_in_total{proxy="two"} 6
# HELP haproxy_frontend_http_responses_total Total number of HTTP responses
# TYPE haproxy_frontend_http_responses_total counter
haproxy_frontend_http_responses_total{proxy="one",code="2xx"} 3
# HELP haproxy_backend_active_servers Total number of active UP servers with a non-zero weight
# TYPE haproxy_backend_active_servers gauge
haproxy_backend_active_servers{proxy="pool:one"} 2
haproxy_backend_active_servers{proxy="pool:two"} 1
haproxy_backend_active_servers{proxy="_metrics"} 1
# HELP haproxy_server_status Current status of the service, per state label value.
# TYPE haproxy_server_status gauge
haproxy_server_status{proxy="pool:one",server="member",state="UP"} 1
haproxy_server_status{proxy="pool:one",server="member",state="DOWN"} 0
haproxy_server_status{proxy="_metrics",server="agent",state="UP"} 1
# HELP haproxy_server_limit_sessions Frontend/listener/server's maxconn, backend's fullconn
# TYPE haproxy_server_limit_sessions gauge
haproxy_server_limit_sessions{proxy="pool:one",server="member"} NaN
"""

RENAMED = """\
# HELP octavia_memory_pool_used_bytes Amount of total pool memory in use, in bytes.
# TYPE octavia_memory_pool_used_bytes gauge
octavia_memory_pool_used_bytes 55528
# HELP octavia_loadbalancer_requests_total Total number of requests on this worker process since started
# TYPE octavia_loadbalancer_requests_total counter
octavia_loadbalancer_requests_total 7
# HELP octavia_listener_bytes_in_total Total number of request bytes since process started
# TYPE octavia_listener_bytes_in_total counter
octavia_listener_bytes_in_total{listener="one"} 5
octavia_listener_bytes_in_total{listener="two"} 6
# HELP octavia_listener_http_responses_total Total number of HTTP responses
# TYPE octavia_listener_http_responses_total counter
octavia_listener_http_responses_total{listener="one",code="2xx"} 3
# HELP octavia_pool_active_members Total number of active UP members with a non-zero weight
# TYPE octavia_pool_active_members gauge
octavia_pool_active_members{pool="pool",listener="one"} 2
octavia_pool_active_members{pool="pool",listener="two"} 1
# HELP octavia_member_status Current status of the service, per state label value.
# TYPE octavia_member_status gauge
octavia_member_status{pool="pool",listener="one",member="member",state="UP"} 1
octavia_member_status{pool="pool",listener="one",member="member",state="DOWN"} 0
# HELP octavia_member_limit_sessions Listener/listener/member's maxconn, pool's fullconn
# TYPE octavia_member_limit_sessions gauge
octavia_member_limit_sessions{pool="pool",listener="one",member="member"} NaN
"""


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_an_answer_of_the_exporter() -> None:
    assert "".join(metrics.renamed(lines(EXPORTED))) == RENAMED


def test_nothing_of_the_exporter_is_nothing() -> None:
    assert list(metrics.renamed([])) == []


def test_samples_from_elsewhere_stand_with_their_family() -> None:
    more = {
        "octavia_listener_bytes_in_total": ['{listener="udp"} 8'],
        "octavia_member_limit_sessions": ['{pool="p",listener="udp",member="m"} 3'],
        "octavia_unheard_of": ["{} 1"],
    }
    text = "".join(metrics.renamed(lines(EXPORTED), more))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["octavia_listener_bytes_in"].samples
    assert [(each.labels["listener"], each.value) for each in samples] == [("one", 5), ("two", 6), ("udp", 8)]
    assert len(families["octavia_member_limit_sessions"].samples) == 2
    assert len(families) == text.count("# TYPE")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("haproxy_process_current_connections", "octavia_loadbalancer_current_connections"),
        ("haproxy_process_pool_allocated_bytes", "octavia_memory_pool_allocated_bytes"),
        ("haproxy_process_pool_failures_total", "octavia_memory_pool_failures_total"),
        ("haproxy_process_start_time_seconds", ""),
        ("haproxy_process_build_info", ""),
        ("haproxy_frontend_status", "octavia_listener_status"),
        ("haproxy_frontend_http_responses_total", "octavia_listener_http_responses_total"),
        ("haproxy_backend_status", "octavia_pool_status"),
        ("haproxy_backend_active_servers", "octavia_pool_active_members"),
        ("haproxy_backend_backup_servers", "octavia_pool_backup_members"),
        ("haproxy_backend_server_aborts_total", "octavia_pool_member_aborts_total"),
        ("haproxy_backend_agg_server_status", ""),
        ("haproxy_server_server_aborts_total", "octavia_member_server_aborts_total"),
        ("haproxy_server_check_failures_total", "octavia_member_check_failures_total"),
        ("haproxy_sticktable_size", ""),
        ("process_cpu_seconds_total", ""),
    ],
)
def test_names(theirs: str, ours: str) -> None:
    assert metrics.family_of(theirs) == ours


@pytest.mark.parametrize(
    "line",
    ["", "\n", "haproxy_frontend_status\n", 'haproxy_frontend_status{proxy="a\n', "# \n", "#\n", "# HELP\n"],
)
def test_lines_that_are_cut_short_or_none(line: str) -> None:
    before = "# HELP haproxy_frontend_status x\n"
    assert list(metrics.renamed([before, line])) in ([], ["# HELP octavia_listener_status x\n"])


def test_usage_is_two_families_between_nothing_and_everything() -> None:
    families = list(text_string_to_metric_families("".join(Usage().lines())))
    assert [family.name for family in families] == ["octavia_loadbalancer_cpu", "octavia_loadbalancer_memory"]
    assert all(0 <= family.samples[0].value <= 100 for family in families)
