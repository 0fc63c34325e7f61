"""The two doors that every statement passes, without the framework's routing and dependencies: about 1 ms a request.

The same handlers are routes of the application too, which is where its OpenAPI document has them from.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from firn_services.doors import statements
from firn_services.doors.replies import as_error
from firn_services.errors import ServicesError


class HotDoors:
    """Answers POST {prefix}/statements and GET {prefix}/statements/{id} itself and passes everything else on."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._submit = f"{prefix}/statements"
        self._get = f"{self._submit}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it on."""
        handler = None
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if method == "POST" and path == self._submit:
                handler = statements.submit
            elif method == "GET" and path.startswith(self._get):
                statement_id = path[len(self._get) :]
                if statement_id and "/" not in statement_id:
                    scope["path_params"] = {"statement_id": statement_id}
                    handler = statements.get
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(Request(scope, receive))
        except ServicesError as error:
            response = as_error(error)
        await response(scope, receive, send)
