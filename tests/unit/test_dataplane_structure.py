"""What may change without a reload, and what may not."""

from dataclasses import replace

import msgspec
import pytest

from hydria.dataplane import Tuning, desired_state, haproxy
from hydria.model.resource import Resource
from hydria.model.statuses import (
    Algorithm,
    CompareType,
    ListenerProtocol,
    ProvisioningStatus,
    RateLimitAction,
    RateLimitMetric,
    RuleType,
)
from hydria.model.tree import Tree
from hydria.testing import trees
from hydria.testing.trees import (
    POOL,
    limit_policy,
    limit_rule,
    listener,
    load_balancer,
    member,
    monitor,
    pool,
    tree,
    web,
)
from hydria.wire.state import Interface


def test_two_spellings_of_a_reference_are_one_certificate() -> None:
    """Neither is it twice in the list of the listener, nor does another spelling make another file."""

    def rendered(default: str, *names: str) -> tuple[str, list[tuple[str, str]]]:
        secure = listener(
            protocol=ListenerProtocol.TERMINATED_HTTPS, default_tls_container_ref=default,
            sni_container_refs=list(names), client_ca_tls_container_ref=default,
        )  # fmt: skip
        secrets = dict.fromkeys((default, *names), "PEM\n")
        made = haproxy.render(tree(load_balancer(), secure).desired(), Tuning(), secrets)
        return made.config, [(file.name, file.content) for file in made.files]

    once = rendered("local:web")
    assert rendered("local://store/web") == once
    assert rendered("local:web", "local://store/web", "local://store/w%65b") == once


def digest(of: Tree) -> str:
    return haproxy.render(of.desired(), Tuning()).structure


def with_members(*members: trees.Member) -> Tree:
    return replace(web(0), members=members)


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if each is not Algorithm.SOURCE_IP_PORT])
def test_members_are_not_structure(algorithm):
    one = replace(with_members(member(1)), pools=(pool(lb_algorithm=algorithm),))
    for members in (
        (),
        (member(1), member(2)),
        (member(1, weight=0),),
        (member(1, admin_state_up=False),),
        (member(1, backup=True, monitor_port=1, address="2001:db8::1"),),
        (member(1, provisioning_status=ProvisioningStatus.PENDING_DELETE),),
    ):
        assert digest(replace(one, members=members)) == digest(one)


def test_limits_and_networks_of_listeners_are_not_structure():
    usual = haproxy.render(web(), Tuning())
    for values in ({"connection_limit": 7}, {"allowed_cidrs": ["192.0.2.0/24"]}):
        other = replace(web(), listeners=(listener(default_pool_id=POOL, **values),))
        rendered = haproxy.render(other, Tuning())
        assert rendered.structure == usual.structure
        assert (rendered.config, rendered.files) != (usual.config, usual.files)


def test_what_rules_compare_with_is_not_structure():
    def policed(**values: object) -> Tree:
        return tree(*web().children(), trees.policy(), trees.rule(**values))

    usual = haproxy.render(policed(), Tuning())
    for kind, value in ((RuleType.PATH, "/other"), (RuleType.HOST_NAME, "a.example")):
        one = haproxy.render(policed(type=kind, value="x"), Tuning())
        other = haproxy.render(policed(type=kind, value=value), Tuning())
        assert other.config == one.config
        assert other.files != one.files
    for values in ({"invert": True}, {"compare_type": CompareType.REGEX}, {"type": RuleType.HOST_NAME}):
        assert haproxy.render(policed(**values), Tuning()).structure != usual.structure


