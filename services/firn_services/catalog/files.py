"""Reading Iceberg's own small files once: metadata and manifests are immutable, so their bytes are kept."""

import io
import threading
from collections import OrderedDict

from pyiceberg.io import InputFile, InputStream
from pyiceberg.io.pyarrow import PyArrowFileIO

from firn_services.config import Settings

KEPT_BYTES = 64 << 20
IMMUTABLE = (".avro", ".metadata.json")


class _Kept:
    """The bytes of the files read last, up to a bound. Safe to use from several threads."""

    def __init__(self, bound_bytes: int) -> None:
        self._bound_bytes = bound_bytes
        self._size_bytes = 0
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, inner: InputFile) -> bytes:
        with self._lock:
            if (data := self._files.get(inner.location)) is not None:
                self._files.move_to_end(inner.location)
                return data
        with inner.open() as stream:
            data = stream.read()
        with self._lock:
            self._files[inner.location] = data
            self._size_bytes += len(data)
            while self._size_bytes > self._bound_bytes:
                _, dropped = self._files.popitem(last=False)
                self._size_bytes -= len(dropped)
        return data


_kept = _Kept(KEPT_BYTES)


class _KeptFile(InputFile):
    """An immutable file whose bytes are kept."""

    def __init__(self, inner: InputFile) -> None:
        super().__init__(inner.location)
        self._inner = inner

    def __len__(self) -> int:
        return len(_kept.read(self._inner))

    def exists(self) -> bool:
        """Return whether the object is there."""
        return self._inner.exists()

    def open(self, seekable: bool = True) -> InputStream:
        """Return its bytes."""
        del seekable
        return io.BytesIO(_kept.read(self._inner))


class KeepingFileIO(PyArrowFileIO):
    """pyiceberg's file access, with metadata and manifests kept."""

    def new_input(self, location: str) -> InputFile:  # type: ignore[override]  # pyiceberg itself asks for InputFile
        """Return a file to read."""
        inner = super().new_input(location)
        return _KeptFile(inner) if location.endswith(IMMUTABLE) else inner


def file_properties(settings: Settings) -> dict[str, str]:
    """Return what a catalog is told of its files: this class reads and writes them, in the account's bucket."""
    return {
        "py-io-impl": f"{KeepingFileIO.__module__}.{KeepingFileIO.__qualname__}",
        "s3.endpoint": settings.object_store_endpoint,
        "s3.region": settings.object_store_region,
        "s3.access-key-id": settings.object_store_access_key_id.get_secret_value(),
        "s3.secret-access-key": settings.object_store_secret_access_key.get_secret_value(),
        "s3.force-virtual-addressing": "false",
    }
