"""Claiming: one guarded write; a conflict is resolved on that very pod, never by taking another in the dark."""

from datetime import datetime, timedelta

from firn_model import names

from firn_operator import metrics
from firn_operator.build.cluster import claim_patch
from firn_operator.decide.observed import Cluster, Node
from firn_operator.errors import ConflictError, InvalidError, NotFoundError
from firn_operator.kube.api import PODS, KubeApi
from firn_operator.observe.account import Account


async def claim(
    api: KubeApi,
    account: Account,
    cluster: Cluster,
    node: Node,
    role: str,
    now: datetime,
    lease: timedelta | None = None,
) -> Node | None:
    """Claim `node` for the cluster, a burst node on a lease; return it as it is now, or None when it is not ours.

    Whatever came of it, the account knows the pod's true state afterwards, so the next decision is taken on that.
    Raises UnavailableError when the outcome is unknown: then the pod stays reserved until it is read again.
    """
    head_uid = None if role == names.ROLE_HEAD else cluster.status.head_uid
    patch = claim_patch(node, cluster, role, head_uid, now, now + lease if lease else None)
    try:
        raw = await api.patch(PODS, node.name, patch)
    except (InvalidError, ConflictError):
        metrics.CLAIM_CONFLICTS.inc()
        return await look_again(api, account, cluster, node)
    except NotFoundError:
        account.forget_node(node)
        return None
    return account.learn_node(raw)


async def look_again(api: KubeApi, account: Account, cluster: Cluster, node: Node) -> Node | None:
    """Read the pod and return it if it is the cluster's after all."""
    try:
        raw = await api.get(PODS, node.name)
    except NotFoundError:
        account.forget_node(node)
        return None
    now_is = account.learn_node(raw)
    return now_is if now_is.uid == node.uid and now_is.epoch == cluster.uid else None
