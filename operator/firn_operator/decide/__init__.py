"""Pure decisions: no awaits, no clock, no I/O. `decide(observed, now) -> Decision(actions, wake_at)`."""
