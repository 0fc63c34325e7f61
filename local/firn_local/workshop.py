"""Everything that makes a local cluster, put together for this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from firn_local.cache import Cache
from firn_local.cluster import Cluster
from firn_local.daemon import Daemon
from firn_local.docker import Docker, find_docker
from firn_local.errors import ClusterFailed, MissingRequirements
from firn_local.go import GoBuilder, fetch_go, find_go
from firn_local.layout import Layout
from firn_local.leaf import Leaf
from firn_local.lock import locked
from firn_local.machine import Machine, explain_missing, find_program, install, missing_packages
from firn_local.node_image import MODULES as NODE_MODULES
from firn_local.node_image import NodeImage
from firn_local.progress import Progress
from firn_local.rootfs import Rootfs
from firn_local.steps import Step, run_steps
from firn_local.versions import Module, Versions, load

DAEMON_PROGRAMS = ("docker", "dockerd", "iptables", "nft", "jq", "ip")
ROOTFS_PROGRAMS = ("debootstrap",)
CGO_PROGRAMS = ("gcc", "pkg-config", "/usr/include/seccomp.h", "/usr/include/stdio.h")
CONTROL_PLANE_MODULES = ("kubernetes", "etcd")
TOOL_MODULES = ("kind", "helm")


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folders, versions, cache and progress display that all parts share."""

    layout: Layout
    versions: Versions
    cache: Cache
    progress: Progress

    @classmethod
    def open(cls, layout: Layout, progress: Progress) -> Workshop:
        """Read the versions of the checkout."""
        return cls(layout, load(layout.local / "versions.toml"), Cache(layout.cache), progress)

    @property
    def daemon(self) -> Daemon:
        """Our own Docker daemon, be it there or not."""
        return Daemon(self.layout)

    def rootfs(self, name: str) -> Rootfs:
        """Return the root file system of node images (``node``) or of Firn's images (``base``)."""
        packages = {"node": self.versions.node_packages, "base": self.versions.base_packages}[name]
        return Rootfs(self.layout, self.cache, name, self.versions.suite, packages)

    def builder(self, go: Path = Path("go")) -> GoBuilder:
        """Return the builder of Go programs; asking it what is built needs no Go."""
        return GoBuilder(self.layout, self.versions, self.cache, go)

    @property
    def leaf(self) -> Leaf:
        """The engine's leaf, be it built or not."""
        return Leaf(self.layout, self.cache)

    def install_leaf(self) -> None:
        """Have the engine's leaf in this environment, built now where that can be done."""
        run_steps(self.leaf.steps(self.progress), self.progress)
        self.leaf.install()

    def node_image(self) -> NodeImage:
        """Our own node image."""
        return NodeImage(self.layout, self.versions, self.cache, self.builder(), self.rootfs("node"))

    def program(self, module: str, output: str | None = None) -> Path:
        """Return a built program; build it first with ``build_modules``."""
        pinned = self.versions.modules[module]
        return self.cache.path(f"bin-{module}", self.builder().key(pinned)) / (output or module)

    def kubectl(self) -> Path:
        """Return a kubectl: ours, linked to the binary of all components."""
        link = self.layout.state / "bin" / "kubectl"
        target = self.program("kubernetes")
        if not link.is_symlink() or link.readlink() != target:
            link.parent.mkdir(parents=True, exist_ok=True)
            new = link.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.rename(link)
        return link

    def unbuilt(self, names: Iterable[str]) -> list[Module]:
        """Return those of the modules that are not in the cache."""
        builder = self.builder()
        return [module for name in names if not builder.is_built(module := self.versions.modules[name])]

    def require(self, programs: Iterable[str], extra: Iterable[str] = ()) -> None:
        """Make sure that the machine has what is needed, from Debian when that can be done.

        Raises MissingRequirements, before anything is installed, naming everything that cannot be had.
        """
        machine = Machine.here()
        missing = missing_packages(tuple(dict.fromkeys(programs)), self.versions.machine_packages)
        if lines := explain_missing(machine, missing, tuple(extra)):
            raise MissingRequirements(lines)
        with locked(self.layout.state / "install.lock"):
            still = missing_packages(tuple(missing), self.versions.machine_packages)
            install(still, self.progress, self.layout.logs / "apt.log")

    def programs_to_build(self, modules: Iterable[Module]) -> list[str]:
        """Return the programs of the machine that a build of modules needs."""
        return [program for module in modules if module.cgo for program in CGO_PROGRAMS]

    def build_steps(self, names: Iterable[str]) -> list[Step]:
        """Return the steps that bring modules into the cache; none for those that are there."""
        missing = self.unbuilt(names)
        if not missing:
            return []
        go = find_go(self.versions.go.minimum) or fetch_go(self.cache, self.versions.go)
        builder = self.builder(go)

        def step(module: Module) -> Step:
            name = f"building {module.name} {module.version}"
            return Step(name, lambda: builder.build(module), seconds=module.weight_seconds)

        return [step(module) for module in missing]

    def build_modules(self, names: Iterable[str]) -> None:
        """Bring modules into the cache, side by side."""
        wanted = tuple(names)
        self.require(self.programs_to_build(self.unbuilt(wanted)))
        run_steps(self.build_steps(wanted), self.progress)

    def build_node_image(self) -> None:
        """Bring our node image, and the tools beside it, into the cache."""
        image = self.node_image()
        steps = self.build_steps((*NODE_MODULES, *TOOL_MODULES))
        if not self.cache.has("node-image", image.key):
            rootfs = self.rootfs("node")
            built = tuple(step.name for step in steps)
            if not self.cache.has("rootfs-node", rootfs.key):
                steps.append(Step("Debian root file system of the nodes", rootfs.tar, seconds=60))
                built = (*built, steps[-1].name)
            steps.append(Step("node image", image.tar, needs=built, seconds=40))
        run_steps(steps, self.progress)

    def build_all(self) -> None:
        """Bring everything into the cache that clusters and component tests on this machine need."""
        docker = None if self.daemon.exists else find_docker()
        if docker is None or not self._get_published_node(docker):
            self._prepare_own_image(own_daemon=docker is None)
        self.build_modules((*CONTROL_PLANE_MODULES, *TOOL_MODULES, "versitygw"))
        self.install_leaf()

    def up(self, name: str) -> Cluster:
        """Return a cluster that is ready: made when there is none, repaired when it is not whole."""
        with locked(self.layout.state / f"cluster-{name}.lock"):
            # From here on a `down` of another cluster leaves the daemon alone.
            self.layout.cluster(name).mkdir(parents=True, exist_ok=True)
            docker = None if self.daemon.exists else find_docker()
            published = docker is not None and self._get_published_node(docker)
            if docker is None or not published:
                self._prepare_own_image(own_daemon=docker is None)
            else:
                self.build_modules(("kubernetes", *TOOL_MODULES))
            if docker is None:
                docker = self._start_daemon()
            image, names = self.versions.published_node, None
            if not published:
                with self.progress.step("node image in Docker", 15):
                    image, names = self.node_image().ensure(docker), self.versions.names
            cluster = self.cluster(name, docker)
            cluster.create_or_repair(image, names)
            return cluster

    def down(self, name: str) -> None:
        """Delete a cluster, and our daemon with all that it added to the machine when no cluster is left."""
        with locked(self.layout.state / f"cluster-{name}.lock"):
            docker = self._daemon_again() if self.daemon.exists else find_docker()
            if docker is not None:
                self.build_modules(("kubernetes", *TOOL_MODULES))
                self.cluster(name, docker).delete()
            with locked(self.layout.state / "daemon.lock"):
                if self.daemon.exists and not self.known_clusters():
                    with self.progress.step("stopping our Docker daemon", 5):
                        self.daemon.remove_containers()
                        self.daemon.stop()

    def cluster(self, name: str, docker: Docker) -> Cluster:
        """Return a handle on a cluster of a daemon."""
        kind = find_program("kind") or self.program("kind")
        return Cluster(name, self.layout, docker, kind, self.kubectl(), self.progress)

    def running_docker(self, name: str) -> Docker:
        """Return the daemon that a cluster is in; raise ClusterFailed when the cluster is not up."""
        docker = self.docker()
        if docker is None or name not in self.known_clusters():
            raise ClusterFailed(f"cluster {name} is not up; run: python -m firn_local up --name {name}")
        return docker

    def answering_docker(self) -> Docker:
        """Return a daemon that answers, for work that needs no cluster; raise ClusterFailed when there is none."""
        docker = self.docker()
        if docker is None:
            raise ClusterFailed("no Docker daemon answers; start Docker, or run: python -m firn_local up")
        return docker

    def known_clusters(self) -> list[str]:
        """Return the names of the clusters that were made, or begun, and not taken down."""
        return sorted(folder.name for folder in self.layout.clusters.glob("*") if folder.is_dir())

    def docker(self) -> Docker | None:
        """Return the daemon that clusters are in, or None when there is none that answers."""
        if self.daemon.exists:
            return self.daemon.docker if self.daemon.docker.answers else None
        return find_docker()

    def _get_published_node(self, docker: Docker) -> bool:
        image = self.versions.published_node
        if docker.has_image(image):
            return True
        with self.progress.step(f"docker pull {image.partition('@')[0]}", 30):
            return docker.pull(image)

    def _prepare_own_image(self, *, own_daemon: bool) -> None:
        image = self.node_image()
        ready = self.cache.has("node-image", image.key)
        programs = [*(DAEMON_PROGRAMS if own_daemon else ()), *(() if ready else ROOTFS_PROGRAMS)]
        needs_root = own_daemon or not ready
        extra = (
            []
            if Machine.here().is_root or not needs_root
            else ["a Docker daemon that answers, with kind's node image; or root, to start one and to make that image"]
        )
        unbuilt = self.unbuilt((*NODE_MODULES, *TOOL_MODULES))
        self.require([*programs, *self.programs_to_build(unbuilt)], extra)
        self.build_node_image()

    def _start_daemon(self) -> Docker:
        with locked(self.layout.state / "daemon.lock"):
            with self.progress.step("our Docker daemon", 5):
                docker = self.daemon.start()
            self.daemon.ensure_kind_network()
        return docker

    def _daemon_again(self) -> Docker:
        with locked(self.layout.state / "daemon.lock"):
            return self.daemon.start()
