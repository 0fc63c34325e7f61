"""Calls to the API server, as plain JSON.

What the services' Role must allow, all in its own namespace:

| group | resources | verbs |
|---|---|---|
| firn.dev | virtualwarehouses | get, list, watch, create, patch, delete |
| firn.dev | virtualwarehouses/status | patch |
| firn.dev | warehouseclusters | get, list, watch, patch (their finalizer) |
| coordination.k8s.io | leases | create; get, update, patch of `firn-services` |
"""

import json
import os
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
from firn_model import names
from kubernetes.aio import client, config

Raw = dict[str, Any]
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TIMEOUT_SECONDS = 10.0
WATCH_SECONDS = 290
SILENCE_SECONDS = 100
"""Bookmarks arrive about once a minute: a watch that is silent for longer is broken."""

WAREHOUSES = "virtualwarehouses"
CLUSTERS = "warehouseclusters"
LEASES = "leases"
_PREFIXES = {LEASES: "/apis/coordination.k8s.io/v1"}


class KubeError(Exception):
    """The API server did not do what was asked; `status` is HTTP's, 0 without an answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class KubeApi:
    """One namespace of one API server."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._client = api_client

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
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: str, name: str) -> Raw:
        """Return one object. Raises KubeError."""
        return await self._call("GET", self._path(resource, name))

    async def list_all(self, resource: str) -> Raw:
        """Return a consistent list of a resource. Raises KubeError."""
        return await self._call("GET", self._path(resource))

    async def create(self, resource: str, manifest: Raw) -> Raw:
        """Create an object and return it. Raises KubeError, 409 when it exists."""
        return await self._call("POST", self._path(resource), manifest)

    async def replace(self, resource: str, name: str, manifest: Raw) -> Raw:
        """Replace an object of the resourceVersion in the manifest. Raises KubeError, 409 when it has moved on."""
        return await self._call("PUT", self._path(resource, name), manifest)

    async def merge(self, resource: str, name: str, patch: Raw) -> Raw:
        """Merge a patch into an object and return it. Raises KubeError."""
        return await self._call("PATCH", self._path(resource, name), patch, MERGE_PATCH)

    async def delete(self, resource: str, name: str, uid: str) -> None:
        """Delete this very object. Raises KubeError."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._call("DELETE", self._path(resource, name), body)

    async def apply_status(self, resource: str, name: str, manifest: Raw) -> Raw:
        """Apply the fields of status that the services own, under their field manager. Raises KubeError."""
        query = f"?fieldManager={names.FIELD_MANAGER_SERVICES}&force=true"
        return await self._call("PATCH", self._path(resource, name, "status") + query, manifest, APPLY_PATCH)

    async def watch(self, resource: str, version: str) -> AsyncGenerator[Raw]:
        """Yield watch events from a resourceVersion on, bookmarks too, until the server ends it. Raises KubeError."""
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=SILENCE_SECONDS)
        path = self._path(resource) + query
        try:
            answer = await self._send("GET", path, None, JSON, timeout)
            if answer.status >= 300:
                raise _error("GET", path, answer.status, await answer.read())
            async with answer.response as response:
                async for line in response.content:
                    yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise KubeError(0, f"watch of {resource} broke: {error or 'silence'}") from error

    def _path(self, resource: str, name: str = "", subresource: str = "") -> str:
        prefix = _PREFIXES.get(resource, f"/apis/{names.API_VERSION}")
        return "/".join(p for p in (prefix, "namespaces", self.namespace, resource, name, subresource) if p)

    async def _call(self, method: str, path: str, body: Raw | None = None, kind: str = JSON) -> Raw:
        try:
            answer = await self._send(method, path, body, kind, aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
            text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise KubeError(0, f"{method} {path}: no answer: {error or 'timeout'}") from error
        if answer.status >= 300:
            raise _error(method, path, answer.status, text)
        return dict(json.loads(text))

    async def _send(self, method: str, path: str, body: Raw | None, kind: str, timeout: aiohttp.ClientTimeout) -> Any:
        headers = {"Content-Type": kind, "Accept": JSON}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._client.configuration.host + path
        return await self._client.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=timeout
        )


def _error(method: str, path: str, status: int, text: bytes) -> KubeError:
    try:
        message = str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        message = text[:500].decode(errors="replace")
    return KubeError(status, message or f"{method} {path}: {status}")
