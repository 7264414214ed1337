"""Golden configurations; ``HYDRIA_REGENERATE=1`` writes them anew. Real daemons load them in tests/node."""

import os
from itertools import product
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.modification import UrlRewrite
from hydria.model.pool import SessionPersistence
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
    ProvisioningStatus,
    RateLimitAction,
    RateLimitMetric,
    RuleType,
    TLSVersion,
)
from hydria.model.tree import Tree
from hydria.testing import strategies, trees
from hydria.testing.trees import (
    POLICY,
    POOL,
    limit_policy,
    limit_rule,
    listener,
    load_balancer,
    member,
    monitor,
    policy,
    pool,
    rule,
    tree,
)
from hydria.wire import capabilities
from hydria.wire.logs import Syslog
from hydria.wire.state import File

GOLDEN = Path(__file__).parents[1] / "golden" / "haproxy"

SECOND = trees.identifier(trees.Pool, 2)
THIRD = trees.identifier(trees.Pool, 3)
STICKY = SessionPersistence(type=PersistenceType.SOURCE_IP)
BOTH_FAMILIES = load_balancer(
    additional_vips=[{"subnet_id": POOL, "ip_address": "2001:db8::10", "port_id": POOL}],
)


SECRETS = dict.fromkeys(("server", "other", "ca", "crl"), "PEM\n")


def persistent(kind: PersistenceType, cookie_name: str | None = None) -> Tree:
    persistence = SessionPersistence(type=kind, cookie_name=cookie_name)
    return tree(listener(default_pool_id=POOL), pool(session_persistence=persistence), member(), member(2))


def policies() -> Tree:
    """Every action, every type of rule and every way to compare, and what is skipped."""
    kinds = [
        (RuleType.HOST_NAME, None, "Web.example"), (RuleType.PATH, None, "-f"), (RuleType.HEADER, "X-Test", "o'k"),
        (RuleType.COOKIE, "sid", "#1"),
    ]  # fmt: skip
    compared = [
        rule(number, l7policy_id=POLICY, type=kind, key_name=key, value=value, compare_type=compare)
        for number, ((kind, key, value), compare) in enumerate(product(kinds, CompareType), start=100)
    ]
    url = "https://www.example.org/%20a?b=$HOME#c"
    others = {
        "to url": policy(2, action=PolicyAction.REDIRECT_TO_URL, redirect_url=url, redirect_http_code=301),
        "to pool": policy(3, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=SECOND),
        "to prefix": policy(4, action=PolicyAction.REDIRECT_PREFIX, redirect_prefix="http://b.example"),
        "to default": policy(5, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=POOL),
        "disabled": policy(6, admin_state_up=False),
        "to nowhere": policy(7, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=THIRD),
    }
    quoted = {"type": RuleType.HEADER, "key_name": "X-Test", "compare_type": CompareType.EQUAL_TO}
    dn = {"type": RuleType.SSL_DN_FIELD, "key_name": "CN", "compare_type": CompareType.ENDS_WITH}
    more = [
        rule(200, type=RuleType.FILE_TYPE, compare_type=CompareType.EQUAL_TO, value="jpg", invert=True),
        rule(201, type=RuleType.FILE_TYPE, compare_type=CompareType.REGEX, value=r"\.(gif|png)$"),
        rule(202, **quoted, value='"two words"'),
        rule(203, **quoted, value='"a\tb"'),
        rule(204, type=RuleType.SSL_CONN_HAS_CERT, compare_type=CompareType.EQUAL_TO, value="True"),
        rule(205, type=RuleType.SSL_VERIFY_RESULT, compare_type=CompareType.EQUAL_TO, value="0"),
        rule(206, **dn, value=".example"),
        rule(207, admin_state_up=False),
    ]
    alone = [rule(210 + number, l7policy_id=each.id) for number, each in enumerate(others.values())]
    members = [member(1), member(2, pool_id=SECOND), member(3, pool_id=THIRD)]
    pools = [pool(), pool(2, session_persistence=STICKY), pool(3, admin_state_up=False)]
    ruleless = policy(8, position=9)
    return tree(
        listener(default_pool_id=POOL), *pools, *members, policy(), *others.values(), ruleless, *compared, *more,
        *alone,
    )  # fmt: skip


