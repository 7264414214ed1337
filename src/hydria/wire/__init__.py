"""What controller and amphora say to each other: the desired state, its outcome, and heartbeats.

The amphora agent imports this room, so it uses the standard library alone.
"""
