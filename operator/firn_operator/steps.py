"""When each step of a cluster's start happened, for the status, the metrics and the bench."""

from datetime import datetime

from firn_operator import metrics


class Steps:
    """The steps of the starts under way, by cluster name."""

    def __init__(self) -> None:
        self._by_cluster: dict[str, dict[str, datetime]] = {}

    def begin(self, cluster: str, step: str, at: datetime) -> None:
        """Begin a start anew."""
        self._by_cluster[cluster] = {step: at}

    def mark(self, cluster: str, step: str, at: datetime) -> None:
        """Note the end of a step."""
        steps = self._by_cluster.setdefault(cluster, {})
        if steps:
            metrics.RESUME_STEP.labels(step).observe((at - max(steps.values())).total_seconds())
        steps[step] = at

    def take(self, cluster: str) -> dict[str, datetime]:
        """Return a start's steps and forget them."""
        return self._by_cluster.pop(cluster, {})
