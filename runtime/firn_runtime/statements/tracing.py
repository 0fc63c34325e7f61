"""Tells of the statements whose dispatch asks for it. What that needs is imported when the first one does."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog
from firn_model.messages import Dispatch, Failure, Finish

from firn_runtime.statements.spans import span_of

if TYPE_CHECKING:
    from firn_runtime.statements.traces import Receiver

MOST_WAITING = 256
"""Statements that wait to be told of; more are not."""
log = structlog.get_logger()


class Tracing:
    """Hands spans to a thread, so that no statement waits for it; nothing of it makes a statement fail."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._receivers: dict[str, Receiver] = {}
        self._waiting = 0

    def tell(self, dispatch: Dispatch, outcome: Finish | Failure, began_nanoseconds: int, seconds: float) -> None:
        """Tell of a statement that has ended, if its dispatch asks for it."""
        if dispatch.trace is None or self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        self._thread = self._thread or ThreadPoolExecutor(1, "traces")
        self._thread.submit(self._tell, dispatch, outcome, began_nanoseconds, seconds)

    def _tell(self, dispatch: Dispatch, outcome: Finish | Failure, began_nanoseconds: int, seconds: float) -> None:
        try:
            if dispatch.trace is not None:
                receiver = self._receiver(dispatch.trace.endpoint, dispatch.pod_uid)
                receiver.tell(span_of(dispatch, outcome, seconds), dispatch.trace.traceparent, began_nanoseconds)
        except Exception as error:  # noqa: BLE001  whatever it is, the statement has ended well
            log.warning("trace not sent", statement=dispatch.statement_id, error=repr(error))
        finally:
            self._waiting -= 1

    def _receiver(self, endpoint: str, node: str) -> "Receiver":
        from firn_runtime.statements.traces import Receiver

        if endpoint not in self._receivers:
            self.close()
            self._receivers = {endpoint: Receiver(endpoint, node)}
        return self._receivers[endpoint]

    def close(self) -> None:
        """Send what is left. Blocks."""
        for receiver in self._receivers.values():
            receiver.close()
