"""The front doors: HTTP and JSON under /api/v1."""