LOGGED = tree(
    listener(default_pool_id=POOL),
    listener(2, protocol=ListenerProtocol.TCP, project_id="100%"),
    pool(),
    member(),
)
MORE_RULES = (
    (4, {"type": RuleType.METHOD, "compare_type": CompareType.EQUAL_TO, "value": "PUT"}),
    (4, {"type": RuleType.SOURCE_IP, "compare_type": CompareType.EQUAL_TO, "value": "10.1.2.3/8"}),
    (
        5,
        {"type": RuleType.QUERY, "compare_type": CompareType.CONTAINS, "key_name": "a[]", "value": '"b c"'},
    ),
)
TREES = {
    "policies": policies(),
    "extensions": tree(
        listener(default_pool_id=POOL, compression=True, insert_headers={"X-Forwarded-Proto": "true"}),
        pool(),
        member(),
        *strategies.modifying("text/html", "<p>it's 100%</p>", "X-A", "100% b", "/old.x", "/new"),
        trees.policy(4, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=POOL),
        trees.policy(5, action=PolicyAction.MODIFY, url_rewrite=UrlRewrite(prefix="/a", replacement="/")),
        *(
            trees.rule(number, l7policy_id=trees.policy(place).id, **test)
            for number, (place, test) in enumerate(MORE_RULES, 10)
        ),
    ),
    "rate-limits": tree(
        BOTH_FAMILIES,
        listener(default_pool_id=POOL),
        listener(2, protocol=ListenerProtocol.TCP, default_pool_id=POOL),
        listener(3),
        pool(),
        member(),
        limit_policy(1),
        limit_rule(1, threshold=5, interval=10),
        limit_rule(2, metric=RateLimitMetric.KBYTES, threshold=300),
        limit_policy(2, action=RateLimitAction.QUEUE, admin_state_up=False),
        limit_rule(
            3,
            rate_limit_policy_id=limit_policy(2).id,
            metric=RateLimitMetric.REQUESTS_PER_URL,
            urls=["/login", "/a;b%20c"],
        ),
        limit_policy(3, listener_id=listener(2).id, action=RateLimitAction.SILENT_DROP),
        limit_rule(4, rate_limit_policy_id=limit_policy(3).id, interval=3600),
        limit_policy(4, listener_id=listener(3).id),
    ),
    "web": trees.web(),
    "nothing-enabled": tree(load_balancer(admin_state_up=False), *trees.web().children()),
    "no-pool": tree(listener(), listener(2, protocol=ListenerProtocol.TCP)),
    "disabled-parts": tree(
        listener(default_pool_id=POOL),
        listener(2, default_pool_id=SECOND),
        listener(3, admin_state_up=False),
        pool(admin_state_up=False),
        pool(2),
        member(1),
        member(2, pool_id=SECOND, admin_state_up=False),
        monitor(pool_id=SECOND, admin_state_up=False),
    ),
    "going": tree(
        listener(default_pool_id=POOL),
        listener(2, provisioning_status=ProvisioningStatus.PENDING_DELETE),
        pool(),
        member(1),
        member(2, provisioning_status=ProvisioningStatus.PENDING_DELETE),
        monitor(provisioning_status=ProvisioningStatus.PENDING_DELETE),
    ),
    "both-families": tree(
        BOTH_FAMILIES,
        listener(default_pool_id=POOL, allowed_cidrs=["192.0.2.0/24", "192.0.2.128/25", "2001:db8::/32"]),
        listener(2, protocol=ListenerProtocol.TCP, allowed_cidrs=["2001:db8::/32"], default_pool_id=POOL),
        listener(3, allowed_cidrs=["0.0.0.0/0", "::/0"]),
        pool(),
        member(1),
        member(2, address="2001:DB8:0::2", monitor_address="2001:db8::3", monitor_port=8081),
        monitor(http_version=1.1),
    ),
    "many-cidrs": tree(listener(allowed_cidrs=[f"10.{number}.0.0/24" for number in range(120)])),
    "http-everything": tree(
        listener(
            default_pool_id=POOL,
            connection_limit=100,
            insert_headers={
                "X-Forwarded-For": "true",
                "X-Forwarded-Port": "TRUE",
                "X-Forwarded-Proto": "true",
                "X-Real-IP": "true",
                "X-Client-IP": "True",
                "X-Forwarded-IP": "true",
            },
            timeout_client_data=1000,
            timeout_member_connect=2000,
            timeout_member_data=3000,
            timeout_tcp_inspect=4000,
        ),
        pool(lb_algorithm=Algorithm.LEAST_CONNECTIONS, drain_timeout=30, slow_start=20),
        member(1, weight=0),
        member(2, weight=256, backup=True, monitor_port=9090),
        member(3, monitor_address="198.51.100.99"),
        monitor(
            http_method=HTTPMethod.HEAD,
            url_path="/it's?a=$HOME&b={1}%20",
            expected_codes="200, 301, 302",
            http_version=1.1,
            domain_name="www.example.com",
            delay=0,
            timeout=0,
            max_retries=1,
            max_retries_down=10,
        ),
    ),
    "tcp": tree(
        listener(protocol=ListenerProtocol.TCP, default_pool_id=POOL),
        listener(2, protocol=ListenerProtocol.HTTPS, default_pool_id=SECOND),
        pool(protocol=PoolProtocol.HTTP),
        pool(2, protocol=PoolProtocol.HTTPS),
        member(1),
        member(2, pool_id=SECOND),
        monitor(1, http_version=1.0, expected_codes="200-204"),
        monitor(2, pool_id=SECOND, type=MonitorType.TCP),
    ),
    "shared-pool": tree(
        listener(default_pool_id=POOL),
        listener(2, protocol=ListenerProtocol.TCP, default_pool_id=POOL),
        pool(session_persistence=SessionPersistence(type=PersistenceType.HTTP_COOKIE)),
        member(1),
    ),
    "source-ip-algorithm": tree(
        listener(default_pool_id=POOL), pool(lb_algorithm=Algorithm.SOURCE_IP), member(1), member(2)
    ),
    "source-ip-port-algorithm": tree(
        listener(default_pool_id=POOL), pool(lb_algorithm=Algorithm.SOURCE_IP_PORT), member(1), member(2)
    ),
    "proxy": tree(
        listener(default_pool_id=POOL),
        listener(2, protocol=ListenerProtocol.TCP, default_pool_id=SECOND),
        pool(protocol=PoolProtocol.PROXY),
        pool(2, protocol=PoolProtocol.PROXYV2),
        member(1),
        member(2, pool_id=SECOND, monitor_port=8081),
        monitor(1, type=MonitorType.HTTPS, http_version=1.1, domain_name="www.example.com"),
        monitor(2, pool_id=SECOND, type=MonitorType.TLS_HELLO),
    ),
    "ping": tree(
        listener(default_pool_id=POOL),
        pool(protocol=PoolProtocol.PROXY, tls_enabled=True),
        member(1),
        member(2, monitor_address="2001:DB8::2", monitor_port=8081),
        monitor(type=MonitorType.PING),
    ),
    "tls": tree(
        listener(
            protocol=ListenerProtocol.TERMINATED_HTTPS,
            protocol_port=443,
            default_pool_id=POOL,
            default_tls_container_ref="server",
            sni_container_refs=["other"],
            client_ca_tls_container_ref="ca",
            client_crl_container_ref="crl",
            client_authentication=ClientAuthentication.OPTIONAL,
            tls_ciphers="TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:!RC4",
            tls_versions=[TLSVersion.TLS_V1_3, TLSVersion.TLS_V1_2],
            alpn_protocols=[ALPNProtocol.H2, ALPNProtocol.HTTP_1_1],
            hsts_max_age=31536000,
            hsts_preload=True,
            insert_headers={"X-Forwarded-Proto": "true", "X-SSL-Client-CN": "true"},
        ),
        pool(
            tls_enabled=True,
            tls_container_ref="server",
            ca_tls_container_ref="ca",
            crl_container_ref="crl",
            tls_versions=[TLSVersion.TLS_V1],
            alpn_protocols=[ALPNProtocol.HTTP_1_1],
        ),
        member(1),
        monitor(type=MonitorType.HTTPS, http_version=1.1, domain_name="www.example.com"),
    ),
    "tls-halves": tree(
        listener(
            protocol=ListenerProtocol.TERMINATED_HTTPS,
            default_pool_id=POOL,
            default_tls_container_ref="server",
            tls_ciphers="TLS_AES_256_GCM_SHA384:!RC4",
            tls_versions=[TLSVersion.TLS_V1_2, TLSVersion.TLS_V1_3],
        ),
        listener(2, protocol=ListenerProtocol.TCP, default_pool_id=POOL),
        pool(
            tls_enabled=True,
            tls_ciphers="ECDHE-ECDSA-AES128-SHA",
            tls_versions=list(TLSVersion),
            alpn_protocols=[ALPNProtocol.H2, ALPNProtocol.HTTP_1_1],
        ),
        member(1),
        member(2, monitor_port=8081),
        monitor(),
    ),
    "prometheus": tree(
        listener(default_pool_id=POOL),
        listener(2, protocol=ListenerProtocol.PROMETHEUS, allowed_cidrs=["192.0.2.0/24"]),
        listener(3, protocol=ListenerProtocol.PROMETHEUS, default_tls_container_ref="server"),
        pool(),
        member(),
    ),
    "logs-udp": LOGGED,
    "logs-tcp": LOGGED,
    "source-ip-persistence": persistent(PersistenceType.SOURCE_IP),
    "http-cookie": persistent(PersistenceType.HTTP_COOKIE),
    "app-cookie": persistent(PersistenceType.APP_COOKIE, "JSESSIONID"),
    "odd-app-cookie": persistent(PersistenceType.APP_COOKIE, "!#$%&'*+-.^_`|~"),
}


