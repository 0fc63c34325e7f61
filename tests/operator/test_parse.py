"""What is read from raw objects."""

from datetime import UTC, datetime
from typing import Any

import pytest
from firn_operator.observe import parse

POD: dict[str, Any] = {
    "metadata": {"name": "default-1", "uid": "u1", "creationTimestamp": "2026-01-02T03:00:00Z"},
    "status": {"phase": "Pending"},
}


@pytest.mark.parametrize(
    ("condition", "since"),
    [
        pytest.param({"status": "True"}, datetime(2026, 1, 2, 3, 30, tzinfo=UTC), id="scheduled"),
        pytest.param(
            {"status": "False", "reason": "Unschedulable"},
            datetime(2026, 1, 2, 3, tzinfo=UTC),
            id="no machine has room",
        ),
    ],
)
def test_a_pod_boots_from_when_it_was_scheduled(condition: dict[str, str], since: datetime) -> None:
    scheduled = {"type": "PodScheduled", "lastTransitionTime": "2026-01-02T03:30:00Z", **condition}
    pod = POD | {"status": {"phase": "Pending", "conditions": [scheduled]}}
    assert parse.node(pod).boots_since == since
