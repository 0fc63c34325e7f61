"""firn."""
