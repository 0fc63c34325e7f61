"""OCI image archives, written without a container engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer: a folder. Several names may share it."""

    folder: Path
    names: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()


@dataclass(slots=True)
class Archive:
    """An OCI archive in the making."""

    tar: tarfile.TarFile
    manifests: list[dict[str, object]] = field(default_factory=list)

    def add_blob(self, content: bytes) -> str:
        """Add a blob and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self._add(f"blobs/sha256/{digest}", content)
        return f"sha256:{digest}"

    def add_stream(self, digest: str, content: IO[bytes], size_bytes: int) -> None:
        """Add a large blob whose digest is known."""
        entry = tarfile.TarInfo(f"blobs/{digest.replace(':', '/')}")
        entry.size = size_bytes
        self.tar.addfile(entry, content)

    def add_image(self, image: Image) -> None:
        """Add an image under all its names."""
        layer = _pack(image.folder)
        packed = gzip.compress(layer, compresslevel=3, mtime=0)
        self.add_manifest(
            config={
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": [PATH], "Entrypoint": list(image.entrypoint)},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            },
            layers=[descriptor("application/vnd.oci.image.layer.v1.tar+gzip", self.add_blob(packed), len(packed))],
            names=image.names,
        )

    def add_manifest(
        self, config: Mapping[str, object], layers: Sequence[Mapping[str, object]], names: Sequence[str]
    ) -> None:
        """Add a manifest of layers that are described (they may be elsewhere), under names."""
        packed = json.dumps(config).encode()
        described = descriptor("application/vnd.oci.image.config.v1+json", self.add_blob(packed), len(packed))
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": list(layers)}
        ).encode()
        digest = self.add_blob(manifest)
        for name in names:
            annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.split(":")[-1]}
            self.manifests.append({**descriptor(kind, digest, len(manifest)), "annotations": annotations})

    def finish(self) -> None:
        """Write what makes the archive whole."""
        self._add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        self._add("index.json", json.dumps({"schemaVersion": 2, "manifests": self.manifests}).encode())

    def _add(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self.tar.addfile(entry, io.BytesIO(content))


def write_archive(file: Path, images: Sequence[Image]) -> None:
    """Write an archive of images."""
    with tarfile.open(file, "w") as tar:
        archive = Archive(tar)
        for image in images:
            archive.add_image(image)
        archive.finish()


def descriptor(media_type: str, digest: str, size_bytes: int) -> dict[str, object]:
    """Return how a manifest names a blob."""
    return {"mediaType": media_type, "digest": digest, "size": size_bytes}


def _pack(folder: Path) -> bytes:
    """Return a tar of a folder that is the same for the same content."""
    options = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
    return subprocess.run(["tar", *options, "-C", folder, "-c", "."], check=True, stdout=subprocess.PIPE).stdout
