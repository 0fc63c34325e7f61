"""GET /warehouses/{name}/load, /events and /advice: what was, and what to make of it."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from firn_model.api import Advice, AdviceReply, ClusterLoadInterval, EventList, LoadInterval, LoadReply, WarehouseEvent

from firn_services.decide.load_history import COARSE, KEEP, Interval, length_for
from firn_services.doors.access import Caller, ServicesOf
from firn_services.doors.usage import between
from firn_services.errors import MalformedError

router = APIRouter()
LOAD_BY_DEFAULT = timedelta(hours=1)
EVENTS_BY_DEFAULT = timedelta(days=14)
MOST_INTERVALS = 10_000
LONGEST_SECONDS = 366 * 86_400
PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")


@router.get("/warehouses/{name}/load")
async def load(
    name: str,
    services: ServicesOf,
    user: Caller,
    start: datetime | None = None,
    end: datetime | None = None,
    interval_seconds: Annotated[int | None, Query(le=LONGEST_SECONDS)] = None,
) -> LoadReply:
    """Return a warehouse's load between two times."""
    del user
    warehouse = services.account.find(name)
    start, end = between(start, end, LOAD_BY_DEFAULT)
    length = timedelta(seconds=interval_seconds) if interval_seconds is not None else length_for(end - start)
    if length and (end - start) / length > MOST_INTERVALS:
        raise MalformedError(f"more than {MOST_INTERVALS} intervals; ask for longer ones or a shorter time")
    try:
        found = await services.load_history.intervals(warehouse.resource, start, end, length)
    except ValueError as error:
        raise MalformedError(f"interval_seconds: {error}") from error
    return LoadReply(
        warehouse=warehouse.name,
        start=start,
        end=end,
        interval_seconds=int(length.total_seconds()),
        intervals=tuple(_interval(one) for one in found),
    )


@router.get("/warehouses/{name}/events")
async def events(
    name: str,
    services: ServicesOf,
    user: Caller,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> EventList:
    """Return what happened to a warehouse and its clusters between two times."""
    del user
    warehouse = services.account.find(name)
    start, end = between(start, end, EVENTS_BY_DEFAULT)
    found = await services.events.newest(warehouse.resource, start, end, limit)
    return EventList(
        warehouse=warehouse.name,
        events=tuple(
            WarehouseEvent(
                at=one.at,
                warehouse=one.warehouse,
                cluster_number=one.cluster_number,
                event=one.event,
                state=one.state,
                reason=one.reason,
                size=one.size,
                cluster_count=one.cluster_count,
            )
            for one in found
        ),
    )


@router.get("/warehouses/{name}/advice")
async def advice(
    name: str, services: ServicesOf, user: Caller, start: datetime | None = None, end: datetime | None = None
) -> AdviceReply:
    """Return advice on a warehouse by what happened between two times."""
    del user
    warehouse = services.account.find(name)
    start, end = between(start, end, KEEP[COARSE])
    found, work = await services.adviser.advise(warehouse, start, end)
    return AdviceReply(
        warehouse=warehouse.name,
        start=start,
        end=end,
        statements=work.statements,
        use=work.use,
        advice=tuple(
            Advice(rule=one.rule, words=one.words, figures=one.figures, change=_change(warehouse.name, one.options))
            for one in found
        ),
    )


def _change(name: str, options: dict[str, str]) -> str | None:
    """Return the statement that sets options."""
    quoted = name if PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'
    settings = " ".join(f"{option} = {value}" for option, value in options.items())
    return f"ALTER WAREHOUSE {quoted} SET {settings}" if options else None


def _interval(one: Interval) -> LoadInterval:
    return LoadInterval(
        started_at=one.start,
        avg_running=one.running,
        avg_queued_load=one.queued_load,
        avg_queued_provisioning=one.queued_provisioning,
        avg_blocked=one.blocked,
        utilization=one.utilization,
        clusters=tuple(
            ClusterLoadInterval(cluster=c.cluster, number=c.number, avg_running=c.running, utilization=c.utilization)
            for c in one.clusters
        ),
    )
