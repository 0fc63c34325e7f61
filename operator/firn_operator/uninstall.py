"""`firn-operator uninstall`: nothing is stuck and nothing runs when the chart is gone.

The operator is scaled to nothing first, so that it does not make again what is deleted here. Virtual warehouses stay:
they are the users'. Their clusters and all nodes go, and with them the statements that still run.
"""

import asyncio

import structlog
from firn_model import names

from firn_operator.config import Settings
from firn_operator.errors import ApiError, ConflictError, NotFoundError
from firn_operator.kube.api import CLUSTERS, LEASES, NODE_SELECTOR, PODS, KubeApi

log = structlog.get_logger()

PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.5


async def uninstall(settings: Settings, api: KubeApi) -> None:
    """Stop the operator and delete clusters and nodes. Raises ApiError when that is not allowed."""
    await _scale_down(settings, api)
    await _wait_for_release(api)
    for cluster in (await api.list_all(CLUSTERS))["items"]:
        await _delete_cluster(api, cluster["metadata"]["name"], cluster["metadata"]["uid"])
    for pod in (await api.list_all(PODS, NODE_SELECTOR))["items"]:
        try:
            await api.delete(PODS, pod["metadata"]["name"], pod["metadata"]["uid"])
        except (NotFoundError, ConflictError):
            continue
    log.info("uninstalled", namespace=settings.namespace)


async def _scale_down(settings: Settings, api: KubeApi) -> None:
    path = f"/apis/apps/v1/namespaces/{api.namespace}/deployments/{settings.operator_deployment}/scale"
    try:
        await api.request("PATCH", path, {"spec": {"replicas": 0}}, "application/merge-patch+json")
    except NotFoundError:
        log.info("there is no operator to stop", deployment=settings.operator_deployment)


async def _wait_for_release(api: KubeApi) -> None:
    """Wait until no operator holds the Lease; a dead one's runs out."""
    last, patience = "", PATIENCE_SECONDS
    unchanged = 0.0
    while patience > 0:
        try:
            lease = await api.get(LEASES, names.LEASE_OPERATOR)
        except NotFoundError:
            return
        spec = lease.get("spec") or {}
        version = lease["metadata"]["resourceVersion"]
        unchanged = unchanged + LOOK_EVERY_SECONDS if version == last else 0.0
        if not spec.get("holderIdentity") or unchanged > (spec.get("leaseDurationSeconds") or 0):
            return
        last = version
        patience -= LOOK_EVERY_SECONDS
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    raise ApiError(f"the operator still holds its Lease after {PATIENCE_SECONDS:.0f} s; stop it and try again")


async def _delete_cluster(api: KubeApi, name: str, uid: str) -> None:
    try:
        await api.delete(CLUSTERS, name, uid)
        await api.patch(CLUSTERS, name, {"metadata": {"uid": uid, "finalizers": None}})
    except (NotFoundError, ConflictError):
        log.info("cluster is gone already", cluster=name)
