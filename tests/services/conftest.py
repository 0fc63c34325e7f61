"""A real S3 server, and an account of real services over a fake API server and fake heads."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.workshop import Workshop
from firn_services.config import Settings
from pydantic import SecretStr

from tests.postgres import Postgres
from tests.s3 import ACCESS_KEY, SECRET_KEY, serving_s3
from tests.services.account import TestAccount


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real S3 server."""
    with Progress() as progress:
        workshop = Workshop.open(Layout.from_environment(), progress)
        workshop.build_modules(["versitygw"])
    with serving_s3(tmp_path_factory.mktemp("s3"), workshop.program("versitygw")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ed25519PrivateKey, Path]:
    from cryptography.hazmat.primitives import serialization

    key = Ed25519PrivateKey.generate()
    file = tmp_path_factory.mktemp("signing") / "private-key.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return key, file


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: SQLite's, or as `on_both_databases` says."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path / 'firn.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.make(f"firn_{secrets.token_hex(8)}")


@pytest.fixture
def settings(s3_url: str, signing_key: tuple[Ed25519PrivateKey, Path], tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        namespace="test",
        signing_key_file=signing_key[1],
        database_url=SecretStr(database_url),
        object_store_endpoint=s3_url,
        object_store_bucket=tmp_path.name.replace("_", "-").lower(),
        object_store_access_key_id=SecretStr(ACCESS_KEY),
        object_store_secret_access_key=SecretStr(SECRET_KEY),
        admin_password=SecretStr("winter"),
        max_attempts=3,
    )


@pytest.fixture
async def account(settings: Settings, signing_key: tuple[Ed25519PrivateKey, Path]) -> AsyncIterator[TestAccount]:
    """Return running services with one running warehouse W and its head."""
    made = TestAccount(settings, signing_key[0])
    async with made:
        yield made


__all__ = ["TestServer"]
