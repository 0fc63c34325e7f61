"""What /metrics shows. Labels are reasons, steps, pools and results: never a statement, a user or a warehouse."""

from prometheus_client import Counter, Gauge, Histogram

FINE_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

RESUME_STEP = Histogram(
    "firn_resume_step_seconds", "How long each step of a cluster's start took.", ["step"], buckets=FINE_SECONDS
)
ACTIONS = Counter("firn_actions_total", "Actions that decisions asked for.", ["controller", "action", "reason"])
CLAIMS = Counter("firn_claims_total", "Claims, by whether a warm node was waiting.", ["pool", "result"])
MISSES = Counter("firn_claim_misses_total", "Claims that waited for a node, by why none was warm.", ["pool", "reason"])
CLAIM_CONFLICTS = Counter("firn_claim_conflicts_total", "Claims whose guard did not hold.")
RECONCILE_FAILURES = Counter("firn_reconcile_failures_total", "Reconciliations that failed.", ["controller", "error"])
MISSED_CHANGES = Counter("firn_watch_missed_changes_total", "Changes that a list brought before the watch.", ["kind"])
WATCH_EVENTS = Counter("firn_watch_events_total", "Events that watches brought.", ["kind"])
POOL_TARGET = Gauge("firn_pool_target_nodes", "Warm nodes wanted.", ["pool"])
POOL_NODES = Gauge("firn_pool_nodes", "Nodes of a pool, by state.", ["pool", "state"])
API_SECONDS = Histogram("firn_api_request_seconds", "Calls to the API server.", ["method"], buckets=FINE_SECONDS)
LEADING = Gauge("firn_operator_leading", "1 while this process holds the Lease.")
