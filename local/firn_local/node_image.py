"""Our own kind node image: Debian, Kubernetes' components built here, and their images loaded into containerd.

It is what kind's published node image is, made without any image registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firn_local.cache import Cache, hash_tree, key_of
from firn_local.command import Command, run, succeeds
from firn_local.docker import Docker
from firn_local.errors import LocalError
from firn_local.go import GoBuilder
from firn_local.layout import Layout
from firn_local.oci import Image, write_archive
from firn_local.rootfs import Rootfs, copy_program
from firn_local.versions import Versions

FORMAT = 3
"""Counted up when this file changes what the image holds."""

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
SHELL_PROGRAMS = ("sh", "cat", "chmod", "cmp", "cp", "echo", "ip", "ls", "mkdir", "mv", "rm", "sleep", "test", "true")
MODULES = (
    "kubernetes",
    "etcd",
    "containerd",
    "runc",
    "cri-tools",
    "cni-plugins",
    "coredns",
    "local-path-provisioner",
    "pause",
)
"""The modules whose programs are in the image."""

MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "systemd-logind.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp.service",
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    "nftables.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "e2scrub_reap.service",
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "systemd-binfmt.service",
)
"""Units of a whole machine that a node has no use for, or that would change the machine it runs on."""


@dataclass(frozen=True, slots=True)
class NodeImage:
    """The node image and what goes into it."""

    layout: Layout
    versions: Versions
    cache: Cache
    builder: GoBuilder
    rootfs: Rootfs

    @property
    def key(self) -> str:
        """The cache key: everything that goes in."""
        return key_of(
            {
                "format": FORMAT,
                "rootfs": self.rootfs.key,
                "files": hash_tree(self.layout.local / "node"),
                "names": [self.versions.kubernetes, *self._names],
                "programs": {name: self.builder.key(self.versions.modules[name]) for name in MODULES},
            }
        )

    @property
    def tag(self) -> str:
        """The image's name in a Docker daemon."""
        return f"localhost/firn/kind-node:{self.versions.kubernetes}-{self.key}"

    def ensure(self, docker: Docker) -> str:
        """Return the image's name in the daemon, made and imported when it is not there."""
        if not docker.has_image(self.tag):
            with self.tar().open("rb") as stream:
                docker.run("import", *_metadata(), "-", self.tag, stdin=stream)
        return self.tag

    def tar(self) -> Path:
        """Return the image's file system as a tar file, made when it is not in the cache (about 40 s)."""
        return self.cache.get("node-image", self.key, self._build) / "image.tar"

    @property
    def _names(self) -> tuple[str, ...]:
        names = self.versions.names
        return (names.registry, names.etcd_tag, names.coredns_tag, names.pause_tag, names.provisioner_tag)

    def _build(self, folder: Path) -> None:
        root = folder / "root"
        root.mkdir()
        run(["tar", "--numeric-owner", "-C", root, "-xf", self.rootfs.tar()])
        self._install_programs(root)
        self._install_files(root)
        archive = folder / "images.tar"
        write_archive(archive, self._images(root, folder / "layers"))
        self._preload(root, archive, folder)
        run(["tar", "--numeric-owner", "-C", root, "-cf", folder / "image.tar", "."])
        for name in ("root", "layers", "containerd"):
            shutil.rmtree(folder / name)
        archive.unlink()

    def _program(self, module: str, output: str | None = None) -> Path:
        return self.builder.build(self.versions.modules[module]) / (output or module)

    def _install_programs(self, root: Path) -> None:
        local = root / "usr/local/bin"
        shutil.copy2(self._program("kubernetes"), root / "usr/bin/kubernetes")
        for name in ("kubelet", "kubeadm", "kubectl"):
            (root / "usr/bin" / name).symlink_to("kubernetes")
        for output in ("containerd", "containerd-shim-runc-v2", "ctr"):
            shutil.copy2(self._program("containerd", output), local / output)
        shutil.copy2(self._program("runc"), local / "runc")
        shutil.copy2(self._program("cri-tools", "crictl"), local / "crictl")
        plugins = root / "opt/cni/bin"
        plugins.mkdir(parents=True)
        for output in self.versions.modules["cni-plugins"].outputs:
            shutil.copy2(self._program("cni-plugins", output), plugins / output)

    def _install_files(self, root: Path) -> None:
        for source in sorted((self.layout.local / "node").rglob("*")):
            relative = source.relative_to(self.layout.local / "node")
            if source.is_file() and len(relative.parts) > 1:
                target = root / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self._fill_in(source.read_text()))
                target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        wanted = root / "etc/systemd/system/multi-user.target.wants"
        wanted.mkdir(parents=True, exist_ok=True)
        for unit in ("containerd.service", "kubelet.service"):
            (wanted / unit).symlink_to(f"/etc/systemd/system/{unit}")
        (root / "etc/systemd/system/default.target").symlink_to("/lib/systemd/system/multi-user.target")
        for unit in MASKED:
            masked = root / "etc/systemd/system" / unit
            masked.unlink(missing_ok=True)
            masked.symlink_to("/dev/null")

    def _fill_in(self, text: str) -> str:
        names = self.versions.names
        for word, value in {
            "@VERSION@": self.versions.kubernetes,
            "@REGISTRY@": names.registry,
            "@PAUSE_TAG@": names.pause_tag,
            "@PROVISIONER_TAG@": names.provisioner_tag,
        }.items():
            text = text.replace(word, value)
        return text

    def _images(self, root: Path, layers: Path) -> list[Image]:
        """Return the images that kubeadm, kind and our own manifests ask for."""
        names = self.versions.names
        version = self.versions.kubernetes
        shell = layers / "shell"
        _make_shell(root, shell)
        kubernetes = layers / "kubernetes"
        shutil.copytree(shell, kubernetes, symlinks=True)
        copy_program(root, "/usr/sbin/nft", kubernetes)
        shutil.copy2(self._program("kubernetes"), kubernetes / "usr/local/bin/kubernetes")
        for name in (*COMPONENTS, "kubectl"):
            (kubernetes / "usr/local/bin" / name).symlink_to("kubernetes")
        shutil.copy2(self.layout.local / "node/podnet", kubernetes / "usr/local/bin/podnet")
        single = {
            "etcd": ("etcd", f"etcd:{names.etcd_tag}", ()),
            "coredns": ("coredns", f"coredns:{names.coredns_tag}", ("/usr/local/bin/coredns",)),
            "pause": ("pause", f"pause:{names.pause_tag}", ("/usr/local/bin/pause",)),
            "local-path-provisioner": ("local-path-provisioner", f"local-path-provisioner:{names.provisioner_tag}", ()),
        }
        images = [
            Image(kubernetes, tuple(f"{names.registry}/{name}:{version}" for name in (*COMPONENTS, "podnet"))),
            Image(shell, (f"{names.registry}/shell:{version}",)),
        ]
        for module, (output, name, entrypoint) in single.items():
            target = layers / module / "usr/local/bin" / output
            target.parent.mkdir(parents=True)
            (layers / module / "tmp").mkdir(mode=0o1777)
            shutil.copy2(self._program(module, output), target)
            images.append(Image(layers / module, (f"{names.registry}/{name}",), entrypoint))
        return images

    def _preload(self, root: Path, archive: Path, folder: Path) -> None:
        """Import the images into the node's containerd by one that runs here on the node's folder."""
        with _containerd(self.builder.build(self.versions.modules["containerd"]), root, folder) as client:
            run([*client, "images", "import", "--all-platforms", archive])


