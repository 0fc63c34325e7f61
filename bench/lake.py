"""An S3 server whose objects are kept between runs: TPC-H at one scale factor, uploaded once."""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firn_local.cache import Cache
from firn_local.tpch import ObjectStore
from firn_model.messages import ObjectStoreAccess

_s3: Any = importlib.import_module("tests.s3")
_dataset: Any = importlib.import_module("tests.verify.dataset")


@contextlib.contextmanager
def lake(cache: Cache, dataset: Any) -> Iterator[ObjectStoreAccess]:
    """Serve a dataset; yields the access to it.

    The files are put by S3: those that were not have no ETag, and the cache of a node leaves them alone.
    """
    with _served(cache.get("lake", dataset.key, lambda root: _fill(root, dataset))) as access:
        yield access


def _fill(root: Path, dataset: Any) -> None:
    with _served(root) as access:
        s3 = ObjectStore(access.endpoint, access.access_key_id, access.secret_access_key).client()
        s3.create_bucket(Bucket=_dataset.BUCKET)
        for table in dataset.files:
            for name, path in dataset.named(table):
                s3.upload_file(str(path), _dataset.BUCKET, f"{dataset.key}/{table}/{name}")


@contextlib.contextmanager
def _served(root: Path) -> Iterator[ObjectStoreAccess]:
    with _s3.serving_s3(root) as endpoint:
        yield ObjectStoreAccess(endpoint=endpoint, access_key_id=_s3.ACCESS_KEY, secret_access_key=_s3.SECRET_KEY)
