"""The health manager: heartbeats in; statuses, statistics and the replacement of dead amphorae out.

:mod:`receiver` believes or rejects datagrams, :mod:`recorder` writes down who was heard, :mod:`evaluator`
what follows from what they say, each in a thread of its own, so that none waits for the next.
:mod:`failure_detector` decides whether an amphora is dead, and :mod:`sharing` whose business it is.
"""
