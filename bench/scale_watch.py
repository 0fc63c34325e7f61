"""A list and a watch of one resource, for the stand-ins of `make bench-scale`: cheap, in the order of the server."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from kubernetes.aio import client, config

Raw = dict[str, Any]
LINE_BYTES = 1 << 22
PAGE = 500


class Viewer:
    """Lists and watches one namespace by its own connections."""

    def __init__(self, session: aiohttp.ClientSession, host: str, namespace: str) -> None:
        self._session = session
        self._host = host
        self._namespace = namespace

    @classmethod
    async def connect(cls, namespace: str) -> "Viewer":
        """Return a viewer by KUBECONFIG."""
        settings = client.Configuration()
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=os.environ["KUBECONFIG"], client_configuration=settings
        )
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        context.load_cert_chain(settings.cert_file or "", settings.key_file)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        session = aiohttp.ClientSession(connector=connector, read_bufsize=LINE_BYTES, trust_env=False)
        return cls(session, settings.host, namespace)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def read(self, path: str) -> bytes:
        """Return what the server answers at a path."""
        async with self._session.get(self._host + path) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Raw]]:
        """Yield what is there as ADDED, then each change, for ever; in `path` * stands for the namespace."""
        url = self._host + path.replace("*", f"namespaces/{self._namespace}")
        version = ""
        async for page in self._pages(url):
            version = page["metadata"]["resourceVersion"]
            for item in page["items"]:
                yield "ADDED", item
        while True:
            with contextlib.suppress(aiohttp.ClientError):  # a busy server ends watches; the next goes on from there
                async for event in self._events(url, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
            await asyncio.sleep(0.1)

    async def _events(self, url: str, version: str) -> AsyncIterator[Raw]:
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with self._session.get(url, params=query, timeout=timeout) as stream:
            stream.raise_for_status()  # a server that has just learnt of the resource may not be ready to watch it
            async for line in stream.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise SystemExit(f"the watch of {url} ended: {event['object'].get('message')}")
                yield event

    async def _pages(self, url: str) -> AsyncIterator[Raw]:
        token = ""
        while True:
            query = {"limit": str(PAGE), **({"continue": token} if token else {})}
            async with self._session.get(url, params=query) as answer:
                answer.raise_for_status()
                page = await answer.json()
            yield page
            token = page["metadata"].get("continue", "")
            if not token:
                return
