"""Who is calling: the bearer token of a request."""

from typing import Annotated

from fastapi import Depends, Request

from firn_services.errors import UnauthenticatedError
from firn_services.services import Services


async def services_of(request: Request) -> Services:
    """Return the services behind this app. A coroutine: the framework runs plain functions in threads."""
    return services_in(request)


def services_in(request: Request) -> Services:
    """Return the services behind a request's app."""
    found: Services = request.app.state.services
    return found


async def user_of(request: Request) -> str:
    """Return the caller. Raises UnauthenticatedError."""
    return caller_in(request)


def caller_in(request: Request) -> str:
    """Return whose token a request carries. Raises UnauthenticatedError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("log in first: POST /api/v1/login, then send Authorization: Bearer <token>")
    return services_in(request).logins.user_of(token.strip())


Caller = Annotated[str, Depends(user_of)]
ServicesOf = Annotated[Services, Depends(services_of)]
