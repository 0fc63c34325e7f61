"""What a node tells Prometheus; base units, prefix firn_node_, no label per statement."""

from firn_model.messages import Failure, Finish, RefusalReason
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class NodeMetrics:
    """The node's own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.ready = Gauge("firn_node_ready", "1 when the engine answers queries.", registry=registry)
        self.held = Gauge("firn_node_held_statements", "Statements that the node holds.", registry=registry)
        self.hot_columns = Gauge(
            "firn_node_hot_columns", "1 when hot columns are kept decoded in memory.", registry=registry
        )
        self._statements = Counter(
            "firn_node_statements", "Statements that ended, by how.", ["outcome"], registry=registry
        )
        self._refusals = Counter(
            "firn_node_refusals", "Messages that were refused, by why.", ["reason"], registry=registry
        )
        self._seconds = Histogram(
            "firn_node_statement_seconds", "From dispatch to end.", buckets=_SECONDS, registry=registry
        )
        self._scanned = Counter("firn_node_scanned_bytes", "Bytes read of persistent files.", registry=registry)
        self._produced = Counter("firn_node_produced_bytes", "Bytes of results.", registry=registry)
        self._cpu = Counter("firn_node_statement_cpu_seconds", "CPU time that statements took.", registry=registry)
        self.engine_deaths = Counter("firn_node_engine_deaths", "Engines that died.", registry=registry)
        self.boot_seconds = Gauge(
            "firn_node_boot_seconds", "From process start to each step.", ["step"], registry=registry
        )

    def ended(self, outcome: Finish | Failure, seconds: float) -> None:
        """Count a statement that ended."""
        self._statements.labels("succeeded" if isinstance(outcome, Finish) else outcome.error.value).inc()
        self._seconds.observe(seconds)
        self._scanned.inc(outcome.statistics.bytes_scanned)
        self._produced.inc(outcome.statistics.bytes_produced)
        self._cpu.inc(outcome.statistics.cpu_seconds)

    def hung_up(self) -> None:
        """Count a statement whose client went away."""
        self._statements.labels("disconnected").inc()

    def refused(self, reason: RefusalReason) -> None:
        """Count a refused message."""
        self._refusals.labels(reason.value).inc()

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)
