"""A new image rolls through the pool: statements run on, and a warm node is there at every moment."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from firn_model import names
from firn_model.api import SubmitRequest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse
from tests.e2e.test_scaling import running, started

pytestmark = pytest.mark.e2e

WARM = 2
"""Nodes that the tests' pool keeps warm."""


@pytest.fixture
def next_image(account: Account) -> Iterator[str]:
    """Give the nodes' image a second name on every machine; afterwards the pool has the first one again."""
    image = account.get("wp", "default")["spec"]["image"]
    renamed = f"{image.rpartition(':')[0]}:next"
    machines = account.run(
        "kubectl", "get", "nodes", "-l", "firn.dev/role=pool", "-o", "jsonpath={.items[*].metadata.name}"
    ).split()
    for machine in machines:
        tag = ("ctr", "-n", "k8s.io", "images", "tag", "--force", f"docker.io/{image}", f"docker.io/{renamed}")
        account.run("docker", "exec", machine, *tag)
    yield renamed
    roll(account, image)
    while images_of_warm_nodes(account) != [image] * WARM:
        account.wait_pool(WARM)


def roll(account: Account, image: str) -> None:
    """Change the pool's image, as an upgrade does."""
    account.kubectl(
        "patch", "wp", "default", "--field-manager=helm", "--type=merge", "-p", json.dumps({"spec": {"image": image}})
    )


def image_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"])


async def refilled(account: Account) -> None:
    """Wait until the pool has its nodes, by its pods: its status tells of a claim a little later."""
    while sum(is_ready(pod) for pod in warm_nodes(account)) < WARM:
        await asyncio.sleep(0.1)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return "deletionTimestamp" not in pod["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    )


def warm_nodes(account: Account) -> list[dict[str, Any]]:
    return account.find("pods", f"{names.LABEL_STATE}={names.STATE_WARM}")


def images_of_warm_nodes(account: Account) -> list[str]:
    return [image_of(pod) for pod in warm_nodes(account)]


async def test_a_new_image_rolls_through_the_pool_while_statements_run(account: Account, next_image: str) -> None:
    account.apply(warehouse("long", autoSuspendSeconds=0), warehouse("short", autoSuspendSeconds=0))
    async with account.client() as client, running(client, "long", 2) as statements:
        await started(client, statements[0].id)
        head = account.head("long")
        await refilled(account)
        with account.watching("wp", "default", ".status.ready") as ready:
            roll(account, next_image)
            resumes = 0
            while images_of_warm_nodes(account) != [next_image] * WARM:
                reply = await client.run(SubmitRequest(sql="SELECT 1", warehouse="SHORT"))
                assert reply.error is None
                resumes += 1
                await client.suspend("SHORT")
                await asyncio.to_thread(account.wait_phase, "short", "Suspended")
                await refilled(account)
        assert account.head("long") == head
        assert resumes
    assert ready
    assert "0" not in ready
    async with account.client() as client:
        await client.run(SubmitRequest(sql="SELECT 1", warehouse="SHORT"))
    assert image_of(account.get("pod", account.head("short"))) == next_image
