"""The WarehouseCluster of a warehouse, and the patch that claims a node for it."""

from datetime import datetime
from typing import Any

from firn_model import names
from firn_model.sizes import WarehouseSize

from firn_operator.build.pod import Manifest, owner
from firn_operator.decide.observed import Cluster, Node, Pool, Warehouse


def stamp(moment: datetime) -> str:
    """Return a time as RFC 3339 with microseconds, as annotations and metav1.MicroTime have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def cluster_manifest(
    warehouse: Warehouse, index: int, automatic: bool, requested_at: datetime, resumed_at: datetime
) -> Manifest:
    """Return the manifest of the warehouse's cluster with this index; `resumed_at` is since when it is started."""
    notes = {names.ANNOTATION_REQUESTED_AT: stamp(requested_at), names.ANNOTATION_RESUMED_AT: stamp(resumed_at)}
    if automatic:
        notes[names.ANNOTATION_AUTOMATIC] = "true"
    if warehouse.spec.resource_monitor:
        notes[names.ANNOTATION_MONITOR] = warehouse.spec.resource_monitor
    return {
        "apiVersion": names.API_VERSION,
        "kind": "WarehouseCluster",
        "metadata": {
            "name": f"{warehouse.name}-{index}",
            "labels": {names.LABEL_PART_OF: names.PART_OF},
            "annotations": notes,
            "ownerReferences": [owner("VirtualWarehouse", warehouse.name, warehouse.uid)],
            "finalizers": [names.FINALIZER_CLUSTER, names.FINALIZER_METERING],
        },
        "spec": {
            "warehouse": warehouse.name,
            "index": index,
            "size": warehouse.spec.size.value,
            "type": warehouse.spec.type.value,
            "pool": warehouse.spec.pool,
        },
    }


def resize_patch(uid: str, size: WarehouseSize, decided_at: datetime) -> Manifest:
    """Return the merge patch that gives this very cluster another size."""
    return {
        "metadata": {"uid": uid, "annotations": {names.ANNOTATION_RESIZED_AT: stamp(decided_at)}},
        "spec": {"size": size.value},
    }


def claim_patch(
    node: Node,
    cluster: Cluster,
    role: str,
    head_uid: str | None,
    claimed_at: datetime,
    leased_until: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the guarded JSON patch that makes a warm or parked node a member; `head_uid` is None for the head.

    A parked node is taken only by its own warehouse. A burst node is claimed on a lease. Who owns which of the pod's
    fields is forgotten: nobody applies to it, and keeping that record doubles what every later patch costs the server.
    """
    labels = {
        names.LABEL_STATE: names.STATE_CLAIMED,
        names.LABEL_WAREHOUSE: cluster.spec.warehouse,
        names.LABEL_CLUSTER: cluster.name,
        names.LABEL_EPOCH: cluster.uid,
        names.LABEL_ROLE: role,
    }
    notes = {names.ANNOTATION_CLAIMED_AT: stamp(claimed_at)}
    if cluster.warehouse_uid:
        notes[names.ANNOTATION_WAREHOUSE_UID] = cluster.warehouse_uid
    if head_uid:
        notes[names.ANNOTATION_HEAD_UID] = head_uid
    if leased_until:
        notes[names.ANNOTATION_LEASED_UNTIL] = stamp(leased_until)
    owners = [owner("WarehouseCluster", cluster.name, cluster.uid)]
    return [
        {"op": "test", "path": "/metadata/uid", "value": node.uid},
        {"op": "test", "path": _label(names.LABEL_STATE), "value": node.state},
        *(_only_of(cluster.warehouse_uid) if node.is_parked else ()),
        *({"op": "add", "path": _label(name), "value": value} for name, value in labels.items()),
        *({"op": "add", "path": _note(name), "value": value} for name, value in notes.items()),
        {"op": "replace", "path": "/metadata/ownerReferences", "value": owners},
        {"op": "add", "path": "/metadata/managedFields", "value": [{}]},
    ]


def lease_patch(node: Node, epoch: str, leased_until: datetime) -> list[dict[str, Any]]:
    """Return the guarded JSON patch that moves the end of a burst node's lease."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": node.uid},
        {"op": "test", "path": _label(names.LABEL_EPOCH), "value": epoch},
        {"op": "add", "path": _note(names.ANNOTATION_LEASED_UNTIL), "value": stamp(leased_until)},
    ]


def park_patch(node: Node, cluster: Cluster, pool: Pool, parked_at: datetime) -> list[dict[str, Any]]:
    """Return the guarded JSON patch that parks a drained cluster's node; it belongs to its pool again."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": node.uid},
        {"op": "test", "path": _label(names.LABEL_STATE), "value": names.STATE_CLAIMED},
        {"op": "test", "path": _label(names.LABEL_EPOCH), "value": cluster.uid},
        *_only_of(cluster.warehouse_uid),
        {"op": "replace", "path": _label(names.LABEL_STATE), "value": names.STATE_PARKED},
        {"op": "remove", "path": _label(names.LABEL_CLUSTER)},
        {"op": "remove", "path": _label(names.LABEL_EPOCH)},
        {"op": "add", "path": _note(names.ANNOTATION_PARKED_AT), "value": stamp(parked_at)},
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner("WarehousePool", pool.name, pool.uid)]},
    ]


def _only_of(warehouse_uid: str | None) -> list[dict[str, Any]]:
    return [{"op": "test", "path": _note(names.ANNOTATION_WAREHOUSE_UID), "value": warehouse_uid}]


def _label(name: str) -> str:
    return "/metadata/labels/" + name.replace("~", "~0").replace("/", "~1")


def _note(name: str) -> str:
    return "/metadata/annotations/" + name.replace("~", "~0").replace("/", "~1")
