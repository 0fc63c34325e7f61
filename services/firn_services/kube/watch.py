"""Following a resource: one list, then its watch, for ever; a broken watch goes on where it was."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from firn_services.kube.api import KubeApi, KubeError, Raw

log = structlog.get_logger()
GONE = 410
RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


class Follower:
    """Keeps the objects of one resource by name and tells of each change: `changed(name, object or None)`."""

    def __init__(self, api: KubeApi, resource: str, changed: Callable[[str, Raw | None], None]) -> None:
        self._api = api
        self._resource = resource
        self._changed = changed
        self._version = ""
        self._known: dict[str, str] = {}
        self.synced = asyncio.Event()
        """Set once the first list has been told, and cleared while the server cannot be reached."""

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                self.synced.set()
                await self._watch()
                failures = 0
            except KubeError as error:
                failures = self._after(error, failures)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    def _after(self, error: KubeError, failures: int) -> int:
        """Return the count of failures in a row after one more."""
        if error.status == GONE:
            self._version = ""
            return 1
        log.warning("watch broken", resource=self._resource, status=error.status, error=error.message)
        if failures >= 2:
            self.synced.clear()
        return failures + 1

    async def _list(self) -> None:
        answer = await self._api.list_all(self._resource)
        items = {item["metadata"]["name"]: item for item in answer["items"]}
        for name in set(self._known) - set(items):
            self._tell(name, None)
        for name, item in items.items():
            self._tell(name, item)
        self._version = answer["metadata"]["resourceVersion"]

    async def _watch(self) -> None:
        async with aclosing(self._api.watch(self._resource, self._version)) as events:
            async for event in events:
                item = event["object"]
                if event["type"] == "ERROR":
                    self._version = ""
                    raise KubeError(int(item.get("code") or 0), str(item.get("message")))
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._tell(item["metadata"]["name"], None if event["type"] == "DELETED" else item)

    def _tell(self, name: str, item: Raw | None) -> None:
        if item is None:
            self._known.pop(name, None)
        elif self._known.get(name) == item["metadata"]["resourceVersion"]:
            return
        else:
            self._known[name] = item["metadata"]["resourceVersion"]
        self._changed(name, item)
