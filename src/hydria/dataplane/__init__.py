"""The data plane, pure: from a load balancer's tree to what its amphorae shall do.

Workers call :func:`desired_state` and send the result to the amphora agent, which applies it. Nothing here
touches the world, and the same tree always gives the same artifacts; so a fix in rendering needs new
controllers and never new amphorae. What cannot be rendered yet is refused at the edge: :mod:`.support`.
"""

from hydria.dataplane.state import desired_state
from hydria.dataplane.tuning import Tuning

__all__ = ["Tuning", "desired_state"]
