"""Real services, a real node and a real S3 server: what a statement that writes passes through."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_services.config import Settings
from pydantic import SecretStr

from tests.runtime.conftest import running_node
from tests.s3 import ACCESS_KEY, SECRET_KEY
from tests.services.account import TestAccount
from tests.services.conftest import database_url, s3_url, signing_key

__all__ = ["database_url", "s3_url", "signing_key"]


@pytest.fixture(scope="session")
def settings(s3_url: str, signing_key: tuple[Ed25519PrivateKey, Path], tmp_path_factory: Any) -> Settings:
    return Settings(
        namespace="test",
        signing_key_file=signing_key[1],
        database_url=SecretStr(f"sqlite:///{tmp_path_factory.mktemp('store') / 'firn.db'}"),
        object_store_endpoint=s3_url,
        object_store_bucket=f"writes-{secrets.token_hex(4)}",
        object_store_access_key_id=SecretStr(ACCESS_KEY),
        object_store_secret_access_key=SecretStr(SECRET_KEY),
        admin_password=SecretStr("winter"),
        node_cpu=2,
        snapshot_hours=0,
    )


class Sql:
    """Runs statements in a schema of its own."""

    def __init__(self, account: TestAccount, schema: str) -> None:
        self.account = account
        self.schema = schema

    async def __call__(self, text: str, error: str | None = None, **more: Any) -> Any:
        """Return the rows of a statement, or its message when it fails as it should."""
        reply = await self.account.submit(text, schema_name=self.schema, **more)
        if error is not None:
            assert reply["error"] == error, reply.get("detail")
            return reply["detail"]["message"]
        assert reply["state"] == "succeeded", reply["detail"]
        return [tuple(row) for row in reply["result"]["rows"]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def warehouse(settings: Settings, signing_key: tuple[Ed25519PrivateKey, Path]) -> AsyncIterator[TestAccount]:
    """Run an account whose warehouse W has a real node."""
    async with (
        running_node(settings.object_store_endpoint, signing_key[0]) as node,
        TestAccount(settings, signing_key[0]) as account,
    ):
        await account.warehouse()
        await account.real_cluster(node)
        yield account


@pytest_asyncio.fixture(loop_scope="session")
async def sql(warehouse: TestAccount, request: pytest.FixtureRequest) -> Sql:
    schema = f"S{secrets.token_hex(4)}".upper()
    await warehouse.submit(f"CREATE SCHEMA {schema}")
    return Sql(warehouse, schema)
