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


class Deletion(StrEnum):
    """What became of the order to delete an instance.

    UNDER_WAY: the service has accepted it. UNREACHABLE: nobody who could do it answers. Both are to be asked
    again until the instance is GONE.
    """

    GONE = "GONE"
    UNDER_WAY = "UNDER_WAY"
    UNREACHABLE = "UNREACHABLE"


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

    name: unique; ordering again under a name that exists returns that instance.
    lb_network: its port on the LB network. attachments: its other ports (the VIP network).
    boot: the agent's settings; the driver sets the user that its unprivileged part runs as.
    files: the rest of the boot directory (wire/boot.py), file name -> content; secrets among them.
    selection: what kind of instance, and where.
    vips: the load balancer's addresses, where the amphora has them from the start and nobody else does;
    they are plugged later otherwise (``NetworkDriver.plug_vip``).
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
    """An ordered amphora.

    name: the one it was ordered under. fault: why it is in ERROR.
    ready_within: seconds in which its agent answers, where that is worth waiting for; 0: it boots for longer.
    """

    compute_id: str
    name: str
    status: ComputeStatus
    lb_network_ip: str = ""
    fault: str = ""
    ready_within: float = 0.0


class ComputeDriver(Protocol):
    """A compute service.

    ``order``, ``find``, ``get`` and ``delete`` answer within seconds, however long a boot takes,
    and may be called again at any time. They raise DriverError with the service's own reason.
    """

    def prepare(self) -> None:
        """Have ready what the first order would wait for. Called once, by a program that is going to order.

        It need not succeed: orders do without.
        """

    def refusal(self, selection: Selection) -> str:
        """The reason why no instance can be had so, as a sentence; "" when one can. For any program."""

    def order(self, spec: AmphoraSpec) -> Instance:
        """Order an amphora, or return the one of that name; it may still be BUILDING."""

    def find(self, name: str) -> Instance | None:
        """The instance that was ordered under this name; None when there is none."""

    def get(self, compute_id: str) -> Instance | None:
        """Look up an instance; None when it is gone."""

    def delete(self, compute_id: str) -> Deletion:
        """Have an instance ended, and all of it removed; GONE also when it was never there."""

    def instances(self) -> Iterable[Instance]:
        """Every instance of this deployment, for the search for orphans."""

    def cleanup(self) -> None:
        """End and remove every instance of this deployment."""