def _make_shell(root: Path, layer: Path) -> None:
    programs = layer / "bin"
    programs.mkdir(parents=True)
    (layer / "usr/local/bin").mkdir(parents=True)
    (layer / "tmp").mkdir(mode=0o1777)
    shutil.copy2((root / "bin/busybox").resolve(), programs / "busybox")
    for name in SHELL_PROGRAMS:
        (programs / name).symlink_to("busybox")


@contextmanager
def _containerd(programs: Path, root: Path, folder: Path) -> Iterator[Sequence[str | Path]]:
    """Run a containerd on the node's /var/lib/containerd; yields the client's command."""
    state = folder / "containerd"
    state.mkdir()
    address = state / "containerd.sock"
    disabled = [f"io.containerd.{name}" for name in ("grpc.v1.cri", "cri.v1.images", "cri.v1.runtime")]
    config = {
        "version": "3",
        "root": f"'{root / 'var/lib/containerd'}'",
        "state": f"'{state / 'state'}'",
        "disabled_plugins": json.dumps(disabled),
    }
    lines = [f"{name} = {value}" for name, value in config.items()]
    (state / "config.toml").write_text("\n".join([*lines, "[grpc]", f"address = '{address}'", ""]))
    command: Command = [programs / "containerd", "--config", state / "config.toml"]
    with (state / "containerd.log").open("wb") as log:
        # The kernel ends it with us, so that a crash here leaves nothing behind.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdout=log, stderr=log)
    client: Command = [programs / "ctr", "--address", address, "--namespace", "k8s.io"]
    try:
        deadline = time.monotonic() + 30
        while not succeeds([*client, "version"]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalError(f"containerd did not start: {(state / 'containerd.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield client
    finally:
        process.terminate()
        process.wait()


def _metadata() -> list[str]:
    """Return the image's settings; `docker import` refuses a STOPSIGNAL, and kind needs none."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    changes = ["ENV container=docker", f"ENV {path}", 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]']
    return [option for change in changes for option in ("--change", change)]
