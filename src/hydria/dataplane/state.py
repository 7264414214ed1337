"""All artifacts of one load balancer put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hydria.dataplane import datagrams, haproxy, nftables
from hydria.dataplane.tuning import Tuning
from hydria.model.tree import Tree
from hydria.wire.state import DesiredState, Interface


def desired_state(
    tree: Tree,
    interfaces: tuple[Interface, ...],
    tuning: Tuning,
    secrets: Mapping[str, str] | None = None,
) -> DesiredState:
    """What an amphora with these interfaces shall do for the load balancer.

    secrets: identity of a reference (model/secrets.py) -> PEM text, of all that the tree refers to.
    Objects on their way out are left out. Raises Invalid when a text in the tree cannot be written into a
    configuration; the API accepts no such text.
    """
    wanted = tree.desired()
    if tree.load_balancer.flow_logs is False:
        tuning = dataclasses.replace(tuning, tenant_logs=None)
    artifacts = haproxy.render(wanted, tuning, secrets)
    return DesiredState(
        generation=tree.load_balancer.generation,
        interfaces=interfaces,
        haproxy=artifacts.config,
        structure=artifacts.structure,
        servers=artifacts.servers,
        nftables=nftables.render(wanted),
        files=artifacts.files,
        services=datagrams.render(wanted),
        logs=tuning.admin_logs,
    )
