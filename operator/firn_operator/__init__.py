"""firn_operator."""
