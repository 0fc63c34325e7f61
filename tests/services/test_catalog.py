"""The catalog over a real S3 server: registering files, pruning, what goes wrong."""

from pathlib import Path

import pyarrow as pa
import pytest
from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.names import Bound, CatalogTable, SchemaName, TableName
from firn_services.catalog.register import register_files
from firn_services.config import Settings
from firn_services.errors import ConflictError, MalformedError, NotFoundError, ServicesError
from firn_services.objects import ObjectStore
from firn_services.store.database import open_database
from pyarrow import parquet

pytestmark = pytest.mark.component
NAME = TableName("SALES", "EU", "ORDERS")


class Account:
    """A catalog and its bucket."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        open_database(settings.database_url.get_secret_value()).dispose()
        self.store = ObjectStore.connect(settings)
        self.store.ensure_bucket()
        self.catalog = IcebergCatalog(settings)
        self.catalog.open(SchemaName("FIRN", "PUBLIC"))

    def put(self, name: str, table: pa.Table) -> str:
        with self.store.open_output(f"data/{name}") as stream:
            parquet.write_table(table, stream)
        return f"s3://{self.store.bucket}/data/{name}"

    def register(self, *files: str, replace: bool = False) -> CatalogTable:
        return register_files(self.catalog, self.store, NAME, files, replace=replace)


@pytest.fixture
def account(settings: Settings) -> Account:
    return Account(settings)


def numbers(first: int, last: int) -> pa.Table:
    return pa.table({"n": list(range(first, last)), "text": [f"t{i:05}" for i in range(first, last)]})


def test_files_become_a_table_without_being_copied(account: Account) -> None:
    files = [account.put("a.parquet", numbers(0, 10)), account.put("b.parquet", numbers(10, 20))]
    table = account.register(*files)
    assert sorted(f.uri for f in table.files) == files
    assert (table.rows, table.schema) == (20, pa.schema([("n", pa.int64()), ("text", pa.string())]))
    again = IcebergCatalog(account.settings)
    again.open(SchemaName("FIRN", "PUBLIC"))
    assert again.load(NAME).files == table.files
    assert again.databases() == ["FIRN", "SALES"]


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ((), ["a", "b", "c"]),
        ((Bound("n", "<", 10),), ["a"]),
        ((Bound("n", ">=", 10), Bound("n", "<=", 25)), ["b", "c"]),
        ((Bound("text", "=", "t00015"),), ["b"]),
        ((Bound("n", ">", 99),), []),
        ((Bound("n", "<", 10.5),), ["a", "b", "c"]),
    ],
)
def test_files_that_cannot_hold_rows_are_left_out(account: Account, bounds: tuple[Bound, ...], kept: list[str]) -> None:
    files = [account.put(f"{name}.parquet", numbers(i * 10, i * 10 + 10)) for i, name in enumerate("abc")]
    table = account.register(*files)
    found = account.catalog.prune(table, bounds)
    assert sorted(Path(f.uri).stem for f in found) == kept


def test_a_table_is_replaced_only_when_asked(account: Account) -> None:
    first, second = account.put("a.parquet", numbers(0, 10)), account.put("b.parquet", numbers(0, 5))
    account.register(first)
    version = account.catalog.version
    with pytest.raises(ConflictError, match="exists already"):
        account.register(second)
    assert account.register(second, replace=True).rows == 5
    assert account.catalog.version > version


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("s3://{bucket}/data/missing.parquet", "object_missing"),
        ("s3://no-such-bucket/a.parquet", "bucket_missing"),
        ("s3://{bucket}/data/corrupt.parquet", "corrupt_file"),
        ("file:///etc/passwd", "malformed"),
    ],
)
def test_each_fault_of_a_file_is_a_distinct_error(account: Account, uri: str, error: str) -> None:
    with account.store.open_output("data/corrupt.parquet") as stream:
        stream.write(b"PAR1 this is not Parquet")
    with pytest.raises(ServicesError) as raised:
        account.register(uri.format(bucket=account.store.bucket))
    assert raised.value.code == error, raised.value.message
    assert account.catalog.tables() == []


def test_wrong_credentials_are_told_apart(account: Account, settings: Settings) -> None:
    file = account.put("a.parquet", numbers(0, 10))
    wrong = ObjectStore.connect(Settings(**{**settings.model_dump(), "object_store_secret_access_key": "wrong"}))
    with pytest.raises(ServicesError) as raised:
        register_files(account.catalog, wrong, NAME, (file,), replace=False)
    assert raised.value.code == "access_denied"


def test_files_of_other_columns_are_refused_and_leave_no_table(account: Account) -> None:
    files = [account.put("a.parquet", numbers(0, 10)), account.put("b.parquet", pa.table({"other": ["x"]}))]
    with pytest.raises(MalformedError, match="cannot become table"):
        account.register(*files)
    assert account.catalog.tables() == []


def test_schemas_and_databases(account: Account) -> None:
    catalog = account.catalog
    with pytest.raises(NotFoundError, match="CREATE DATABASE"):
        catalog.create_schema(SchemaName("NOPE", "S"), if_not_exists=False)
    catalog.create_database("D", if_not_exists=False)
    with pytest.raises(ConflictError):
        catalog.create_database("D", if_not_exists=False)
    catalog.create_database("D", if_not_exists=True)
    catalog.create_schema(SchemaName("D", "S"), if_not_exists=False)
    catalog.create_table(TableName("D", "S", "T"), pa.schema([("a", pa.int64())]), if_not_exists=False, replace=False)
    assert catalog.load(TableName("D", "S", "T")).files == ()
    assert catalog.drop_database("D", if_exists=False)
    assert catalog.tables() == []
    assert not catalog.drop_database("D", if_exists=True)
