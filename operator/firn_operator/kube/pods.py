"""Deleting pods, and asking the API server whether what they were claimed for is there after all."""

from firn_operator.decide.observed import Node
from firn_operator.errors import ConflictError, NotFoundError
from firn_operator.kube.api import CLUSTERS, PODS, WAREHOUSES, KubeApi, Raw
from firn_operator.observe.account import Account


async def existing_pod(api: KubeApi, name: str) -> Raw | None:
    """Return the pod of this name, if there is one."""
    try:
        return await api.get(PODS, name)
    except NotFoundError:
        return None


async def delete_pod(api: KubeApi, account: Account, node: Node, unchanged: bool) -> None:
    """Delete this very pod; with `unchanged`, only as it was observed. The account knows afterwards what is there."""
    try:
        raw = await api.delete(PODS, node.name, node.uid, node.version if unchanged else None)
    except NotFoundError:
        account.forget_node(node)
        return
    except ConflictError:
        current = await existing_pod(api, node.name)
        if current:
            account.learn_node(current)
        else:
            account.forget_node(node)
        return
    if raw.get("kind") == "Pod" and "deletionTimestamp" in raw["metadata"]:
        account.learn_node(raw)
    else:
        account.forget_node(node)


async def epoch_exists(api: KubeApi, account: Account, node: Node) -> bool:
    """Return whether the cluster that a node was claimed for exists after all. Raises ApiError."""
    if not node.cluster:
        return False
    try:
        cluster = account.learn_cluster(await api.get(CLUSTERS, node.cluster))
    except NotFoundError:
        return False
    return cluster.uid == node.epoch


async def warehouse_exists(api: KubeApi, account: Account, node: Node) -> bool:
    """Return whether the warehouse that a node is parked for exists after all. Raises ApiError."""
    if not node.warehouse:
        return False
    try:
        warehouse = account.learn_warehouse(await api.get(WAREHOUSES, node.warehouse))
    except NotFoundError:
        return False
    return warehouse.uid == node.warehouse_uid