def test_numbers_of_rate_limits_are_not_structure():
    def limited(*limits: Resource) -> haproxy.HAProxyArtifacts:
        return haproxy.render(tree(*web().children(), *limits), Tuning())

    per_url = {"metric": RateLimitMetric.REQUESTS_PER_URL, "urls": ["/a"]}
    usual = limited(limit_policy(), limit_rule(1), limit_rule(2, **per_url))
    alike = (
        (limit_policy(admin_state_up=False), limit_rule(1), limit_rule(2, **per_url)),
        *((limit_policy(action=each), limit_rule(1), limit_rule(2, **per_url)) for each in ANY_BUT_DENY),
        (limit_policy(), limit_rule(1, threshold=7), limit_rule(2, **per_url)),
        (limit_policy(), limit_rule(1), limit_rule(2, **per_url | {"urls": ["/a", "/b"]})),
    )
    assert {limited(*limits).config for limits in alike} == {usual.config}
    assert len({usual.files, *(limited(*limits).files for limits in alike)}) == len(alike) + 1
    # Another policy, with rules of the same kinds, is the same configuration, too.
    other = (
        limit_policy(5),
        *(limit_rule(6, rate_limit_policy_id=limit_policy(5).id, **more) for more in ({}, per_url)),
    )
    assert limited(*other).config == usual.config
    for limits in (
        (limit_policy(), limit_rule(1, interval=31), limit_rule(2, **per_url)),
        (limit_policy(), limit_rule(1, metric=RateLimitMetric.KBYTES), limit_rule(2, **per_url)),
        (limit_policy(), limit_rule(1)),
        (limit_policy(),),
    ):
        assert limited(*limits).structure != usual.structure
    assert limited(limit_policy()) == limited()  # without rules it limits nobody


ANY_BUT_DENY = [action for action in RateLimitAction if action is not RateLimitAction.DENY]


def test_tables_take_what_is_stated():
    """As many clients as the option says, in at most three tables for a listener."""
    of = tree(
        *web().children(),
        limit_policy(),
        *(limit_rule(number, interval=interval) for number, interval in enumerate((5, 30, 5, 60), 1)),
    )
    config = haproxy.render(of, Tuning(stick_size="7k")).config
    tables = [line.split() for line in config.splitlines() if line.startswith("    table ")]
    assert [words[words.index("size") + 1] for words in tables] == ["7k"] * 3
    assert [words[words.index("expire") + 1] for words in tables] == ["10s", "60s", "120s"]


def test_which_certificates_a_listener_has_is_not_structure():
    def served(*references: str) -> haproxy.HAProxyArtifacts:
        secrets = dict.fromkeys(("a", "b", "c"), "PEM\n")
        of = tree(listener(protocol=ListenerProtocol.TERMINATED_HTTPS, sni_container_refs=list(references)))
        return haproxy.render(of, Tuning(), secrets)

    assert served("a", "b").config == served("a", "c").config == served("a").config
    assert len({served("a", "b").files, served("a", "c").files, served("a").files}) == 3


def test_everything_else_is_structure():
    others = [
        tree(*trees.web().children(), listener(2)),
        replace(web(), health_monitors=()),
        replace(web(), health_monitors=(monitor(expected_codes="201"),)),
        replace(web(), pools=(pool(lb_algorithm=Algorithm.LEAST_CONNECTIONS),)),
        replace(web(), listeners=(listener(default_pool_id=POOL, timeout_client_data=1),)),
        replace(web(), load_balancer=load_balancer(vip_address="192.0.2.11")),
    ]
    assert len({digest(each) for each in [web(), *others]}) == len(others) + 1


def test_what_concerns_no_daemon_changes_nothing():
    renamed = replace(
        web(),
        load_balancer=load_balancer(name="x", description="y", tags=("z",)),
        listeners=(listener(default_pool_id=POOL, name="x\n", description="y\nz"),),
    )
    assert haproxy.render(renamed, Tuning()) == haproxy.render(web(), Tuning())


def test_the_order_of_rows_changes_nothing():
    of = tree(listener(2), listener(1, default_pool_id=POOL), pool(), member(2), member(1))
    turned = Tree(of.load_balancer, of.listeners[::-1], of.pools[::-1], of.members[::-1])
    assert haproxy.render(of, Tuning()) == haproxy.render(turned, Tuning())


def test_the_structure_is_that_of_the_text_without_servers():
    rendered = haproxy.render(web(2), Tuning())
    lines = rendered.config.splitlines()
    without = [line for line in lines if not line.startswith("    server ")]
    assert len(lines) - len(without) == 2
    assert "\n".join(without) + "\n" == haproxy.render(web(0), Tuning()).config


