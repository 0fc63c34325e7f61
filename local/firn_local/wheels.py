"""Wheels for images: of the lock files, fetched with their hashes, and of this repository's own parts."""

from __future__ import annotations

from pathlib import Path

from firn_local.cache import Cache, hash_tree, key_of
from firn_local.command import run
from firn_local.errors import LocalError
from firn_local.layout import Layout
from firn_local.machine import find_program
from firn_local.pip import pip_command


def lock_key(lock: Path) -> str:
    """Return the cache key of a lock file's wheels."""
    return key_of({"lock": lock.read_text()})


def locked_wheels(layout: Layout, cache: Cache, lock: Path) -> Path:
    """Return a folder with the wheels of a lock file, fetched by pip when it is not in the cache."""

    def build(folder: Path) -> None:
        command = [*pip_command(cache.root), "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        options: list[str | Path] = ["--require-hashes", "--dest", folder, "--requirement", lock]
        run([*command, *options], log=layout.logs / f"wheels-{lock.stem}.log")

    return cache.get(f"wheels-{lock.stem}", lock_key(lock), build)


def member_key(layout: Layout, member: str) -> str:
    """Return the cache key of the wheel of one part of this repository: its sources."""
    return key_of({"sources": hash_tree(layout.checkout / member)})


def member_wheel(layout: Layout, cache: Cache, member: str) -> Path:
    """Return a folder with the wheel of one part of this repository (``model``, ``operator`` …)."""

    def build(folder: Path) -> None:
        command: list[str | Path] = [
            find_uv(cache),
            "build",
            "--quiet",
            "--wheel",
            "--out-dir",
            folder,
            layout.checkout / member,
        ]
        run(command, log=layout.logs / f"wheel-{member}.log")
        (folder / ".gitignore").unlink(missing_ok=True)

    return cache.get(f"wheel-{member}", member_key(layout, member), build)


def find_uv(cache: Cache) -> Path:
    """Return the uv that local/bootstrap installed, or the machine's."""
    installed = cache.root / "uv" / "bin" / "uv"
    found = installed if installed.exists() else find_program("uv")
    if found is None:
        raise LocalError("uv is missing; local/bootstrap installs it")
    return found
