"""Housekeeping: what nobody needs any more is removed, and what belongs to nobody is found."""
