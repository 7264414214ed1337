"""The data plane, pure: from a load balancer's tree to what its amphorae shall do.

Workers ask :mod:`.usable` what of a tree can be served, :func:`render` it, and send the result to the amphora
agent, which applies it; when that refuses it, :mod:`.culprits` says whose fault it is. Nothing here touches
the world, and the same tree always gives the same artifacts; so a fix in rendering needs new controllers and
never new amphorae.
"""

from hydria.dataplane.haproxy import Unwritable
from hydria.dataplane.state import Rendered, desired_state, render
from hydria.dataplane.tuning import Tuning

__all__ = ["Rendered", "Tuning", "Unwritable", "desired_state", "render"]
