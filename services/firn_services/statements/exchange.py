"""The last tier of what a statement's stages exchange: objects below one folder of the account's bucket.

Engines put pieces there for which no node has room, below a folder for each attempt, and delete them with the
statement. What an engine leaves that died with it is swept here, once its statement has ended; so are files of history
and results that statements read beside tables.
"""

import uuid

import pyarrow as pa
from firn_model.messages import DataFile
from pyarrow import fs, parquet

from firn_services.objects import EXCHANGE, ObjectStore, translated
from firn_services.store.statements import StatementStore


class Exchange:
    """The folder, which is the account's own: accounts that share a bucket leave each other alone."""

    def __init__(self, objects: ObjectStore, store: StatementStore, namespace: str) -> None:
        self._objects = objects
        self._store = store
        self._folder = f"{objects.bucket}/{EXCHANGE}/{namespace}"

    @property
    def uri(self) -> str:
        """What heads are told; they put statement, attempt and plan below it, with dots between."""
        return f"s3://{self._folder}"

    def put(self, statement_id: str, rows: pa.Table) -> DataFile:
        """Put rows there that a statement reads, until it has ended. Blocks. Raises StatementFailedError."""
        path = f"{self._folder}/{statement_id}.reads/{uuid.uuid4().hex}.parquet"
        what = "what the statement reads of history and results"
        translated(what, lambda: parquet.write_table(rows, path, filesystem=self._objects.files))
        size = translated(what, lambda: self._objects.files.get_file_info(path).size)
        return DataFile(uri=f"s3://{path}", size_bytes=size, rows=rows.num_rows)

    def sweep(self) -> int:
        """Delete the folders of statements that have ended; return how many. Blocks. Raises OSError.

        One whose statement is not known stays: it may be somebody else's.
        """
        files = self._objects.files
        found = files.get_file_info(fs.FileSelector(self._folder, allow_not_found=True))
        ended = [each for each in found if self._has_ended(each.base_name.partition(".")[0])]
        for each in ended:
            files.delete_dir(each.path)
        return len(ended)

    def _has_ended(self, statement_id: str) -> bool:
        record = self._store.read(statement_id)
        return record is not None and record.state.is_final
