"""Where amphorae live."""
