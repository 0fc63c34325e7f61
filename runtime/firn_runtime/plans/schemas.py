"""The schema of a plan's rows, in protobuf, found by the engine itself.

A serialised plan does not carry its schema, and Python sees none of an ExecutionPlan. But an outer join of no rows with
one row has one row of all columns: so the plan over empty leaves is run as the left side of such a join, and the
schema of what comes is planned as a table's. All columns may be null, which is always allowed to assume.
"""

import threading

import pyarrow as pa
from datafusion import SessionContext
from datafusion.plan import ExecutionPlan

from firn_runtime.errors import CannotCutError
from firn_runtime.plans.tree import FILE_SCANS, NODE, JoinKind, Node, inner, kind_of, parse, partition_count, walk


class Schemas:
    """Finds schemas with a session in which the stores of the plans' files are known."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._types = SessionContext()
        self._one_at_a_time = threading.Lock()

    def of(self, plan: Node) -> Node:
        """Return the schema (message Schema) of a plan's rows.

        Raises CannotCutError when there is none, or when the part does not run: above a cut the engine knows less of
        its rows, such as which column is one value in all of them.
        """
        arrow = self._arrow(plan)
        with self._one_at_a_time:
            return self._as_message(arrow)

    def _arrow(self, plan: Node) -> pa.Schema:
        probe = NODE()
        join = probe.nested_loop_join
        join.kind = JoinKind.RIGHT
        join.right.placeholder_row.schema.SetInParent()
        left = join.left
        if partition_count(plan) != 1:
            left = left.merge.input
        left.CopyFrom(plan)
        for node in walk(left):
            if kind_of(node) in FILE_SCANS:
                for group in inner(node).files.groups:
                    del group.files[:]
        try:
            found = ExecutionPlan.from_bytes(self._context, probe.SerializeToString())
            for batch in self._context.execute(found, 0):
                return batch.to_pyarrow().schema
        except Exception as error:
            if type(error) is not Exception:  # DataFusion raises plain Exception for everything
                raise
            raise CannotCutError("a part of the plan cannot run by itself") from error
        raise CannotCutError("the plan's columns cannot be told")

    def _as_message(self, schema: pa.Schema) -> Node:
        fields = [pa.field(f"c{number}", field.type) for number, field in enumerate(schema)]
        empty = pa.RecordBatch.from_pylist([], schema=pa.schema(fields))
        self._types.register_record_batches("t", [[empty]])
        try:
            plan = self._types.table("t").execution_plan()
        finally:
            self._types.deregister_table("t")
        message = parse(plan.to_bytes(self._types)).memory_scan.schema
        for column, name in zip(message.columns, schema.names, strict=True):
            column.name = name
        return message
