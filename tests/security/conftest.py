"""The proxies and amphorae of tests/node, to be attacked."""

from tests.node.conftest import lab, port, proxy

__all__ = ["lab", "port", "proxy"]
