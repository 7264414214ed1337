"""HAProxy 2.6 and later: the tree as its configuration, pure.

``token`` is the one place where text becomes configuration; ``writer`` puts tokens into lines and sections;
``process``, ``frontend``, ``backend``, ``persistence``, ``check`` and ``server`` know HAProxy's words, each
for one part of the tree; ``render`` puts them together. What not every version has is asked of the amphora's
capabilities (``wire.capabilities``), never of its version.
"""

from hydria.dataplane.haproxy.render import HAProxyArtifacts, render
from hydria.dataplane.haproxy.writer import Unwritable

__all__ = ["HAProxyArtifacts", "Unwritable", "render"]
