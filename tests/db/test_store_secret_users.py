"""Who refers to a secret, as the one who removes it is told."""

from typing import Any

import pytest

from hydria.model import secrets
from hydria.model.resource import Resource
from hydria.store import Store, changes, secret_users
from hydria.testing import trees as make
from tests.db import store_scene as scene


def users(store: Store, reference: str = "local:web", project: str = make.PROJECT) -> list[str]:
    with store.read() as tx:
        return [item.id for item in secret_users.find(tx, reference, project)]


@pytest.mark.parametrize(
    "item",
    [
        make.listener(default_tls_container_ref="local:web"),
        make.listener(sni_container_refs=["local:other", "local:web"]),
        make.listener(client_ca_tls_container_ref="local:web", admin_state_up=False),
        make.listener(client_crl_container_ref="local:web", provisioning_status="ERROR"),
        make.pool(tls_container_ref="local:web"),
        make.pool(ca_tls_container_ref="local:web", tls_enabled=False),
        make.pool(crl_container_ref="local:web"),
    ],
)
def test_whoever_names_it_uses_it(store: Store, item: Resource) -> None:
    scene.add(store, make.load_balancer(), item)
    assert users(store) == [item.id]
    assert users(store, "local:we") == users(store, "local:web2") == []
    assert users(store, project="another") == []


@pytest.mark.parametrize(
    "more", [{"provisioning_status": "PENDING_DELETE"}, {"default_tls_container_ref": None}]
)
def test_who_is_on_his_way_out_or_names_another_does_not(store: Store, more: dict[str, Any]) -> None:
    scene.add(
        store, make.load_balancer(), make.listener(**{"default_tls_container_ref": "local:web", **more})
    )
    assert users(store) == []


def test_what_is_watched_is_what_amphorae_need(store: Store) -> None:
    """The statement of housekeeping says the same as the model of whole objects."""
    applied = {"generation": 1, "applied_generation": 1, "secret_versions": "v"}
    listeners = [
        make.listener(
            1, protocol="TERMINATED_HTTPS", default_tls_container_ref="a", sni_container_refs=["b", "c"]
        ),
        make.listener(2, protocol="TERMINATED_HTTPS", default_tls_container_ref="d", admin_state_up=False),
        make.listener(3, protocol="HTTP", default_tls_container_ref="e"),
        make.listener(
            4, protocol="TERMINATED_HTTPS", client_ca_tls_container_ref="f", client_crl_container_ref="g"
        ),
        make.listener(
            5,
            protocol="TERMINATED_HTTPS",
            default_tls_container_ref="h",
            provisioning_status="PENDING_DELETE",
        ),
    ]
    pools = [
        make.pool(
            1, tls_enabled=True, tls_container_ref="i", ca_tls_container_ref="j", crl_container_ref="k"
        ),
        make.pool(2, tls_container_ref="l"),
    ]
    balancer = make.load_balancer(**applied)
    scene.add(store, balancer, *listeners, *pools)
    for number, other in enumerate(
        (
            {"admin_state_up": False},
            {"generation": 2},
            {"provisioning_status": "ERROR"},
            {"secret_versions": ""},
        ),
        2,
    ):
        made = make.load_balancer(number, **{**applied, **other})
        store.transact(lambda tx, made=made: changes.add_load_balancer(tx, made))
    with store.read() as tx:
        found, disabled = secret_users.watched(tx, 10)
        behind = secret_users.watched(tx, 10, found.place)
        first = secret_users.watched(tx, 1)
    needed = secrets.in_use(balancer, [item for item in scene.tree(store).children() if item.desired])
    assert set(found.references) == set(needed) == set("abcfgijk")
    assert disabled.references == ()
    assert (behind, first) == ([disabled], [found])
