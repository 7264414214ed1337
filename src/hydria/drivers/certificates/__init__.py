"""The certificates that controllers and amphorae know each other by."""
