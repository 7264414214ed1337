"""What Hydria asks of whatever runs amphorae."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hydria.drivers.network.interface import Port
from hydria.wire.boot import Boot


class ComputeStatus(StrEnum):
    """What the compute service says about an instance."""

    BUILDING = "BUILDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A port to be plugged, with the prefix lengths and MTU that its addresses need in the guest."""

    port: Port
    mtu: int
    addresses: tuple[str, ...]  # with prefix length


@dataclass(frozen=True, slots=True)
class Selection:
    """What a flavor and an availability zone choose of a compute service, in its words; "": its default."""

    flavor: str = ""
    image_tag: str = ""
    zone: str = ""
    volume_zone: str = ""


@dataclass(frozen=True, slots=True)
class AmphoraSpec:
    """An amphora to be built.

    name: unique; building again under a name that exists returns that instance.
    lb_network: its port on the LB network. attachments: its other ports (the VIP network).
    boot: the agent's settings; the driver sets the user that its unprivileged part runs as.
    files: the rest of the boot directory (wire/boot.py), file name -> content; secrets among them.
    selection: what kind of instance, and where.
    vips: the load balancer's addresses, which it may have besides those of its ports.
    """

    name: str
    amphora_id: str
    load_balancer_id: str
    lb_network: Attachment
    attachments: tuple[Attachment, ...]
    boot: Boot
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    selection: Selection = Selection()
    vips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instance:
    """A built amphora. name: the one it was built under. fault: why it is in ERROR."""

    compute_id: str
    name: str
    status: ComputeStatus
    lb_network_ip: str = ""
    fault: str = ""


class ComputeDriver(Protocol):
    """A compute service.

    ``build`` and ``delete`` are idempotent and may take as long as the service needs to accept the order;
    ``get`` answers within seconds and tells when the instance runs. They raise DriverError with the
    service's own reason. ``instances`` lists what Hydria ever built here, for the search for orphans.
    ``refusal`` may be called by any program, also one that could not build anything. ``prepare`` is called by
    one that is going to build, once.
    """

    def prepare(self) -> None:
        """Have ready what the first build would wait for; it need not succeed, as builds do without."""

    def refusal(self, selection: Selection) -> str:
        """Why no instance can be had so, as a sentence; "" when one can."""

    def build(self, spec: AmphoraSpec) -> Instance:
        """Order an amphora."""

    def get(self, compute_id: str) -> Instance | None:
        """Look up an instance; None when it is gone."""

    def delete(self, compute_id: str) -> None:
        """End an instance and remove all of it; nothing happens when it is gone."""

    def instances(self) -> Iterable[Instance]:
        """Every instance of this deployment."""

    def cleanup(self) -> None:
        """End and remove every instance of this deployment."""
