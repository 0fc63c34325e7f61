"""firn_runtime."""
