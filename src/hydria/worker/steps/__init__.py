"""Steps: one effect each, safe to repeat, with the revert that keeps a failed pass from leaving a riddle."""
