"""Whether an object store answers at all, told at once: its client would try again for minutes."""

import asyncio
from urllib.parse import urlsplit

from firn_model.statements import StatementError

from firn_runtime.errors import StatementFailedError

_CONNECT_SECONDS = 5.0


async def require_reachable(endpoint: str) -> None:
    """Raise StatementFailedError unless the endpoint (a URL) accepts a connection."""
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:
        raise StatementFailedError(
            StatementError.OBJECT_STORE_UNREACHABLE,
            f"The object store at {parts.hostname}:{port} does not answer ({error.strerror or 'no answer in time'}). "
            "Check that it runs and that its address is right.",
        ) from None
    writer.close()
