"""Rules between attributes and between resources; one layer for single and fully populated creates.

Every function takes values that :mod:`hydria.model.resource` has parsed, returns them completed (defaults that
depend on other attributes), and raises :class:`~hydria.model.errors.Invalid` in the words of contract 1.11
to 1.14. ``*_updated`` functions look at the object as it would become.
"""
