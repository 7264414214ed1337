"""A provider that loads no balance; see the README."""
