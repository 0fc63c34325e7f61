"""Bringing images to the nodes of a cluster, only what is new: `kind load` would carry every layer every time."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import IO

from firn_local.cluster import Cluster
from firn_local.errors import ClusterFailed
from firn_local.images import ROLES
from firn_local.oci import Archive, descriptor
from firn_local.progress import Progress

CTR = ("ctr", "--namespace", "k8s.io")
LAYER = "application/vnd.oci.image.layer.v1.tar"


def load_images(cluster: Cluster, tags: Mapping[str, str], progress: Progress) -> None:
    """Bring each image to the nodes with its role, when they lack it, under its tag and ``dev``."""
    for name, tag in tags.items():
        names = [f"docker.io/{tag}", f"docker.io/{tag.partition(':')[0]}:dev"]
        lacking = [node for node in _nodes_with_role(cluster, ROLES[name]) if names[0] not in _images(cluster, node)]
        if not lacking:
            continue
        with progress.step(f"loading {tag} into {', '.join(lacking)}", 20), tempfile.TemporaryDirectory() as folder:
            saved = Path(folder, "image.tar")
            cluster.docker.run("save", "--output", saved, tag)
            for node in lacking:
                thin = Path(folder, f"{node}.tar")
                write_thin_archive(saved, thin, names, _blobs(cluster, node))
                with thin.open("rb") as stream:
                    cluster.docker.run(
                        "exec", "--interactive", node, *CTR, "images", "import", "--all-platforms", "-", stdin=stream
                    )


def write_thin_archive(saved: Path, thin: Path, names: list[str], present: Set[str]) -> None:
    """Write what `docker save` wrote as an OCI archive, leaving out the layers whose digests are present."""
    with tarfile.open(saved) as source, tarfile.open(thin, "w") as target:
        (entry,) = json.load(_open(source, "manifest.json"))
        config = json.load(_open(source, entry["Config"]))
        archive = Archive(target)
        layers = []
        for member, digest in zip(entry["Layers"], config["rootfs"]["diff_ids"], strict=True):
            content = _open(source, member)
            size_bytes = content.seek(0, 2)
            content.seek(0)
            layers.append(descriptor(LAYER, digest, size_bytes))
            if digest not in present:
                archive.add_stream(digest, content, size_bytes)
        archive.add_manifest(config, layers, names)
        archive.finish()


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    content = archive.extractfile(name)
    if content is None:
        raise ClusterFailed(f"`docker save` wrote no file {name}")
    return content


def _nodes_with_role(cluster: Cluster, role: str) -> list[str]:
    nodes = cluster.kubectl_run("get", "nodes", f"--selector=firn.dev/role={role}", "--output=name").split()
    return [node.removeprefix("node/") for node in nodes]


def _images(cluster: Cluster, node: str) -> set[str]:
    return set(cluster.docker.run("exec", node, *CTR, "images", "list", "--quiet").split())


def _blobs(cluster: Cluster, node: str) -> set[str]:
    return set(cluster.docker.run("exec", node, *CTR, "content", "list", "--quiet").split())
