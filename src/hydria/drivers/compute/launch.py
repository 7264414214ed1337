"""The command that brings a built namespace to life, and cannot be traced back to the controller.

One child does it: it sets up eth0 from the inside, and leaves behind ``setsid --fork``: a process of its own
session, which no longer belongs to the controller, so that it outlives it and never becomes its zombie. That
one is in the namespace before the child ends. Everything the child needs is in its arguments: it finishes its
work when the controller is killed meanwhile, so that no amphora runs that is only half set up. Control groups
are joined by the amphora itself (:mod:`.enclosure`).
"""

from __future__ import annotations

import compileall
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import hydria
from hydria.drivers import host
from hydria.drivers.compute import namespaces
from hydria.drivers.compute.interface import AmphoraSpec
from hydria.model.errors import Invalid

_ENCLOSURE = "hydria.drivers.compute.enclosure"
_HIDDEN = Path("/run")
# Announced as it comes up, an address is not sought at the link of an amphora that had it before. The LB
# network's addresses and routes are those given here, whatever a router on it says.
_SCRIPT = """\
for setting in 1:ipv4/conf/eth0/arp_notify 1:ipv6/conf/eth0/ndisc_notify 0:ipv6/conf/eth0/accept_ra; do
  file=/proc/sys/net/${setting#*:}
  test ! -e $file || echo ${setting%%:*} >$file
done
ip -batch - <<END
$1
END
log=$2; shift 2
exec setsid --fork unshare --pid --fork "$@" </dev/null >>"$log" 2>&1
"""


def check(state_dir: Path) -> None:
    """Raise Invalid when the directories that an amphora shall not see hold what it runs on."""
    for needed in (Path(sys.prefix), Path(sys.base_prefix), _source()):
        for hidden in (state_dir.resolve(), _HIDDEN):
            if needed.resolve().is_relative_to(hidden):
                raise Invalid(
                    f"Amphorae do not see {hidden}, but {needed}, which they run on, is below it: set"
                    " [DEFAULT] state_dir to a directory of its own."
                )


@cache
def compile_program() -> None:
    """Have what amphorae run compiled, where we may write.

    They may not, and would spend half of their start on compiling it, each anew.
    """
    if sys.dont_write_bytecode:
        return
    package = _source() / "hydria"
    for part in ("amphora", "wire"):
        compileall.compile_dir(package / part, quiet=2)
    compileall.compile_file(Path(package, *_ENCLOSURE.split(".")[1:]).with_suffix(".py"), quiet=2)


def start(
    name: str,
    spec: AmphoraSpec,
    boot_dir: Path,
    log: Path,
    joins: Sequence[Path],
    *,
    state_dir: Path,
    command: Sequence[str],
) -> None:
    """Bring up a namespace's links and start the amphora; returns when its first process lives there."""
    place = [str(namespaces.path(name)), str(state_dir.resolve()), str(boot_dir.resolve())]
    limits = ":".join(map(str, joins))
    python = [sys.executable, "-S", "-s", "-P", "-m", _ENCLOSURE, *place, limits]
    inside = ["sh", "-ec", _SCRIPT, "sh", _links(spec), str(log), *python, *command]
    namespaces.run(
        ["nsenter", f"--net={namespaces.path(name)}", *inside],
        environment={**host.environment(), "PYTHONPATH": str(_source())},
    )


def _links(spec: AmphoraSpec) -> str:
    """What ``ip -batch`` reads: the agent configures the other interfaces itself, from the desired state."""
    lines = ["link set lo up"]
    for address in spec.lb_network.addresses:
        lines.append(f"addr add {address} dev eth0" + (" nodad" if ":" in address else ""))
    lines += [f"link set eth{number} up" for number in range(1 + len(spec.attachments))]
    return "\n".join(lines)


def _source() -> Path:
    """The directory that the package hydria is in."""
    return Path(hydria.__file__).resolve().parent.parent
