"""POST and GET /statements."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from firn_model.api import ProfileReply, StatementList, StatementReply, SubmitRequest
from firn_model.statements import StatementState
from pydantic import ValidationError

from firn_services.doors.access import Caller, ServicesOf, caller_in, services_in
from firn_services.doors.replies import as_json
from firn_services.errors import MalformedError
from firn_services.services import Services
from firn_services.statements.record import ResultRecord
from firn_services.statements.results import chunks

router = APIRouter()
ARROW = "application/vnd.apache.arrow.stream"
MOST_WAIT_SECONDS = 60.0
_SUBMIT_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SubmitRequest.model_json_schema()}}}
}
_WAIT = {
    "parameters": [
        {"name": "statement_id", "in": "path", "required": True, "schema": {"type": "string"}},
        {
            "name": "wait_seconds",
            "in": "query",
            "schema": {"type": "number", "minimum": 0, "maximum": MOST_WAIT_SECONDS, "default": 0},
        },
    ]
}


@router.post("/statements", responses={200: {"model": StatementReply}}, openapi_extra=_SUBMIT_BODY)
async def submit(request: Request) -> Response:
    """Run one statement. Takes the bare request: see doors/hot.py."""
    user = caller_in(request)
    try:
        wanted = SubmitRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise MalformedError(_first_problem(error)) from error
    return as_json(await services_in(request).statements.submit(wanted, user))


@router.get("/statements")
async def newest(
    services: ServicesOf,
    user: Caller,
    warehouse: str | None = None,
    state: StatementState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List statements, newest first."""
    del user
    replies = await services.statements.newest(warehouse, state, limit)
    return as_json(StatementList.model_construct(statements=tuple(replies)))


@router.get("/statements/{statement_id}", responses={200: {"model": StatementReply}}, openapi_extra=_WAIT)
async def get(request: Request) -> Response:
    """Return a statement, when it is final or after the wait. Takes the bare request: see doors/hot.py."""
    caller_in(request)
    wait_seconds = _wait_seconds(request.query_params.get("wait_seconds", "0"))
    return as_json(await services_in(request).statements.get(request.path_params["statement_id"], wait_seconds))


@router.get("/statements/{statement_id}/profile", responses={200: {"model": ProfileReply}})
async def profile(statement_id: str, services: ServicesOf, user: Caller) -> Response:
    """Return how a statement ran."""
    del user
    return as_json(await services.statements.profile(statement_id))


@router.post("/statements/{statement_id}/cancel")
async def cancel(statement_id: str, services: ServicesOf, user: Caller) -> Response:
    """Cancel a statement."""
    del user
    return as_json(await services.statements.cancel(statement_id))


@router.get("/statements/{statement_id}/result")
async def result(
    statement_id: str,
    services: ServicesOf,
    user: Caller,
    format: Literal["json", "arrow"] = "json",  # noqa: A002  the name on the wire
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
) -> Response:
    """Return a result as JSON rows or as an Arrow IPC stream."""
    del user
    where = await services.statements.result(statement_id)
    if format == "arrow":
        return StreamingResponse(_stream(services, where), media_type=ARROW)
    return as_json(await asyncio.to_thread(services.statements.page, where, offset, limit))


async def _stream(services: Services, where: ResultRecord) -> AsyncIterator[bytes]:
    parts = chunks(services.objects, where)
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part


def _wait_seconds(text: str) -> float:
    """Return the wait that was asked for. Raises MalformedError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds <= MOST_WAIT_SECONDS:
        return seconds
    raise MalformedError(f"query.wait_seconds: a number from 0 to {MOST_WAIT_SECONDS:.0f} is needed")


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
