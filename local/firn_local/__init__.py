"""A real kind cluster on any Linux machine."""
