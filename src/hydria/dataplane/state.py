"""All artifacts of one load balancer put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from hydria.dataplane import datagrams, haproxy, nftables
from hydria.dataplane.tuning import Tuning
from hydria.model.tree import Tree
from hydria.wire.capabilities import NONE, Capabilities
from hydria.wire.state import DesiredState, Interface


@dataclass(frozen=True, slots=True)
class Rendered:
    """A desired state, and what tells whose fault it is when a daemon refuses it.

    owners, references: see :class:`~hydria.dataplane.haproxy.HAProxyArtifacts`.
    """

    state: DesiredState
    owners: tuple[str, ...]
    references: Mapping[str, str]


def desired_state(
    tree: Tree,
    interfaces: tuple[Interface, ...],
    tuning: Tuning,
    secrets: Mapping[str, str | None] | None = None,
    capabilities: Capabilities = NONE,
) -> DesiredState:
    """What an amphora with these interfaces shall do for the load balancer; see :func:`render`."""
    return render(tree, interfaces, tuning, secrets, capabilities).state


def render(
    tree: Tree,
    interfaces: tuple[Interface, ...],
    tuning: Tuning,
    secrets: Mapping[str, str | None] | None = None,
    capabilities: Capabilities = NONE,
) -> Rendered:
    """The desired state of an amphora with these interfaces.

    secrets: reference -> PEM text, of all that :func:`hydria.model.secrets.in_use` names; None for what the
    amphora is to go on with. capabilities: of the amphora's HAProxy.
    Objects on their way out are left out. Raises Unwritable when a text in the tree cannot be written into a
    configuration; the API accepts no such text.
    """
    wanted = tree.desired()
    if tree.load_balancer.flow_logs is False:
        tuning = dataclasses.replace(tuning, tenant_logs=None)
    artifacts = haproxy.render(wanted, tuning, secrets, capabilities)
    state = DesiredState(
        generation=tree.load_balancer.generation,
        interfaces=interfaces,
        haproxy=artifacts.config,
        structure=artifacts.structure,
        servers=artifacts.servers,
        nftables=nftables.render(wanted),
        files=artifacts.files,
        services=datagrams.render(wanted, tuning),
        logs=tuning.admin_logs,
    )
    return Rendered(state, artifacts.owners, artifacts.references)
