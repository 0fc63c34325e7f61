"""Registering existing Parquet files as a table."""

import pyarrow as pa
from pyarrow import parquet

from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.names import CatalogTable, TableName
from firn_services.catalog.schemas import plain_type
from firn_services.errors import MalformedError
from firn_services.objects import ObjectStore, translated

SCHEME = "s3://"


def register_files(
    catalog: IcebergCatalog, store: ObjectStore, name: TableName, files: tuple[str, ...], *, replace: bool
) -> CatalogTable:
    """Make Parquet files a table; its columns are the first file's. Blocks. Raises ServicesError."""
    for uri in files:
        if not uri.startswith(SCHEME) or uri.count("/") < 3:
            raise MalformedError(f"{uri!r} is not a file; write s3://bucket/key")
    path = files[0].removeprefix(SCHEME)
    translated(files[0], lambda: store.check_object(path))
    found = translated(files[0], lambda: parquet.read_schema(path, filesystem=store.files))
    schema = pa.schema([pa.field(f.name, plain_type(f.type), nullable=f.nullable) for f in found])
    try:
        return catalog.register(name, schema, files, replace=replace)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise MalformedError(f"the files cannot become table {name}: {error}") from error