def test_nothing_to_serve_is_no_configuration():
    for nothing in (
        tree(),
        tree(pool(), member()),
        tree(load_balancer(admin_state_up=False), listener()),
        tree(listener(admin_state_up=False)),
        tree(load_balancer(vip_address=None), listener()),
    ):
        assert haproxy.render(nothing, Tuning()) == haproxy.HAProxyArtifacts()


def test_desired_state_carries_generation_and_interfaces():
    interface = Interface(
        mac="02:00:00:00:00:01", mtu=1500, addresses=("192.0.2.2/24",), vips=("192.0.2.10/32",)
    )
    state = desired_state(tree(load_balancer(generation=7), listener()), (interface,), Tuning())
    assert (state.generation, state.interfaces) == (7, (interface,))
    assert state.servers == ()
    assert state.structure
    assert state.nftables == ""


def test_servers_say_what_the_lines_say():
    of = with_members(
        member(1, weight=7, backup=True), member(2, address="2001:DB8::0:2", admin_state_up=False)
    )
    rendered = haproxy.render(of, Tuning())
    backend = f"{POOL}:{trees.LISTENER}"
    first, second = rendered.servers
    assert (first.backend, first.name, first.address, first.port) == (
        backend,
        trees.MEMBER,
        "198.51.100.1",
        8080,
    )
    assert (first.weight, first.enabled) == (7, True)
    assert first.options == ("check", "inter", "5s", "fall", "3", "rise", "2", "backup")
    assert (second.address, second.enabled) == ("2001:db8::2", False)
    assert f"server {first.name} 198.51.100.1:8080 weight 7 {' '.join(first.options)}\n" in rendered.config
    assert f"server {second.name} [2001:db8::2]:8080 weight 1 check inter 5s fall 3 rise 2 disabled\n" in (
        rendered.config
    )


def test_a_member_keeps_its_place_on_the_hash_ring_when_another_goes():
    balanced = (pool(lb_algorithm=Algorithm.SOURCE_IP),)
    both = haproxy.render(replace(web(2), pools=balanced), Tuning()).servers
    last = haproxy.render(replace(with_members(member(2)), pools=balanced), Tuning()).servers
    assert last == both[1:]
    assert both[0].options[0] == "id"


def test_members_whose_numbers_collide_still_get_different_ones():
    colliding = (
        member(1, id="d180d756-23d0-4952-82d7-d3913a9e247e"),
        member(2, id="30048d72-a816-4459-b0a3-9f69756e44da"),
    )
    balanced = replace(with_members(*colliding), pools=(pool(lb_algorithm=Algorithm.SOURCE_IP),))
    first, second = haproxy.render(balanced, Tuning()).servers
    assert first.options[:2] == ("id", "1348348823")
    assert "id" not in second.options


def test_limits_add_up_to_the_process_limit():
    def maxconn(*limits: int) -> str:
        listeners = [listener(number, connection_limit=limit) for number, limit in enumerate(limits, start=1)]
        config = haproxy.render(tree(*listeners), Tuning(default_connection_limit=1000)).config
        return next(line.split()[1] for line in config.splitlines() if line.startswith("    maxconn"))

    assert maxconn(100, 20) == "120"
    assert maxconn(-1, 20, 0) == "2020"
    assert maxconn(2**31 - 1, 2**31 - 1) == "1000000"


def test_tuning_reaches_the_process():
    config = haproxy.render(web(), Tuning(hard_stop_after=7, threads=3)).config
    assert "hard-stop-after 7s\n" in config
    assert "nbthread 3\n" in config


def test_a_pool_on_two_listeners_is_two_backends_with_the_same_members():
    of = tree(listener(1, default_pool_id=POOL), listener(2, default_pool_id=POOL), pool(), member())
    servers = haproxy.render(of, Tuning()).servers
    assert [server.backend for server in servers] == [f"{POOL}:{each.id}" for each in of.listeners]
    assert len({(server.name, server.address, server.port) for server in servers}) == 1


def test_every_listener_pool_and_member_is_found_by_its_id():
    rendered = haproxy.render(web(), Tuning())
    for each in [*web().listeners, *web().pools, *web().members]:
        assert each.id in rendered.config
    assert msgspec.to_builtins(web().health_monitors[0])["id"] not in rendered.config
