"""Why the operator acts or waits: the reason of an Event and of a condition, and the label of a metric."""

from enum import StrEnum

from firn_model import names


class Reason(StrEnum):
    """One enum for all decisions (design.md, section 3)."""

    # warehouses
    HELD = "Held"
    SUSPENDED = "Suspended"
    STATEMENT_QUEUED = "StatementQueued"
    RESUME_REQUESTED = "ResumeRequested"
    RESUMING = "Resuming"
    RUNNING = "Running"
    IDLE = "Idle"
    SUSPEND_REQUESTED = "SuspendRequested"
    LOAD_UNKNOWN = "LoadUnknown"
    TOO_MANY_CLUSTERS = "TooManyClusters"
    MINIMUM = "MinimumClusters"
    MAXIMUM = "MaximumClusters"
    PACED = "Paced"
    SHORT_BURST = "ShortBurst"
    LOAD_FITS = "LoadFits"
    SIZE_CHANGED = "SizeChanged"
    NODES_CHANGED = "NodesChanged"

    # clusters
    WARM_NODE = "WarmNode"
    NO_WARM_NODE = "NoWarmNode"
    POOL_MISSING = "PoolMissing"
    BINDING = "Binding"
    BIND_FAILED = "BindFailed"
    HEAD_READY = "HeadReady"
    HEAD_LOST = "HeadLost"
    HEAD_SILENT = "HeadSilent"
    DRAINING = "Draining"
    DRAINED = "Drained"
    NODES_JOINING = "NodesJoining"
    NOT_JOINED = "NotJoined"
    RESIZED = "Resized"
    WRONG_MEMORY_CLASS = "WrongMemoryClass"
    EXTRA_NODE = "ExtraNode"
    RELEASED = "Released"
    WAREHOUSE_GONE = "WarehouseGone"

    # burst nodes
    BURST_LEASED = "BurstLeased"
    BURST_NOT_WANTED = "BurstNotWanted"
    LEASE_ENDED = "LeaseEnded"
    SCALE_FACTOR = "ScaleFactor"
    BURST_SHARE = "BurstShare"

    # resource monitors
    WITHIN_QUOTA = "WithinQuota"
    NOT_STARTED = "NotStarted"
    MONITOR_MISSING = "MonitorMissing"
    MONITOR_NOTIFY = "MonitorNotify"
    MONITOR_SUSPEND = "MonitorSuspend"
    MONITOR_SUSPEND_IMMEDIATELY = names.REASON_MONITOR_SUSPEND_IMMEDIATELY

    # pools
    REFILL = "Refill"
    ON_DEMAND = "OnDemand"
    TARGET_MET = "TargetMet"
    REFILL_PAUSED = "RefillPaused"
    BOOTING = "Booting"
    BOOT_FAILED = "BootFailed"
    BOOT_TIMEOUT = "BootTimeout"
    BACK_OFF = "BackOff"
    IMAGE_NOT_PULLED = "ImageNotPulled"
    UNSCHEDULABLE = "Unschedulable"
    CREATE_REFUSED = "CreateRefused"
    NODE_FAILED = "NodeFailed"
    TOO_MANY_PARKED = "TooManyParked"
    ROOM_NEEDED = "RoomNeeded"
    KEPT_LONG_ENOUGH = "KeptLongEnough"
    PARKED = "Parked"
    OUTDATED = "Outdated"
    SURPLUS = "Surplus"
    SURGE = "Surge"
    EMPTY = "Empty"
    NOT_KEPT = "NotKept"
    ORPHANED = "Orphaned"
