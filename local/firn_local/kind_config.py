"""The kind configuration of one cluster, derived from kind-config.yaml at the root of the repository."""

from __future__ import annotations

import copy
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from firn_local.errors import ClusterFailed
from firn_local.versions import ImageNames

DEFAULT_NAME = "firn"
API_PORT = 30080
"""Node port of Firn's API."""
S3_PORT = 30090
"""Node port of the S3 server."""
ARCHIVES_IN_NODE = "/firn-images"
FIRST_PORT, PORT_PAIRS = 31000, 500
"""Where the host ports of clusters that are not the default one are taken from."""


@dataclass(frozen=True, slots=True)
class HostPorts:
    """Ports of 127.0.0.1 that lead into the cluster."""

    api: int
    s3: int

    def of(self, node_port: int) -> int:
        """Return the host port for a node port of kind-config.yaml."""
        return {API_PORT: self.api, S3_PORT: self.s3}[node_port]


def choose_ports(name: str, is_free: Callable[[int], bool]) -> HostPorts:
    """Return host ports for a cluster: those of kind-config.yaml for the default name, else a free pair by its name.

    Raises ClusterFailed when a port of the default cluster is taken, or no pair is free.
    """
    if name == DEFAULT_NAME:
        if taken := [str(port) for port in (API_PORT, S3_PORT) if not is_free(port)]:
            raise ClusterFailed(
                f"port {' and '.join(taken)} of 127.0.0.1 is taken by another program; end it, or use another --name"
            )
        return HostPorts(API_PORT, S3_PORT)
    begin = zlib.crc32(name.encode())
    for offset in range(PORT_PAIRS):
        first = FIRST_PORT + 2 * ((begin + offset) % PORT_PAIRS)
        if is_free(first) and is_free(first + 1):
            return HostPorts(first, first + 1)
    raise ClusterFailed(f"no two ports are free between {FIRST_PORT} and {FIRST_PORT + 2 * PORT_PAIRS}")


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def derive(
    config: Mapping[str, Any], name: str, ports: HostPorts, own_image: ImageNames | None, archives: Path | None
) -> dict[str, Any]:
    """Return the configuration for one cluster: its name, its host ports, and what our own node image needs.

    ``archives``: a folder with image archives that the nodes of our own daemon can read.
    """
    derived: dict[str, Any] = copy.deepcopy(dict(config))
    derived["name"] = name
    for node in derived["nodes"]:
        for mapping in node.get("extraPortMappings", []):
            mapping["hostPort"] = ports.of(mapping["containerPort"])
        if archives is not None:
            mount = {"hostPath": str(archives), "containerPath": ARCHIVES_IN_NODE, "readOnly": True}
            node["extraMounts"] = [*node.get("extraMounts", []), mount]
    if own_image is not None:
        derived["kubeadmConfigPatches"] = [*derived.get("kubeadmConfigPatches", []), *_image_patches(own_image)]
    return derived


def _image_patches(names: ImageNames) -> list[str]:
    """Return what kubeadm and the kubelet have to know of our node image: its images' names and its cgroup driver."""
    cluster = {
        "kind": "ClusterConfiguration",
        "imageRepository": names.registry,
        "dns": {"imageTag": names.coredns_tag},
        "etcd": {"local": {"imageTag": names.etcd_tag}},
    }
    kubelet = {"kind": "KubeletConfiguration", "cgroupDriver": "cgroupfs"}
    return [yaml.safe_dump(cluster, sort_keys=False), yaml.safe_dump(kubelet, sort_keys=False)]
