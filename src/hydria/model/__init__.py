"""The vocabulary of load balancing, pure: resources, kinds of values, statuses, rules and errors.

Imports nothing of Hydria's own and does no I/O; every other room speaks these words.
"""
