"""A kind cluster of the tests' own, with Firn installed by Helm and a little TPC-H. FIRN_KEEP=1 leaves it up."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from firn_local.cluster import Cluster
from firn_local.demo import BUCKET, NAMESPACE, Site, install
from firn_local.image_loading import load_images
from firn_local.images import FirnImages
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.tpch import Tpch
from firn_local.workshop import Workshop

from tests.e2e.account import Account
from tests.e2e.store import ObjectStore

CLUSTER = "firn-test"
SCALE = "0.01"


@pytest.fixture(scope="package")
def workshop() -> Iterator[Workshop]:
    with Progress() as progress:
        yield Workshop.open(Layout.from_environment(), progress)


@pytest.fixture(scope="package")
def cluster(workshop: Workshop) -> Iterator[Cluster]:
    yield workshop.up(CLUSTER)
    if os.environ.get("FIRN_KEEP") != "1":
        workshop.down(CLUSTER)


@pytest.fixture(scope="package")
def images(workshop: Workshop, cluster: Cluster) -> dict[str, str]:
    """The tags of Firn's images, built from this checkout and loaded."""
    tags = dict(FirnImages(workshop).build(cluster.docker))
    load_images(cluster, tags, workshop.progress)
    return tags


@pytest.fixture(scope="package")
def site(workshop: Workshop, cluster: Cluster, images: dict[str, str]) -> Site:
    return install(workshop, cluster, images)


@pytest.fixture(scope="package")
def tpch(workshop: Workshop) -> Tpch:
    return Tpch(workshop.cache, SCALE)


@pytest.fixture(scope="package")
def account(site: Site, tpch: Tpch) -> Account:
    """The account that most tests share, with TPC-H in tpch.sf0_01."""
    made = Account(NAMESPACE, site.url, {**site.environment, **site.cluster.docker.environment})
    uris = tpch.upload(site.object_store(), BUCKET, print)

    async def register() -> None:
        async with made.client() as client:
            await tpch.register(client, uris, print)

    asyncio.run(register())
    return made


@pytest.fixture(autouse=True)
def leave_no_warehouse(account: Account) -> Iterator[None]:
    """Delete what a test applied, so that no test's warehouses take the nodes and cores of the next."""
    yield
    account.kubectl("delete", "vw", "--all", "--wait=false")


@pytest.fixture(scope="package")
def store(site: Site, account: Account, tpch: Tpch) -> ObjectStore:
    (region,) = tpch.files("region")
    return ObjectStore(site.object_store().client(), f"s3://{BUCKET}/tpch/sf{SCALE}/region/{region.name}")
