"""Who is calling: the bearer token of a request."""

from typing import Annotated

from fastapi import Depends, Request

from firn_services.errors import UnauthenticatedError
from firn_services.services import Services


def services_of(request: Request) -> Services:
    """Return the services behind this app."""
    found: Services = request.app.state.services
    return found


def user_of(request: Request) -> str:
    """Return the caller. Raises UnauthenticatedError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("log in first: POST /api/v1/login, then send Authorization: Bearer <token>")
    return services_of(request).logins.user_of(token.strip())


Caller = Annotated[str, Depends(user_of)]
ServicesOf = Annotated[Services, Depends(services_of)]
