"""Statements on the head: planned, cut, scheduled over the nodes, told about."""
