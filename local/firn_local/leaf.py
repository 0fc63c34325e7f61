"""The engine's leaf: a Rust extension for columns that are kept decoded, built where the machine has a cargo.

It is optional. Where there is no cargo, or its registry cannot be reached, everything works without decoded columns.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import platform
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from firn_local.cache import Cache, hash_tree, key_of
from firn_local.command import run
from firn_local.errors import CommandFailed
from firn_local.layout import Layout
from firn_local.machine import find_program
from firn_local.progress import Progress
from firn_local.steps import Step
from firn_local.wheels import find_uv

ENTRY = "wheel-leaf"
BUILD_SECONDS = 400
_DISTRIBUTION = "firn-leaf"
_MODULE = "firn_leaf"
_ABI = "cp311-abi3"
_BUILD_ENVIRONMENT = {"PYO3_BUILD_EXTENSION_MODULE": "1"}
"""Not linked to a libpython: the image's Python has none, nor need one that imports it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The extension's wheel, in the cache or to be built."""

    layout: Layout
    cache: Cache

    @property
    def sources(self) -> Path:
        """The crate's folder."""
        return self.layout.checkout / "runtime" / "leaf"

    @property
    def key(self) -> str:
        """The wheel's key in the cache: its sources, with all crates' lock, the machine's kind and how it is built."""
        return key_of({"sources": hash_tree(self.sources), "machine": platform.machine(), **_BUILD_ENVIRONMENT})

    @property
    def version(self) -> str:
        """The wheel's version: datafusion's, and the key."""
        return f"{datafusion_version(self.sources / 'Cargo.lock')}+{self.key}"

    @property
    def wheel(self) -> Path | None:
        """The folder of the wheel when it is in the cache."""
        return self.cache.path(ENTRY, self.key) if self.cache.has(ENTRY, self.key) else None

    def steps(self, progress: Progress) -> list[Step]:
        """Return the step that builds the wheel; none where it is there, or cannot be built, which is said."""
        if self.wheel is not None:
            return []
        cargo = find_cargo()
        if cargo is None:
            progress.say("no cargo: nodes will keep no columns decoded in memory")
            return []
        return [Step("building the engine's leaf", lambda: self._try(cargo, progress), seconds=BUILD_SECONDS)]

    def install(self) -> None:
        """Install the wheel, if there is one, into the environment that this runs in."""
        if self.wheel is None or _installed_version() == self.version:
            return
        command: list[str | Path] = [find_uv(self.cache), "pip", "install", "--quiet", "--no-config", "--no-deps"]
        options: list[str | Path] = ["--offline", "--reinstall", "--python", sys.executable]
        run([*command, *options, *self.wheel.glob("*.whl")], log=self.layout.logs / "leaf.log")

    def _try(self, cargo: Path, progress: Progress) -> None:
        """Build the wheel; say why not when that fails."""
        try:
            self.cache.get(ENTRY, self.key, lambda folder: self._build(cargo, folder))
        except CommandFailed as failure:
            progress.say(f"the leaf is left out, nodes will keep no columns decoded in memory: {failure}")

    def _build(self, cargo: Path, folder: Path) -> None:
        target = self.cache.root / "leaf-build"
        environment = {"CARGO_TARGET_DIR": str(target), "PYO3_PYTHON": sys.executable, **_BUILD_ENVIRONMENT}
        command: list[str | Path] = [cargo, "build", "--release", "--locked"]
        run(command, cwd=self.sources, env=environment, log=self.layout.logs / "leaf.log")
        library = folder / "stripped"
        run(["strip", "-o", library, target / "release" / f"lib{_MODULE}.so"])  # which came with the linker
        write_wheel(folder, library, self.version)
        library.unlink()


def find_cargo() -> Path | None:
    """Return the machine's cargo, or None."""
    own = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "bin" / "cargo"
    return find_program("cargo") or (own if own.exists() else None)


def datafusion_version(lock: Path) -> str:
    """Return the version of datafusion in a Cargo.lock."""
    lines = lock.read_text().splitlines()
    return lines[lines.index('name = "datafusion-ffi"') + 1].split('"')[1]


def write_wheel(folder: Path, library: Path, version: str) -> Path:
    """Write a wheel with the extension as its one module; return its path."""
    tag = f"{_ABI}-linux_{platform.machine()}"
    about = f"{_MODULE}-{version}.dist-info"
    files = {
        f"{_MODULE}.abi3.so": library.read_bytes(),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: firn\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""]).encode()
    wheel = folder / f"{_MODULE}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
