"""A kind cluster: made, repaired, looked at, deleted."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from firn_local.cache import Json
from firn_local.command import Command, run
from firn_local.docker import Docker
from firn_local.errors import ClusterFailed, CommandFailed
from firn_local.kind_config import HostPorts, choose_ports, derive, is_free
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.versions import ImageNames
from firn_local.waiting import until

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
NETWORK = "kind"
READY_SECONDS = 90
PROVISIONER = ("--selector=app=local-path-provisioner", "--namespace=local-path-storage")


@dataclass(frozen=True, slots=True)
class Node:
    """A container that is a node."""

    name: str
    is_running: bool
    address: str
    """Its address on kind's network, also while it is stopped (empty when nobody knows it any more)."""
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One kind cluster, by its name."""

    name: str
    layout: Layout
    docker: Docker
    kind: Path
    kubectl: Path
    progress: Progress

    @property
    def folder(self) -> Path:
        """What we keep of it."""
        return self.layout.cluster(self.name)

    @property
    def ports(self) -> HostPorts:
        """Its host ports, as chosen when it was made."""
        return HostPorts(**json.loads((self.folder / "ports.json").read_text()))

    def nodes(self) -> list[Node]:
        """Return its nodes, running or not."""
        listed = self.docker.run("ps", "--all", "--quiet", "--filter", f"label={CLUSTER_LABEL}={self.name}").split()
        return sorted((self._node(found) for found in self.docker.inspect(*listed)), key=lambda node: node.name)

    def create_or_repair(self, image: str, own_image: ImageNames | None) -> None:
        """Make the cluster, or bring back what is left of it, until all nodes are ready."""
        nodes = self.nodes()
        since = datetime.now(UTC)
        if nodes and not self._made_file.exists():
            self.progress.say(f"cluster {self.name} was not made to its end; making it again")
            self._delete()
            nodes = []
        if not nodes:
            self._create(image, own_image)
        elif stopped := [node for node in nodes if not node.is_running]:
            with self.progress.step(f"starting the stopped nodes {', '.join(node.name for node in stopped)}", 15):
                self._start(stopped)
        self._remember_addresses()
        with self.progress.step(f"waiting until cluster {self.name} is ready", 10):
            self._wait_until_ready(since)
        self._made_file.touch()

    def delete(self) -> None:
        """Delete the cluster with everything in it; nothing happens when there is none."""
        self._delete()
        shutil.rmtree(self.folder, ignore_errors=True)

    def describe(self) -> dict[str, Json]:
        """Return what a program needs to use the cluster."""
        ports = self.ports
        return {
            "name": self.name,
            "kubeconfig": str(self.layout.kubeconfig(self.name)),
            "context": f"kind-{self.name}",
            "api_url": f"http://127.0.0.1:{ports.api}",
            "s3_url": f"http://127.0.0.1:{ports.s3}",
            "kubectl": str(self.kubectl),
            "docker_host": self.docker.host,
        }

    def kubectl_run(self, *arguments: str, timeout_seconds: float = 60) -> str:
        """Run kubectl on this cluster."""
        kubeconfig = self.layout.kubeconfig(self.name)
        return run([self.kubectl, "--kubeconfig", kubeconfig, *arguments], timeout_seconds=timeout_seconds)

    @property
    def _made_file(self) -> Path:
        return self.folder / "made"

    @property
    def _addresses_file(self) -> Path:
        return self.folder / "addresses.json"

    def _create(self, image: str, own_image: ImageNames | None) -> None:
        self._made_file.unlink(missing_ok=True)
        ports = choose_ports(self.name, is_free)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ports.json").write_text(json.dumps(asdict(ports)))
        base = yaml.safe_load((self.layout.checkout / "kind-config.yaml").read_text())
        config = self.folder / "kind-config.yaml"
        archives = self.layout.image_archives if self.docker.is_ours else None
        if archives is not None:
            archives.mkdir(parents=True, exist_ok=True)
        derived = derive(base, self.name, ports, own_image, archives)
        config.write_text(yaml.safe_dump(derived, sort_keys=False))
        with self.progress.step(f"kind create cluster --name {self.name}", 40):
            self._kind("create", "cluster", "--image", image, "--config", str(config), "--retain")

    def _kind(self, *arguments: str) -> None:
        kubeconfig = self.layout.kubeconfig(self.name)
        command: Command = [self.kind, *arguments, "--name", self.name, "--kubeconfig", kubeconfig]
        run(command, env=self.docker.environment, log=self.folder / "kind.log", timeout_seconds=600)

    def _delete(self) -> None:
        if self.nodes():
            with self.progress.step(f"kind delete cluster --name {self.name}", 5):
                self._kind("delete", "cluster")

    def _node(self, found: dict[str, Any]) -> Node:
        name = found["Name"].removeprefix("/")
        address = found["NetworkSettings"]["Networks"].get(NETWORK, {}).get("IPAddress", "")
        return Node(
            name=name,
            is_running=bool(found["State"]["Running"]),
            address=address or self._remembered_addresses().get(name, ""),
            labels=found["Config"]["Labels"],
        )

    def _remembered_addresses(self) -> dict[str, str]:
        if not self._addresses_file.exists():
            return {}
        remembered: dict[str, str] = json.loads(self._addresses_file.read_text())
        return remembered

    def _remember_addresses(self) -> None:
        addresses = {node.name: node.address for node in self.nodes() if node.address}
        self._addresses_file.write_text(json.dumps(addresses))

    def _start(self, stopped: list[Node]) -> None:
        """Start nodes at the addresses that their certificates and configurations name.

        Kind's own image copes with new addresses; ours relies on the old ones, which our network can give.
        """
        for node in stopped:
            if self.docker.is_ours and node.address:
                self.docker.run("network", "disconnect", "--force", NETWORK, node.name)
                self.docker.run("network", "connect", "--ip", node.address, NETWORK, node.name)
        for node in stopped:
            self.docker.run("start", node.name)

    def _wait_until_ready(self, since: datetime) -> None:
        """Wait for a sign of life from each node that is newer than ``since``, then for nodes and deployments."""
        limit = f"--timeout={READY_SECONDS}s"
        patience = READY_SECONDS + 10
        if not until(lambda: self._heard_since(since), READY_SECONDS):
            raise ClusterFailed(f"not every node of cluster {self.name} came up; see {self.folder / 'kind.log'}")
        try:
            self.kubectl_run("wait", "--for=condition=Ready", "nodes", "--all", limit, timeout_seconds=patience)
            for namespace in ("kube-system", "local-path-storage"):
                wanted = ("deployments", "--all", f"--namespace={namespace}")
                self.kubectl_run("wait", "--for=condition=Available", *wanted, limit, timeout_seconds=patience)
            # After a restart the deployments' conditions are as old as before it; those of the pods are not.
            for pods in (("--all", "--namespace=kube-system"), PROVISIONER):
                self.kubectl_run("wait", "--for=condition=Ready", "pods", *pods, limit, timeout_seconds=patience)
        except CommandFailed as failure:
            raise ClusterFailed(f"cluster {self.name} does not get ready: {failure}") from failure

    def _heard_since(self, since: datetime) -> bool:
        listed = self.kubectl_run("get", "leases", "--namespace=kube-node-lease", "--output=json", timeout_seconds=10)
        renewed = {
            lease["metadata"]["name"]: datetime.fromisoformat(lease["spec"]["renewTime"])
            for lease in json.loads(listed)["items"]
        }
        return all(node.name in renewed and renewed[node.name] >= since for node in self.nodes())
