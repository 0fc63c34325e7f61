"""The HTTP application: routes, the bound on bodies, and every error as an ErrorReply."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from firn_model.api import PREFIX, LoginReply, LoginRequest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firn_services.doors import health, history, statements, tables, usage, warehouses
from firn_services.doors.access import ServicesOf
from firn_services.doors.hot import HotDoors
from firn_services.doors.replies import as_error
from firn_services.errors import MalformedError, NotFoundError, ServicesError
from firn_services.services import Services

log = structlog.get_logger()
MAX_BODY_BYTES = 4 << 20
login_router = APIRouter()


@login_router.post("/login")
async def login(wanted: LoginRequest, services: ServicesOf) -> LoginReply:
    """Return a bearer token."""
    token, expires_at = await services.logins.login(wanted.user, wanted.password)
    return LoginReply(token=token, expires_at=expires_at)


class _TooLargeError(Exception):
    """A body over the bound."""


class BoundedBodies:
    """Refuses bodies over the bound, whatever their header says."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most_bytes:
                raise _TooLargeError
            return message

        try:
            await self._app(scope, counted, send)
        except _TooLargeError:
            error = MalformedError(f"the request's body is over {self._most_bytes} bytes")
            await as_error(error, 413)(scope, receive, send)


def make_app(services: Services) -> FastAPI:
    """Return the application; the services start and stop with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with services.running():
            yield

    app = FastAPI(title="Firn", openapi_url=f"{PREFIX}/openapi.json", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.services = services
    for router in (login_router, statements.router, warehouses.router, history.router, tables.router, usage.router):
        app.include_router(router, prefix=PREFIX)
    app.include_router(health.router)
    app.add_exception_handler(ServicesError, _on_services_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_fault)
    app.add_middleware(HotDoors, prefix=PREFIX)
    app.add_middleware(BoundedBodies, most_bytes=MAX_BODY_BYTES)
    return app


async def _on_services_error(request: Request, error: Exception) -> Response:
    del request
    return as_error(error if isinstance(error, ServicesError) else ServicesError("internal error"))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    del request
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "not understood"}
    where = ".".join(str(part) for part in first["loc"])
    return as_error(MalformedError(f"{where}: {first['msg']}"))


async def _on_fault(request: Request, error: Exception) -> Response:
    """Say nothing of a fault of ours but that it is one; the log has it, whose line the server writes."""
    del request, error
    return as_error(ServicesError("internal error; the services' log says more"))


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.url.path
    found = (
        NotFoundError(f"there is no {path}")
        if status == 404
        else MalformedError(f"{request.method} {path} is not allowed")
    )
    return as_error(found, status)
