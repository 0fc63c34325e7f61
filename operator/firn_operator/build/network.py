"""The network policy of one warehouse: its nodes reach each other, and no other warehouse's do.

The chart's policy closes all nodes to each other. Policies add up, so this one opens what a cluster of many nodes
needs: Ray and the exchange choose their own ports, so between the nodes of one warehouse every port is open.
"""

from firn_model import names

from firn_operator.build.pod import Manifest, owner


def warehouse_policy(warehouse: str, warehouse_uid: str) -> Manifest:
    """Return the policy of a warehouse; it goes with the warehouse.

    Its name is of this very warehouse: that of an earlier one of the same name may be there still, about to go.
    """
    nodes = {
        "matchLabels": {
            names.LABEL_PART_OF: names.PART_OF,
            names.LABEL_COMPONENT: names.COMPONENT_NODE,
            names.LABEL_WAREHOUSE: warehouse,
        }
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"firn-warehouse-{warehouse}-{warehouse_uid[:8]}",
            "labels": {names.LABEL_PART_OF: names.PART_OF},
            "ownerReferences": [owner("VirtualWarehouse", warehouse, warehouse_uid)],
        },
        "spec": {
            "podSelector": nodes,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": nodes}]}],
            "egress": [{"to": [{"podSelector": nodes}]}],
        },
    }
