"""Rows written into files of an object store."""
