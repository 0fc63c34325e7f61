"""Bodies of answers: messages and errors as JSON, serialised once."""

from fastapi import Response
from pydantic import BaseModel

from firn_services.errors import ServicesError, http_status, reply

JSON = "application/json"


def as_json(message: BaseModel) -> Response:
    """Return a message of ours as it is, without validating it once more."""
    return Response(message.__pydantic_serializer__.to_json(message, warnings=False), media_type=JSON)


def as_error(error: ServicesError, status: int | None = None) -> Response:
    """Return an error as an ErrorReply."""
    return Response(reply(error).model_dump_json(), status or http_status(error), media_type=JSON)
