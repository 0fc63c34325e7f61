"""The life of statements: dispatched, answered, written, their results kept."""
