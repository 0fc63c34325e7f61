"""The loops: observe, decide, apply, sleep until an event or `wake_at`."""
