"""Network policies of warehouses: made before a second node comes, once for each warehouse."""

import structlog
from firn_model.sizes import node_count

from firn_operator.build.network import warehouse_policy
from firn_operator.decide.observed import Warehouse
from firn_operator.errors import ApiError, ConflictError
from firn_operator.kube.api import NETWORK_POLICIES, KubeApi

log = structlog.get_logger()


class NetworkPolicies:
    """Opens the nodes of a warehouse to each other, where the account's nodes are closed."""

    def __init__(self, api: KubeApi, enabled: bool) -> None:
        self._api = api
        self._enabled = enabled
        self._made: set[str] = set()

    async def ensure(self, warehouse: Warehouse) -> None:
        """Make the policy of a warehouse of many nodes; what fails is tried again with its next cluster."""
        spec = warehouse.spec
        lonely = node_count(spec.size, spec.type) == 1 and not spec.query_acceleration.enabled
        if not self._enabled or lonely or warehouse.uid in self._made:
            return
        try:
            await self._api.create(NETWORK_POLICIES, warehouse_policy(warehouse.name, warehouse.uid))
        except ConflictError:
            log.info("network policy exists", warehouse=warehouse.name)
        except ApiError as error:
            log.warning("network policy refused", warehouse=warehouse.name, error=str(error))
            return
        self._made.add(warehouse.uid)
