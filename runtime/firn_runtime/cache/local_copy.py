"""A file's bytes on local disk while it goes to the object store: what the cache then takes up.

Nothing that is amiss with the copy fails the write: it is given up, and the cache does without.
"""

import contextlib
import mmap
import tempfile
from pathlib import Path

import pyarrow as pa


class LocalCopy:
    """The copy, beside the cache; it is gone when it is closed."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Begin a copy of `most_bytes` at most."""
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._file = None
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed by `close`

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size_bytes += len(data)
        if self._file is None:
            return
        try:
            if self._size_bytes > self._most_bytes or self._file.write(data) != len(data):
                self.close()
        except OSError:
            self.close()

    def view(self) -> memoryview | None:
        """Return all bytes, or None when they are not all here."""
        if self._file is None or not self._size_bytes:
            return None
        try:
            return memoryview(mmap.mmap(self._file.fileno(), self._size_bytes, access=mmap.ACCESS_READ))
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Give it up."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class CopiedSink:
    """A stream to the object store whose bytes are copied: what pyarrow takes for a file that is written."""

    def __init__(self, sink: pa.NativeFile, copy: LocalCopy) -> None:
        self._sink = sink
        self._copy = copy

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return bool(self._sink.closed)

    def write(self, data: bytes) -> int:
        """Write bytes to both. Raises OSError of the object store."""
        self._sink.write(data)
        self._copy.add(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return int(self._sink.tell())

    def flush(self) -> None:
        """Do nothing: the object store shows the file when it is closed."""

    def close(self) -> None:
        """End the stream. Raises OSError of the object store."""
        self._sink.close()
