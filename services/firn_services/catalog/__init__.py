"""Databases, schemas and Iceberg tables."""
