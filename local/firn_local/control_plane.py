"""An API server with etcd alone, as plain processes: what component tests run against."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import yaml

from firn_local.certificates import Authority, Issued, signing_key
from firn_local.errors import ControlPlaneFailed
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.waiting import until
from firn_local.workshop import CONTROL_PLANE_MODULES, Workshop

READY_SECONDS = 60
HOST = "127.0.0.1"
MEMORY_FOR_TIME = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}
"""Both collect garbage less often: a fresh server has a small heap, which is collected many times a second."""


@dataclass(slots=True)
class ControlPlane:
    """A context manager that runs etcd and a kube-apiserver on free ports of 127.0.0.1 (ready in about 3 s).

    The programs are built first when the cache lacks them (about six minutes on two cores). There are no controllers,
    no scheduler and no nodes: objects are stored, validated, defaulted and watched, and nothing acts on them. RBAC is
    on; ``kubeconfig`` is an administrator's. Everything, processes too, is gone at the end, and the kernel ends the
    processes when this one is killed. Raises ControlPlaneFailed when it does not get ready.
    """

    memory_for_time: Mapping[str, str] = field(default_factory=lambda: MEMORY_FOR_TIME)
    """What the programs' Go runtime is told of its memory."""
    _folder: Path = field(default_factory=Path)
    _port: int = 0
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _authority: Authority = field(default_factory=Authority)

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""
        return self._folder / "kubeconfig"

    @property
    def url(self) -> str:
        """Where the API server is."""
        return f"https://{HOST}:{self._port}"

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of etcd and kube-apiserver, by these names."""
        return {name: process.pid for name, process in self._processes.items()}

    def kubeconfig_for(self, user: str, group: str) -> Path:
        """Return a kubeconfig of another user, who may do what RBAC rules of this server allow."""
        file = self._folder / f"kubeconfig-{user.replace(':', '-')}"
        self._write_kubeconfig(file, self._authority.client(user, group))
        return file

    def __enter__(self) -> ControlPlane:
        with Progress() as progress:
            workshop = Workshop.open(Layout.from_environment(), progress)
            workshop.build_modules(CONTROL_PLANE_MODULES)
        self._folder = Path(tempfile.mkdtemp(prefix="firn-control-plane-"))
        try:
            self._start(workshop)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _start(self, workshop: Workshop) -> None:
        etcd_port, peer_port, self._port = _free_ports(3)
        self._write_credentials()
        self._run("etcd", workshop.program("etcd"), *self._etcd_options(etcd_port, peer_port))
        server = workshop.program("kubernetes")
        self._run("kube-apiserver", server, "kube-apiserver", *self._server_options(etcd_port))
        if not until(self._is_ready, READY_SECONDS):
            raise ControlPlaneFailed(f"the API server is not ready after {READY_SECONDS} s:\n{self._log_tails()}")

    def _stop(self) -> None:
        for process in self._processes.values():  # nothing of theirs is kept, so nobody waits for an orderly end
            process.kill()
            process.wait()
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, name: str, *command: str | Path) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            # The kernel ends it when the thread that started it ends, however that comes about.
            argv = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
            self._processes[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.memory_for_time}
            )

    def _etcd_options(self, port: int, peer_port: int) -> list[str]:
        client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
        return [
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _server_options(self, etcd_port: int) -> list[str]:
        return [
            f"--etcd-servers=http://{HOST}:{etcd_port}",
            f"--bind-address={HOST}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={self._folder / 'server.crt'}",
            f"--tls-private-key-file={self._folder / 'server.key'}",
            f"--client-ca-file={self._folder / 'ca.crt'}",
            f"--service-account-key-file={self._folder / 'tokens.key'}",
            f"--service-account-signing-key-file={self._folder / 'tokens.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            # No controller makes the default service account that this one would ask for.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ]

    def _write_credentials(self) -> None:
        server = self._authority.server("kube-apiserver", [HOST, "localhost", "10.96.0.1", "kubernetes.default.svc"])
        files = {
            "ca.crt": self._authority.certificate,
            "server.crt": server.certificate,
            "server.key": server.key,
            "tokens.key": signing_key(),
        }
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        self._write_kubeconfig(self.kubeconfig, self._authority.client("admin", "system:masters"))

    def _write_kubeconfig(self, file: Path, client: Issued) -> None:
        certificate, key = _beside(file, "crt"), _beside(file, "key")
        certificate.write_bytes(client.certificate)
        key.write_bytes(client.key)
        cluster = {"server": self.url, "certificate-authority": str(self._folder / "ca.crt")}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "local", "user": user}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local", "namespace": "default"}}],
            "current-context": "local",
        }
        file.write_text(yaml.safe_dump(config))

    def _is_ready(self) -> bool:
        if any(process.poll() is not None for process in self._processes.values()):
            raise ControlPlaneFailed(f"a process ended at once:\n{self._log_tails()}")
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        context.load_cert_chain(_beside(self.kubeconfig, "crt"), _beside(self.kubeconfig, "key"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _log_tails(self) -> str:
        tails = []
        for log in sorted(self._folder.glob("*.log")):
            tails.append(f"{log.name}:")
            tails += log.read_text(errors="replace").splitlines()[-10:]
        return "\n".join(tails)


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}.{ending}")


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
