"""Manifests and patches as plain data."""
