"""Which task of a statement runs where and when: events in, instructions out. Pure; `now` in seconds is an argument."""
