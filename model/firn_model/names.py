"""Names on the Kubernetes side: group, labels, annotations, finalizer, ports, well-known objects."""

GROUP = "firn.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "firn"

# Labels of node pods: enough to rebuild all state from one list.
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_COMPONENT = "app.kubernetes.io/component"
PART_OF = "firn"
COMPONENT_NODE = "node"

LABEL_POOL = f"{GROUP}/pool"
LABEL_SLOT = f"{GROUP}/slot"
LABEL_STATE = f"{GROUP}/state"
LABEL_TEMPLATE = f"{GROUP}/template"
LABEL_WAREHOUSE = f"{GROUP}/warehouse"
LABEL_CLUSTER = f"{GROUP}/cluster"
LABEL_EPOCH = f"{GROUP}/epoch"
LABEL_ROLE = f"{GROUP}/role"

STATE_WARM = "warm"
STATE_CLAIMED = "claimed"
STATE_PARKED = "parked"  # of a suspended warehouse, with its caches; LABEL_WAREHOUSE says whose

ROLE_HEAD = "head"
ROLE_WORKER = "worker"
ROLE_BURST = "burst"

ANNOTATION_SUSPEND_REQUESTED_AT = f"{GROUP}/suspend-requested-at"
ANNOTATION_RESUME_REQUESTED_AT = f"{GROUP}/resume-requested-at"
ANNOTATION_CLAIMED_AT = f"{GROUP}/claimed-at"
ANNOTATION_PARKED_AT = f"{GROUP}/parked-at"
ANNOTATION_WAREHOUSE_UID = f"{GROUP}/warehouse-uid"  # on a claimed or parked node: it serves this warehouse only
ANNOTATION_HEAD_UID = f"{GROUP}/head-uid"  # on a worker or burst node: pod UID of the head whose Ray it joins
ANNOTATION_LEASED_UNTIL = f"{GROUP}/leased-until"  # on a burst node: it is let go then unless the lease is renewed
ANNOTATION_REQUESTED_AT = f"{GROUP}/requested-at"  # on a WarehouseCluster: when the operator decided to start it
ANNOTATION_RESUMED_AT = f"{GROUP}/resumed-at"  # on a WarehouseCluster: since when its warehouse is started
ANNOTATION_AUTOMATIC = f"{GROUP}/automatic"  # on a WarehouseCluster: "true" when the scaling policy started it
ANNOTATION_RESIZED_AT = f"{GROUP}/resized-at"  # on a WarehouseCluster: when its last resize was decided
ANNOTATION_MONITOR = f"{GROUP}/resource-monitor"  # on a WarehouseCluster: its warehouse's ResourceMonitor at the start
ANNOTATION_BOOT_FAILURES = f"{GROUP}/boot-failures"  # on a node: failed boots in a row before this one

CONDITION_MONITOR_LIMIT = "MonitorLimit"  # on a VirtualWarehouse: its resource monitor has suspended it
CONDITION_BURST = "BurstNodes"  # on a WarehouseCluster: burst nodes speed up its scans
REASON_MONITOR_SUSPEND_IMMEDIATELY = "MonitorSuspendImmediately"  # of that condition: what runs is cancelled too

FINALIZER_CLUSTER = f"{GROUP}/cluster"
FINALIZER_METERING = f"{GROUP}/metering"  # on a cluster: the services take it away when they have its intervals

FIELD_MANAGER_OPERATOR = "firn-operator"
FIELD_MANAGER_SERVICES = "firn-services"

LEASE_OPERATOR = "firn-operator"
LEASE_SERVICES = "firn-services"
SECRET_SIGNING = "firn-signing"  # noqa: S105  the name of a Secret, not its content

AGENT_PORT = 7070
AGENT_PORT_NAME = "agent"
