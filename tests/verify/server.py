"""The S3 server that datasets stand behind: each is uploaded once, and linked anew where no cache may know it."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from firn_model.messages import DataFile, TableSnapshot
from firn_services.sql.query import Query

from tests.s3 import client, serving_s3
from tests.verify.dataset import BUCKET, Dataset, Statements


@dataclass
class Server:
    """A running S3 server over a folder, whose folders are its buckets."""

    root: Path
    endpoint: str
    _compilers: dict[str, Statements] = field(default_factory=dict)
    _fresh: Iterator[int] = field(default_factory=itertools.count)

    def bring(self, dataset: Dataset) -> Statements:
        """Upload a dataset, if it is not there; return what compiles statements over it."""
        if dataset.key not in self._compilers:
            dataset.upload(self.endpoint)
            self._compilers[dataset.key] = dataset.compiler()
        return self._compilers[dataset.key]

    def fresh(self, query: Query) -> Query:
        """Return a query over the same files by other URIs, which no cache has anything of.

        They are links in the server's folder: an object's ETag is an attribute of its file, which links share.
        """
        prefix = f"fresh-{next(self._fresh)}"
        return replace(query, tables=tuple(self._linked(table, prefix) for table in query.tables))

    def _linked(self, table: TableSnapshot, prefix: str) -> TableSnapshot:
        return table.model_copy(update={"files": tuple(self._link(file, prefix) for file in table.files)})

    def _link(self, file: DataFile, prefix: str) -> DataFile:
        key = file.uri.removeprefix(f"s3://{BUCKET}/")
        link = self.root / BUCKET / prefix / key
        if not link.exists():  # a statement may read a table by two names
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.root / BUCKET / key, link)
        return file.model_copy(update={"uri": f"s3://{BUCKET}/{prefix}/{key}"})


@contextlib.contextmanager
def serving(*datasets: Dataset) -> Iterator[Server]:
    """Serve datasets by an S3 server of their own."""
    with tempfile.TemporaryDirectory(prefix="firn-verify-") as root, serving_s3(Path(root)) as endpoint:
        client(endpoint).create_bucket(Bucket=BUCKET)
        server = Server(Path(root), endpoint)
        for dataset in datasets:
            server.bring(dataset)
        yield server