RECEIVERS = ("192.0.2.1:514", "[2001:db8::1]:10514")
TUNINGS = {
    "logs-udp": Tuning(tenant_logs=Syslog(RECEIVERS[1:], facility=3)),
    "logs-tcp": Tuning(tenant_logs=Syslog(RECEIVERS, protocol="TCP", queue=1000)),
}


@pytest.mark.parametrize("name", TREES)
def test_golden(name):
    for suffix, text in rendered(name).items():
        golden = (GOLDEN / name).with_suffix(suffix)
        if os.environ.get("HYDRIA_REGENERATE"):
            golden.write_text(text) if text else golden.unlink(missing_ok=True)
        assert text == (golden.read_text() if golden.exists() else "")


@pytest.mark.parametrize("version", ["3.0", "3.4"])
@pytest.mark.parametrize("name", TREES)
def test_golden_where_a_newer_haproxy_is_told_something_else(name, version):
    usual, text = rendered(name)[".cfg"], rendered(name, version)[".cfg"]
    assert rendered(name, version) == {**rendered(name), ".cfg": text}
    golden = GOLDEN / version / f"{name}.cfg"
    if os.environ.get("HYDRIA_REGENERATE"):
        golden.write_text(text) if text != usual else golden.unlink(missing_ok=True)
    assert text == (golden.read_text() if golden.exists() else usual)


def rendered(name, version="2.6"):
    of_version = capabilities.of_version(version)
    state = desired_state(TREES[name], (), TUNINGS.get(name, Tuning()), SECRETS, of_version)
    return {".cfg": state.haproxy, ".nft": state.nftables, ".lists": lists(state.files)}


def lists(files: tuple[File, ...]) -> str:
    """The files that are no secret, each under its name."""
    return "".join(
        f"{file.name}:\n" + "".join(f"\t{line}\n" for line in file.content.splitlines())
        for file in files
        if file.name.endswith((".acl", ".list", ".map", ".lua"))
    )


def test_no_golden_file_without_its_tree():
    assert {path.stem for path in GOLDEN.rglob("*.*") if path.is_file()} <= set(TREES)
