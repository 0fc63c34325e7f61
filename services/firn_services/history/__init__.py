"""What is kept of the past and read again: load, events, metering, profiles, advice."""
