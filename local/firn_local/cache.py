"""Build outputs, keyed by what they are made of."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firn_local.lock import locked

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def key_of(inputs: Mapping[str, Json]) -> str:
    """Return 12 hexadecimal digits that change with any of the inputs."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Return a hash of the files' paths below ``root``, their content and whether they can be executed."""
    total = hashlib.sha256()
    for file in sorted(files):
        executable = b"x" if os.access(file, os.X_OK) else b"-"
        total.update(str(file.relative_to(root)).encode() + b"\0" + executable)
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def hash_tree(root: Path) -> str:
    """Return a hash of all files below a folder, leaving out what Python compiles."""
    return hash_files(root, (f for f in root.rglob("*") if f.is_file() and "__pycache__" not in f.parts))


@dataclass(frozen=True, slots=True)
class Cache:
    """Finished folders at ``<root>/<name>/<key>``.

    An entry is built in a folder beside it and renamed when it is whole, under a lock of its own: a crash in the
    middle leaves nothing that looks finished, and of two runs at once the second finds what the first made.
    """

    root: Path

    def path(self, name: str, key: str) -> Path:
        """Return the folder of an entry, whether it is there or not."""
        return self.root / name / key

    def has(self, name: str, key: str) -> bool:
        """Tell whether the entry is there, and whole."""
        return self.path(name, key).is_dir()

    def get(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the entry's folder; when it is not there, ``build`` fills an empty folder for it."""
        final = self.path(name, key)
        if final.is_dir():
            return final
        with locked(self.root / "locks" / f"{name}-{key}"):
            if final.is_dir():
                return final
            unfinished = final.with_name(f".{key}.unfinished")
            if unfinished.exists():
                shutil.rmtree(unfinished)
            unfinished.mkdir(parents=True)
            build(unfinished)
            unfinished.rename(final)
        return final
