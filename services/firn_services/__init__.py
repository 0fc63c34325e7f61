"""firn_services."""
