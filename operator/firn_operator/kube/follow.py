"""A list and a watch of one resource, over the operator's own session: what changes a hundred times a second.

Kopf makes a task, a queue and a copy for each object that changes; with 45 claims a second that was a quarter of the
operator's time. Nothing is lost here: a watch goes on from the last version it brought, also after its connection
broke; where the server has forgotten that version, a list corrects the memory, deletions included, and the watch goes
on from the list.
"""

import asyncio
import random
from contextlib import aclosing
from typing import Any

import structlog

from firn_operator import metrics
from firn_operator.errors import ApiError, ExpiredError
from firn_operator.kube.api import PAGE, KubeApi, Raw
from firn_operator.observe.account import Account

log = structlog.get_logger()

FIRST_BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 5.0
GENTLE_PAGE = 100
GENTLE_PAUSE_SECONDS = 0.05
"""Between pages of a list that only checks: one of 500 pods holds up everything else for a twentieth of a second."""


class Followed:
    """One resource of the account, and how far its changes are known."""

    def __init__(self, api: KubeApi, account: Account, resource: str, selector: str = "") -> None:
        self._api = api
        self._account = account
        self._selector = selector
        self._version = ""
        self.resource = resource

    async def settle(self) -> int:
        """Correct the memory by a consistent list; return how many changes nothing had brought. Raises ApiError."""
        return await self._settle(PAGE, 0)

    async def settle_gently(self) -> int:
        """Do the same beside other work, which comes first. Raises ApiError."""
        return await self._settle(GENTLE_PAGE, GENTLE_PAUSE_SECONDS)

    async def _settle(self, size: int, pause_seconds: float) -> int:
        items, version = list[Any](), ""
        async for page in self._api.list_pages(self.resource, self._selector, size):
            items += self._account.read(self.resource, page["items"])
            version = page["metadata"]["resourceVersion"]
            await asyncio.sleep(pause_seconds)
        self._version = self._version or version
        return self._account.settle(self.resource, items, int(version))

    async def follow(self) -> None:
        """Feed the account for ever, from the last list on."""
        pause = 0.0
        while True:
            try:
                if not self._version:
                    await self.settle()
                async with aclosing(self._api.watch(self.resource, self._version, self._selector)) as stream:
                    async for events in stream:
                        pause = 0.0
                        for event in events:
                            self._take(event["type"], event["object"])
            except ExpiredError as error:
                log.info("watch begins anew", resource=self.resource, error=str(error))
                self._version = ""
            except ApiError as error:
                log.info("watch ended", resource=self.resource, error=str(error))
            if pause:
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  jitter, no secret
            pause = min(max(2 * pause, FIRST_BACK_OFF_SECONDS), LONGEST_BACK_OFF_SECONDS)

    def _take(self, kind: str, raw: Raw) -> None:
        """Take in one event. Raises ExpiredError for an error in the stream: whatever it is, a list corrects it."""
        if kind == "ERROR":
            raise ExpiredError(f"{raw.get('code')}: {raw.get('message')}")
        if kind != "BOOKMARK":
            metrics.WATCH_EVENTS.labels(self.resource).inc()
            self._account.notice(self.resource, kind, raw)
        self._version = raw["metadata"]["resourceVersion"]
