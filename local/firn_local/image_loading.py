"""Bringing images to the nodes of a cluster, only what is new: `kind load` would carry every layer every time."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import IO

from firn_local.cluster import Cluster
from firn_local.errors import ClusterFailed
from firn_local.images import ROLES
from firn_local.kind_config import ARCHIVES_IN_NODE
from firn_local.lock import locked
from firn_local.oci import Archive, descriptor
from firn_local.progress import Progress
from firn_local.steps import Step, run_steps

CTR = ("ctr", "--namespace", "k8s.io")
LAYER = "application/vnd.oci.image.layer.v1.tar"


def load_images(cluster: Cluster, tags: Mapping[str, str], progress: Progress) -> None:
    """Bring each image to the nodes with its role, when they lack it, under its tag and ``dev``; side by side."""
    steps = []
    for name, tag in tags.items():
        lacking = [node for node in _nodes_with_role(cluster, ROLES[name]) if not _has_image(cluster, node, tag)]
        if lacking:
            what = f"loading {tag} into {', '.join(lacking)}"
            steps.append(Step(what, partial(_load, cluster, name, tag, lacking), seconds=20))
    run_steps(steps, progress)


def _load(cluster: Cluster, name: str, tag: str, nodes: Sequence[str]) -> None:
    folder = cluster.layout.image_archives
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / f"{name}-{tag.partition(':')[2]}.tar"
    names = [tag, f"firn/{name}:dev"]
    with locked(cluster.layout.cache / "locks" / f"archive-{name}"):
        if not saved.exists():
            unfinished = folder / f".{name}.unfinished"
            cluster.docker.run("save", "--output", unfinished, *names)
            for older in folder.glob(f"{name}-*.tar"):
                if _is_of(older, name):
                    older.unlink()
            unfinished.rename(saved)
        for node in nodes:
            present = _blobs(cluster, node)
            if not present & set(_layers(saved)):
                _import(cluster, node, saved)
                continue
            thin = folder / f".{name}-{node}.thin"
            try:
                write_thin_archive(saved, thin, [f"docker.io/{full}" for full in names], present)
                _import(cluster, node, thin)
            finally:
                thin.unlink(missing_ok=True)


def _is_of(archive: Path, name: str) -> bool:
    """Tell whether an archive is one of this image, and not of one whose name begins with this one's."""
    return archive.stem.rpartition("-")[0] == name


def _import(cluster: Cluster, node: str, archive: Path) -> None:
    """Import an archive from the folder that the node shares with us, or through a pipe where it shares none."""
    command = ["exec", "--interactive", node, *CTR, "images", "import", "--all-platforms"]
    shared = f"{ARCHIVES_IN_NODE}/{archive.name}"
    if cluster.docker.run("exec", node, "sh", "-c", f"ls {shared} 2> /dev/null || true").strip():
        cluster.docker.run(*command, shared)
        return
    with archive.open("rb") as stream:
        cluster.docker.run(*command, "-", stdin=stream)


def _layers(saved: Path) -> list[str]:
    with tarfile.open(saved) as source:
        (entry,) = json.load(_open(source, "manifest.json"))
        layers: list[str] = json.load(_open(source, entry["Config"]))["rootfs"]["diff_ids"]
        return layers


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


def _has_image(cluster: Cluster, node: str, tag: str) -> bool:
    listed = cluster.docker.run("exec", node, *CTR, "images", "list", "--quiet").split()
    return f"docker.io/{tag}" in listed


def _blobs(cluster: Cluster, node: str) -> set[str]:
    return set(cluster.docker.run("exec", node, *CTR, "content", "list", "--quiet").split())
