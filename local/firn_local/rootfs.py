"""Debian root file systems, made by debootstrap."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firn_local.cache import Cache, key_of
from firn_local.command import run
from firn_local.layout import Layout

FORMAT = 2
"""Counted up when this file changes what a root file system holds."""

UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")
"""Folders whose content no container needs."""


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A minimal Debian with some packages, kept in the cache as one tar file."""

    layout: Layout
    cache: Cache
    name: str
    suite: str
    packages: Sequence[str]

    @property
    def key(self) -> str:
        """The cache key: suite and packages."""
        return key_of({"format": FORMAT, "suite": self.suite, "packages": sorted(self.packages)})

    def tar(self) -> Path:
        """Return the tar file, made when it is not in the cache (about 40 s; needs root and Debian's mirrors)."""
        return self.cache.get(f"rootfs-{self.name}", self.key, self._build) / "rootfs.tar"

    def _build(self, folder: Path) -> None:
        root = folder / "root"
        packages = folder / "packages"
        packages.mkdir()
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(self.packages)}"]
        log = self.layout.logs / f"rootfs-{self.name}.log"
        run([*command, f"--cache-dir={packages}", self.suite, root], log=log)
        for name in UNUSED:
            unused = root / name
            if unused.is_dir():
                shutil.rmtree(unused)
                unused.mkdir()
        run(["tar", "--numeric-owner", "-C", root, "-cf", folder / "rootfs.tar", "."])
        shutil.rmtree(root)
        shutil.rmtree(packages)


def copy_program(root: Path, program: str, destination: Path) -> None:
    """Copy a program of a root file system, with the libraries that it is linked to, to the same paths elsewhere."""
    for path in [program, *_libraries(root, program)]:
        target = destination / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2((root / path.lstrip("/")).resolve(), target)


def _libraries(root: Path, program: str) -> list[str]:
    listed = run(["chroot", root, "ldd", program])
    return sorted({word for word in listed.split() if word.startswith("/")})
