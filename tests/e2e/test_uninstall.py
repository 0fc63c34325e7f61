"""Two accounts side by side, and one of them goes without a trace."""

from collections.abc import Iterator

import pytest
from firn_local.demo import Site
from firn_local.demo import install as install_chart
from firn_local.workshop import Workshop
from firn_model.api import SubmitRequest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e


@pytest.fixture
def second(workshop: Workshop, site: Site, images: dict[str, str], account: Account) -> Iterator[Account]:
    """A second account on the same cluster, reached by a port-forward of its own."""
    install_chart(
        workshop,
        site.cluster,
        images,
        namespace="second",
        values={
            "services.service.type": "ClusterIP",
            "services.service.nodePort": "null",
            "objectStore.builtin.service.type": "ClusterIP",
            "objectStore.builtin.service.nodePort": "null",
            "defaultPool.warm.min": "1",
        },
    )
    yield account.in_namespace("second", "")
    account.run("kubectl", "delete", "namespace", "second", "--wait=false", "--ignore-not-found")


def test_an_uninstall_leaves_no_stuck_object(second: Account, account: Account) -> None:
    second.apply(warehouse("leaving", autoSuspendSeconds=0))
    assert "1" in second.firn("sql", "-w", "LEAVING", "-o", "csv", "-q", "SELECT 1")
    assert "LEAVING" not in account.firn("warehouse", "list")

    second.run("helm", "uninstall", "firn", "-n", "second", "--wait", "--timeout", "120s", seconds=180)
    assert second.find("wc") == []
    assert second.find("pods", "app.kubernetes.io/component=node") == []
    second.kubectl("delete", "vw", "--all", "--timeout=30s")
    second.run("kubectl", "delete", "namespace", "second", "--timeout=90s")


async def test_the_other_account_did_not_notice(account: Account) -> None:
    account.apply(warehouse("unmoved"))
    async with account.client() as client:
        reply = await client.run(SubmitRequest(sql="SELECT 7", warehouse="UNMOVED"))
    assert reply.result is not None
    assert reply.result.rows == [[7]]
