"""A namespace of an API server in memory, with the calls that the services make."""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from firn_services.kube.api import KubeError

Raw = dict[str, Any]


class FakeKube:
    """Holds objects and tells watchers of each change, as KubeApi's calls see it."""

    namespace = "test"

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Raw]] = {}
        self.loads: list[tuple[str, Raw]] = []
        self._version = 1
        self._events: list[tuple[int, str, str, Raw]] = []
        self._changed = asyncio.Condition()

    async def close(self) -> None:
        return

    async def get(self, resource: str, name: str) -> Raw:
        found = self.objects.get(resource, {}).get(name)
        if found is None:
            raise KubeError(404, f"{resource} {name} not found")
        return copy.deepcopy(found)

    async def list_all(self, resource: str) -> Raw:
        items = list(copy.deepcopy(self.objects.get(resource, {})).values())
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def create(self, resource: str, manifest: Raw) -> Raw:
        name = manifest["metadata"]["name"]
        if name in self.objects.get(resource, {}):
            raise KubeError(409, f"{resource} {name} already exists")
        made = copy.deepcopy(manifest)
        made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": datetime.now(UTC).isoformat()}
        return await self._put(resource, name, made, "ADDED")

    async def replace(self, resource: str, name: str, manifest: Raw) -> Raw:
        await self.get(resource, name)
        return await self._put(resource, name, copy.deepcopy(manifest), "MODIFIED")

    async def merge(self, resource: str, name: str, patch: Raw) -> Raw:
        merged = _merged(await self.get(resource, name), patch)
        return await self._put(resource, name, merged, "MODIFIED")

    async def delete(self, resource: str, name: str, uid: str) -> None:
        found = await self.get(resource, name)
        if found["metadata"]["uid"] != uid:
            raise KubeError(409, "another uid")
        del self.objects[resource][name]
        await self._tell("DELETED", resource, found)

    async def apply_status(self, resource: str, name: str, manifest: Raw) -> Raw:
        self.loads.append((name, manifest["status"]["load"]))
        return await self.merge(resource, name, {"status": manifest["status"]})

    async def watch(self, resource: str, version: str) -> AsyncIterator[Raw]:
        seen = int(version)
        while True:
            news = await self._since(seen)
            seen = news[-1][0]
            for _, kind, of, item in news:
                if of == resource:
                    yield {"type": kind, "object": copy.deepcopy(item)}

    async def _since(self, seen: int) -> list[tuple[int, str, str, Raw]]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > seen)
            return [event for event in self._events if event[0] > seen]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, looking at each change."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def _put(self, resource: str, name: str, item: Raw, kind: str) -> Raw:
        self.objects.setdefault(resource, {})[name] = item
        await self._tell(kind, resource, item)
        return copy.deepcopy(item)

    async def _tell(self, kind: str, resource: str, item: Raw) -> None:
        async with self._changed:
            self._version += 1
            item["metadata"]["resourceVersion"] = str(self._version)
            self._events.append((self._version, kind, resource, copy.deepcopy(item)))
            self._changed.notify_all()


def _merged(base: Raw, patch: Raw) -> Raw:
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict):
            base[key] = _merged(dict(base.get(key) or {}), value)
        else:
            base[key] = value
    return base
