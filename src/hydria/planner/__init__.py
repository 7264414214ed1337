"""Decisions, pure: what is desired and what is there in, what to do out, with a sentence that says why."""
