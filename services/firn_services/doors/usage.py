"""GET /usage: credits by hour and warehouse."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from fastapi import APIRouter
from firn_model.api import UsageHour, UsageReply
from firn_model.credits import to_credits

from firn_services.doors.access import Caller, ServicesOf
from firn_services.errors import MalformedError

router = APIRouter()
BY_DEFAULT = timedelta(days=1)


@router.get("/usage")
async def usage(
    services: ServicesOf,
    user: Caller,
    warehouse: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> UsageReply:
    """Return the credits used between two times, of the last day by default."""
    del user
    name = services.account.find(warehouse).name if warehouse is not None else None
    start, end = between(start, end, BY_DEFAULT)
    found = [u for u in await services.account.metering.usage(start, end) if name is None or u.warehouse == name]
    hours = tuple(
        UsageHour(
            warehouse=u.warehouse,
            hour=u.hour,
            credits_compute=to_credits(u.compute),
            credits_burst=to_credits(u.burst),
            credits_used=to_credits(u.compute + u.burst),
        )
        for u in found
    )
    total = sum((u.compute + u.burst for u in found), start=Decimal(0))
    return UsageReply(start=start, end=end, hours=hours, credits_used=to_credits(total))


def between(start: datetime | None, end: datetime | None, by_default: timedelta) -> tuple[datetime, datetime]:
    """Return a span of time, aware and not empty. Raises MalformedError."""
    try:
        end = _aware(end) if end is not None else datetime.now(UTC)
        start = _aware(start) if start is not None else end - by_default
    except OverflowError as error:
        raise MalformedError("start and end must be within the years 1 to 9999, in UTC too") from error
    if start >= end:
        raise MalformedError("start must be before end")
    return start, end


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
