"""A real API server that knows Firn's resources."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from firn_local.control_plane import ControlPlane
from firn_model import crds, names
from firn_model.kinds import KINDS, Kind
from kubernetes import client, config, watch

Manifest = dict[str, Any]


class Refused(Exception):
    """The API server refused a manifest; the text is what `kubectl apply` would show."""


class Server:
    """Creates and changes Firn's resources in one namespace of a real API server, with strict validation."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._namespace = namespace

    def create(self, kind: Kind, name: str, spec: Manifest | None) -> Manifest:
        """Create an object and return it with its defaults. Raises Refused."""
        body: Manifest = {"apiVersion": names.API_VERSION, "kind": kind.name, "metadata": {"name": name}}
        if spec is not None:
            body["spec"] = spec
        create = self._objects.create_namespaced_custom_object
        return self._call(create, *self._of(kind), body, field_validation="Strict")

    def patch(self, kind: Kind, name: str, spec: Manifest) -> Manifest:
        """Merge into an object's spec. Raises Refused."""
        return self._call(self._objects.patch_namespaced_custom_object, *self._of(kind), name, {"spec": spec})

    def patch_status(self, kind: Kind, name: str, status: Manifest) -> Manifest:
        """Merge into an object's status. Raises Refused."""
        patch = self._objects.patch_namespaced_custom_object_status
        return self._call(patch, *self._of(kind), name, {"status": status})

    def apply_status(self, kind: Kind, name: str, status: Manifest, manager: str) -> Manifest:
        """Apply a status on the server as a field manager. Raises Refused."""
        body = {"apiVersion": names.API_VERSION, "kind": kind.name, "metadata": {"name": name}, "status": status}
        apply = self._objects.patch_namespaced_custom_object_status
        kept = {"field_manager": manager, "force": True, "_content_type": "application/apply-patch+yaml"}
        return self._call(apply, *self._of(kind), name, body, **kept)

    def _of(self, kind: Kind) -> tuple[str, str, str, str]:
        return names.GROUP, names.VERSION, self._namespace, kind.plural

    def _call(self, method: Callable[..., Manifest], *arguments: Any, **options: Any) -> Manifest:
        try:
            return method(*arguments, **options)
        except client.ApiException as error:
            raise Refused(error.body) from error


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[client.ApiClient]:
    """Return a client of an API server that has Firn's CRDs."""
    with config.new_client_from_config(str(control_plane.kubeconfig)) as connected:
        definitions = client.ApiextensionsV1Api(connected)
        there = {item.metadata.name for item in definitions.list_custom_resource_definition().items}
        for kind in KINDS:
            body = crds.definition(kind)
            if body["metadata"]["name"] not in there:
                definitions.create_custom_resource_definition(body)
            _wait_established(definitions, body["metadata"]["name"])
        yield connected


def _wait_established(definitions: client.ApiextensionsV1Api, name: str) -> None:
    events = watch.Watch().stream(
        definitions.list_custom_resource_definition, field_selector=f"metadata.name={name}", timeout_seconds=30
    )
    for event in events:
        conditions = event["object"].status.conditions or ()
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            return
    pytest.fail(f"{name} was not established within 30 s")


@pytest.fixture
def server(api: client.ApiClient) -> Iterator[Server]:
    """Return a fresh namespace."""
    core = client.CoreV1Api(api)
    namespace = core.create_namespace({"metadata": {"generateName": "model-"}}).metadata.name
    yield Server(api, namespace)
    core.delete_namespace(namespace)
