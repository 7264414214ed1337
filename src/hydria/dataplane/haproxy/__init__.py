"""HAProxy 2.6: the tree as its configuration, pure.

``token`` is the one place where text becomes configuration; ``writer`` puts tokens into lines and sections;
``process``, ``frontend``, ``backend``, ``persistence``, ``check`` and ``server`` know HAProxy's words, each
for one part of the tree; ``render`` puts them together.
"""

from hydria.dataplane.haproxy.render import HAProxyArtifacts, render
from hydria.dataplane.haproxy.writer import Unwritable

__all__ = ["HAProxyArtifacts", "Unwritable", "render"]
