"""The health manager: heartbeats in; statuses, statistics and the replacement of dead amphorae out.

:mod:`receiver` believes or rejects datagrams, :mod:`recorder` writes what they say, :mod:`watch` decides
apart from both whether an amphora is dead.
"""
