"""Durations on the command line: 30m, 8h, 14d."""

import re
from datetime import timedelta

from firn.errors import UsageError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str, option: str) -> timedelta:
    """Return how long a text says. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip().lower())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"{option} {text!r} is not a duration", "Write it as 90s, 30m, 8h or 14d.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
