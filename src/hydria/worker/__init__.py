"""The controller worker: brings load balancers to their desired state.

A wake-up or the worker's own look finds a load balancer with work to do; :mod:`converger` takes its lease,
asks the planner, runs the flow that :mod:`flows` builds of :mod:`steps`, and records what became of it.
"""
