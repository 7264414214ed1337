"""Who refers to a secret, as the one who removes it is told."""

from typing import Any

import pytest

from hydria.model.resource import Resource
from hydria.store import Store, secret_users
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
