"""Calls to the API server, as plain JSON.

What the operator's Role must allow, all in its own namespace:

| group | resources | verbs |
|---|---|---|
| firn.dev | virtualwarehouses, warehousepools, resourcemonitors | get, list, watch |
| firn.dev | warehouseclusters | get, list, watch, create, patch, delete |
| firn.dev | status of virtualwarehouses, warehouseclusters, warehousepools, resourcemonitors | patch |
| "" | pods | get, list, watch, create, patch, delete |
| "" | events | create, patch |
| coordination.k8s.io | leases | get, list, watch, create; update, patch of `firn-operator` |
| networking.k8s.io | networkpolicies | create |

`firn-operator uninstall` has a Role of its own: pods list, delete; warehouseclusters list, patch, delete; get of
the Lease; patch of the operator's deployments/scale.
"""

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
from firn_model import names
from kubernetes.aio import client, config
from yarl import URL

from firn_operator import metrics
from firn_operator.errors import (
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT_SECONDS = 10.0
PAGE = 500
"""So many objects are listed at once."""
WATCH_SECONDS = 240
"""After so long the server ends a watch, and the next one goes on from there."""
SILENCE_SECONDS = 90.0
"""Bookmarks come once a minute, so a watch that is silent for longer is broken."""
CONNECT_SECONDS = 10.0
MOST_CONNECTIONS = 100
KEEP_ALIVE_SECONDS = 75.0
Raw = dict[str, Any]

WAREHOUSES = "virtualwarehouses"
CLUSTERS = "warehouseclusters"
POOLS = "warehousepools"
MONITORS = "resourcemonitors"
PODS = "pods"
EVENTS = "events"
LEASES = "leases"
NETWORK_POLICIES = "networkpolicies"
PREFIXES = {
    PODS: "/api/v1",
    EVENTS: "/api/v1",
    LEASES: "/apis/coordination.k8s.io/v1",
    NETWORK_POLICIES: "/apis/networking.k8s.io/v1",
}
NODE_SELECTOR = (
    f"{names.LABEL_PART_OF}={names.PART_OF},{names.LABEL_COMPONENT}={names.COMPONENT_NODE}"  # the pods that are nodes
)
ERRORS: dict[int, type[ApiError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
    429: UnavailableError,
}


class KubeApi:
    """One namespace of one API server."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._client = api_client
        # A session of our own: the client's looks for proxies in the environment, on a thread, at each call.
        connector = aiohttp.TCPConnector(
            ssl=api_client.rest_client.ssl_context, limit=MOST_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS
        )
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=True)

    @classmethod
    async def connect(cls, namespace: str) -> "KubeApi":
        """Return a client by the pod's service account, else by the kubeconfig."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=os.environ.get("KUBECONFIG"), client_configuration=settings
            )
        return cls(client.ApiClient(settings), namespace)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: str, name: str) -> Raw:
        """Return one object. Raises NotFoundError."""
        return await self.request("GET", self._path(resource, name))

    async def list_all(self, resource: str, selector: str = "") -> Raw:
        """Return a consistent list of a resource's objects."""
        whole: Raw = {"items": []}
        async for page in self.list_pages(resource, selector):
            whole = {**page, "items": whole["items"] + page["items"]}
        return whole

    async def list_pages(self, resource: str, selector: str = "", size: int = PAGE) -> AsyncIterator[Raw]:
        """Yield a consistent list of a resource's objects in parts, so that no more than one is held in memory."""
        query = f"?limit={size}" + (f"&labelSelector={quote(selector)}" if selector else "")
        token = ""
        while True:
            more = f"&continue={quote(token)}" if token else ""
            page = await self.request("GET", self._path(resource) + query + more, timeout_seconds=60)
            token = page["metadata"].get("continue") or ""
            yield page
            if not token:
                return

    async def watch(self, resource: str, version: str, selector: str = "") -> AsyncGenerator[list[Raw]]:
        """Yield the events after `version`, bookmarks included and those together that came together.

        It ends when the server ends it in order. Raises ExpiredError when the version is forgotten, UnavailableError
        when the connection breaks or falls silent, and the ApiError of a refusal.
        """
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        path = self._path(resource) + query + (f"&labelSelector={quote(selector)}" if selector else "")
        headers = {"Accept": JSON}
        url = await self._authorized("GET", path, headers)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(url, headers=headers, timeout=timeout) as answer:
                if answer.status >= 300:
                    raise _error("GET", path, answer.status, await answer.read())
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if lines:
                        yield [json.loads(line) for line in lines]
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            raise UnavailableError(f"GET {path}: the watch broke: {error or 'silence'}") from error

    async def create(self, resource: str, manifest: Raw) -> Raw:
        """Create an object and return it. Raises ConflictError when it exists."""
        return await self.request("POST", self._path(resource), manifest)

    async def replace(self, resource: str, name: str, manifest: Raw) -> Raw:
        """Replace an object of the resourceVersion in the manifest. Raises ConflictError when it is another by now."""
        return await self.request("PUT", self._path(resource, name), manifest)

    async def patch(self, resource: str, name: str, patch: Raw | list[Raw], subresource: str = "") -> Raw:
        """Patch an object, by JSON patch for a list and else by merge patch, and return it."""
        kind = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        return await self.request("PATCH", self._path(resource, name, subresource), patch, kind)

    async def delete(
        self, resource: str, name: str, uid: str, version: int | None = None, grace_seconds: int | None = None
    ) -> Raw:
        """Delete this very object; with a version, only while it is unchanged. Raises ConflictError, NotFoundError."""
        preconditions = {"uid": uid}
        if version is not None:
            preconditions["resourceVersion"] = str(version)
        body: Raw = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        return await self.request("DELETE", self._path(resource, name), body)

    def _path(self, resource: str, name: str = "", subresource: str = "") -> str:
        prefix = PREFIXES.get(resource, f"/apis/{names.API_VERSION}")
        return "/".join(p for p in (prefix, "namespaces", self.namespace, resource, name, subresource) if p)

    async def request(
        self, method: str, path: str, body: Any = None, kind: str = JSON, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Raw:
        """Call the API server and return its JSON. Raises the ApiError of its answer."""
        headers = {"Content-Type": kind, "Accept": JSON}
        url = await self._authorized(method, path, headers)
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        started = time.monotonic()
        try:
            async with self._session.request(method, url, headers=headers, data=data, timeout=timeout) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"{method} {path}: no answer: {error or 'timeout'}") from error
        finally:
            metrics.API_SECONDS.labels(method).observe(time.monotonic() - started)
        if answer.status < 300:
            return dict(json.loads(text))
        raise _error(method, path, answer.status, text)

    async def _authorized(self, method: str, path: str, headers: dict[str, str]) -> URL:
        """Add a token that is valid now to the headers, where one is used; return the URL."""
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        return URL(self._client.configuration.host + path, encoded=True)


def _error(method: str, path: str, status: int, text: bytes) -> ApiError:
    try:
        message = json.loads(text).get("message", "")
    except (ValueError, AttributeError):
        message = text[:500].decode(errors="replace")
    kind = ERRORS.get(status, UnavailableError if status >= 500 else ApiError)
    return kind(f"{method} {path}: {status}: {message}")
