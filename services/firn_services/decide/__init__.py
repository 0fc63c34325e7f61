"""Pure decisions: no awaits, no clock, no I/O."""
