"""Kubernetes Events: written after the hot path, each thing said once a while."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from itertools import islice

import structlog
from firn_model import names

from firn_operator.build.cluster import stamp
from firn_operator.decide.reason import Reason
from firn_operator.errors import ApiError
from firn_operator.kube.api import EVENTS, KubeApi, Raw

log = structlog.get_logger()

QUIET_SECONDS = 0.5
REPEAT_SECONDS = 300.0
MOST_WAITING = 500
EVENTS_A_SECOND = 5.0
BURST_OF_EVENTS = 50.0
"""So many are written at once, and then so many a second: each is a write of the API server, as a claim is."""
FORGOTTEN_AT_ONCE = 2
WARNINGS = frozenset(
    {
        Reason.BIND_FAILED,
        Reason.HEAD_LOST,
        Reason.HEAD_SILENT,
        Reason.CREATE_REFUSED,
        Reason.NODE_FAILED,
        Reason.BOOT_TIMEOUT,
        Reason.ORPHANED,
    }
)


class Events:
    """A bounded queue of Events; a full one drops the newest, since they are a courtesy."""

    def __init__(self, api: KubeApi, identity: str) -> None:
        self._api = api
        self._identity = identity
        self._queue: asyncio.Queue[Raw] = asyncio.Queue(MOST_WAITING)
        self._told: dict[tuple[str, str, str], float] = {}
        self._allowed = BURST_OF_EVENTS
        self._counted_at = time.monotonic()

    def tell(self, kind: str, name: str, uid: str, reason: Reason, message: str) -> None:
        """Say something about an object, unless it was said lately."""
        key, now = (uid, reason.value, message), time.monotonic()
        if now - self._told.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        self._told.pop(key, None)
        self._told[key] = now
        for old in list(islice(self._told, FORGOTTEN_AT_ONCE)):  # the oldest come first
            if now - self._told[old] >= REPEAT_SECONDS:
                del self._told[old]
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(self._manifest(kind, name, uid, reason, message))

    async def run(self) -> None:
        """Write what was said, for ever; all a little after the first moment, which belongs to the hot path."""
        while True:
            said = [await self._queue.get()]
            await asyncio.sleep(QUIET_SECONDS)
            while not self._queue.empty():
                said.append(self._queue.get_nowait())
            for event in said:
                await self._turn()
                try:
                    await self._api.create(EVENTS, event)
                except ApiError as error:
                    log.info("event not written", error=str(error))

    async def _turn(self) -> None:
        """Wait until one more may be written."""
        now = time.monotonic()
        since, self._counted_at = now - self._counted_at, now
        self._allowed = min(self._allowed + since * EVENTS_A_SECOND, BURST_OF_EVENTS) - 1
        if self._allowed < 0:
            await asyncio.sleep(-self._allowed / EVENTS_A_SECOND)

    def _manifest(self, kind: str, name: str, uid: str, reason: Reason, message: str) -> Raw:
        now = datetime.now(UTC)
        at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name}.", "namespace": self._api.namespace},
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": kind,
                "name": name,
                "uid": uid,
                "namespace": self._api.namespace,
            },
            "type": "Warning" if reason in WARNINGS else "Normal",
            "reason": reason.value,
            "message": message[:1000],
            "firstTimestamp": at,
            "lastTimestamp": at,
            "eventTime": stamp(now),
            "action": reason.value,
            "count": 1,
            "source": {"component": names.FIELD_MANAGER_OPERATOR},
            "reportingComponent": names.FIELD_MANAGER_OPERATOR,
            "reportingInstance": self._identity[:128],
        }
