"""A stage of SQL: a whole statement that one engine runs, as it goes to the engine's process."""

import struct
from typing import Literal

from firn_model.base import Message
from firn_model.messages import DataFile, Dispatch, ObjectStoreAccess, TableSnapshot
from firn_model.writes import FileFormat, WriteTarget
from pydantic import Field

GREETING = b"\n"
"""What an engine writes to each connection before anything is asked."""
LENGTH = struct.Struct(">I")
"""How a stage's length goes before its JSON."""


class Stage(Message):
    """SQL over tables at their snapshots, run whole on one engine."""

    kind: Literal["stage"] = "stage"
    statement_id: str
    sql: str
    tables: tuple[TableSnapshot, ...] = ()
    object_store: ObjectStoreAccess | None = None
    parallelism: int | None = Field(default=None, ge=1)
    write: WriteTarget | None = None
    node: str = Field(default="", description="Pod UID of where it runs, for its profile.")
    whole_because: str | None = Field(default=None, description="Why it is not run in stages, for its profile.")

    @property
    def parquet_files(self) -> list[DataFile]:
        """The files that it reads by column chunks."""
        return [f for table in self.tables if table.format is FileFormat.PARQUET for f in table.files]

    @property
    def uses_files(self) -> bool:
        """Whether it reads or writes files."""
        return self.write is not None or any(table.files for table in self.tables)


def whole(dispatch: Dispatch, node: str = "", because: str | None = None) -> Stage:
    """Return a statement as one stage that runs on a node, and why."""
    return Stage(
        statement_id=dispatch.statement_id,
        sql=dispatch.sql,
        tables=dispatch.tables,
        object_store=dispatch.object_store,
        parallelism=dispatch.parallelism,
        write=dispatch.write,
        node=node,
        whole_because=because,
    )
