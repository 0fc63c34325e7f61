"""The services' metrics: base units, prefix firn_, no label per statement or user."""

from prometheus_client import Counter, Gauge, Histogram

STATEMENTS = Counter("firn_statements", "Statements that ended, by their final state.", ["state"])
REQUEUED = Counter("firn_statements_requeued", "Attempts lost to a head and put back into the queue.")
QUEUED_SECONDS = Histogram(
    "firn_statement_queued_seconds",
    "From submit to dispatch.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1, 3, 10, 60, 600),
)
COMPILE_SECONDS = Histogram(
    "firn_compile_seconds",
    "Compilation of a statement.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2),
)
QUEUE_LENGTH = Gauge("firn_statements_queued", "Statements that wait in the account.")
RUNNING = Gauge("firn_statements_running", "Statements that run in the account.")
LOGINS = Counter("firn_logins", "Logins, by whether they succeeded.", ["outcome"])
