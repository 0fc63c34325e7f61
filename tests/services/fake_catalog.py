"""A catalog of TPC-H's tables that can only be read."""

import base64

import pyarrow as pa
from firn_model.messages import DataFile
from firn_services.catalog.names import Bound, CatalogTable, NoSuchTableError, SchemaName, TableName

KINDS = {"i": pa.int64(), "n": pa.decimal128(15, 2), "s": pa.string(), "d": pa.date32()}
TPCH = {
    "lineitem": "l_orderkey:i l_partkey:i l_suppkey:i l_linenumber:i l_quantity:n l_extendedprice:n l_discount:n "
    "l_tax:n l_returnflag:s l_linestatus:s l_shipdate:d l_commitdate:d l_receiptdate:d l_shipinstruct:s l_shipmode:s "
    "l_comment:s",
    "orders": "o_orderkey:i o_custkey:i o_orderstatus:s o_totalprice:n o_orderdate:d o_orderpriority:s o_clerk:s "
    "o_shippriority:i o_comment:s",
    "customer": "c_custkey:i c_name:s c_address:s c_nationkey:i c_phone:s c_acctbal:n c_mktsegment:s c_comment:s",
    "part": "p_partkey:i p_name:s p_mfgr:s p_brand:s p_type:s p_size:i p_container:s p_retailprice:n p_comment:s",
    "supplier": "s_suppkey:i s_name:s s_address:s s_nationkey:i s_phone:s s_acctbal:n s_comment:s",
    "partsupp": "ps_partkey:i ps_suppkey:i ps_availqty:i ps_supplycost:n ps_comment:s",
    "nation": "n_nationkey:i n_name:s n_regionkey:i n_comment:s",
    "region": "r_regionkey:i r_name:s r_comment:s",
    "mixed": "Id:i PLAIN:s",
}


class FakeCatalog:
    """TPC-H's tables without files, and what was asked to be pruned."""

    def __init__(self) -> None:
        self.version = 1
        self.pruned: dict[str, tuple[Bound, ...]] = {}
        self._tables = {t.name: t for t in map(self._table, TPCH)}

    @staticmethod
    def _table(name: str) -> CatalogTable:
        columns = [column.split(":") for column in TPCH[name].split()]
        schema = pa.schema([(column, KINDS[kind]) for column, kind in columns])
        ipc = base64.b64encode(schema.serialize().to_pybytes()).decode()
        return CatalogTable(TableName("TPCH", "SF1", name.upper()), f"s3://b/{name}", schema, ipc, ())

    def databases(self) -> list[str]:
        return ["TPCH"]

    def schemas(self, database: str | None = None) -> list[SchemaName]:
        return [SchemaName("TPCH", "SF1")]

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        return sorted(self._tables)

    def load(self, name: TableName) -> CatalogTable:
        if name not in self._tables:
            raise NoSuchTableError(name)
        return self._tables[name]

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[DataFile, ...]:
        self.pruned[table.name.name] = bounds
        return table.files
