"""Our own Docker daemon, apart from any other of the machine.

It has its own data root, exec root, socket, pid file, bridge, address range and containerd namespaces, all below the
state folder or named after it. Its containers outlive it (live restore), so a daemon that died is just started again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from firn_local.command import Command, run, succeeds
from firn_local.docker import Docker
from firn_local.errors import DaemonFailed
from firn_local.firewall import Before, allow_watchers, restore
from firn_local.layout import Layout
from firn_local.machine import CAP_SYS_RESOURCE, SEARCHED, find_program, has_capability
from firn_local.process import ProcessId, Record, start_detached

START_SECONDS = 60
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon of one state folder."""

    layout: Layout

    @property
    def folder(self) -> Path:
        """Everything the daemon writes."""
        return self.layout.state / "docker"

    @property
    def docker(self) -> Docker:
        """A client for this daemon."""
        program = find_program("docker")
        if program is None:
            raise DaemonFailed("the docker client is missing; install docker.io")
        return Docker(program, host=f"unix://{self.folder / 'docker.sock'}")

    @property
    def exists(self) -> bool:
        """Tell whether the daemon was started and not stopped since, be it alive or not."""
        return self._before_file.exists()

    @property
    def process(self) -> ProcessId | None:
        """The daemon's process when it runs."""
        return self._record.read()

    @property
    def bridges(self) -> tuple[str, str]:
        """Names of the default bridge and of the bridge of kind's network."""
        mark = hashlib.sha256(str(self.layout.state).encode()).hexdigest()[:6]
        return f"firn-{mark}", f"firnk-{mark}"

    def start(self) -> Docker:
        """Return a client for the daemon, which is started, or started again, when it does not answer."""
        docker = self.docker
        process = self.process
        if process is not None and docker.answers:
            allow_watchers()
            return docker
        if process is not None:
            process.end()
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self._prepare_network()
        allow_watchers()
        self._write_config(IPv4Network(before.address_range))
        (self.folder / "docker.pid").unlink(missing_ok=True)
        log = self.layout.logs / "dockerd.log"
        path = f"{os.environ.get('PATH', '')}:{SEARCHED}"
        command: Command = ["dockerd", "--config-file", self.folder / "daemon.json"]
        started = start_detached(command, self._record, log, {"PATH": path})
        deadline = time.monotonic() + START_SECONDS
        while not docker.answers:
            if not started.is_alive or time.monotonic() > deadline:
                started.end()
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise DaemonFailed(f"Docker's daemon did not start; the end of {log}:\n{tail}")
            time.sleep(0.1)
        return docker

    def ensure_kind_network(self) -> None:
        """Make kind's network with a range of our choice, so that a node can be given its old address again."""
        docker = self.docker
        if docker.run("network", "ls", "--quiet", "--filter", "name=^kind$").strip():
            return
        before = Before.read(self._before_file)
        if before is None:
            raise DaemonFailed("the daemon's record of the machine's settings is gone; run down, then up")
        subnets = list(IPv4Network(before.address_range).subnets(new_prefix=24))
        option = f"com.docker.network.bridge.name={self.bridges[1]}"
        docker.run("network", "create", "kind", "--driver", "bridge", "--subnet", str(subnets[1]), "--opt", option)

    def remove_containers(self) -> None:
        """Remove all containers and networks of the daemon."""
        docker = self.docker
        containers = docker.run("ps", "--all", "--quiet").split()
        if containers:
            docker.run("rm", "--force", "--volumes", *containers)
        docker.run("network", "prune", "--force")

    def stop(self) -> None:
        """End the daemon and take away its processes, mounts, bridges and rules. Its images stay on disk."""
        if not self.exists:
            return
        if (process := self.process) is not None:
            process.end()
        for orphan in self._orphans():
            orphan.end(patience_seconds=3)
        self._unmount()
        self._remove_cgroups()
        for bridge in self.bridges:
            if Path("/sys/class/net", bridge).exists():
                run(["ip", "link", "delete", bridge])
        if (before := Before.read(self._before_file)) is not None:
            restore(before, self.bridges)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)
        for leftover in (self.folder / "docker.sock", self.folder / "docker.pid"):
            leftover.unlink(missing_ok=True)
        self._record.clear()
        self._before_file.unlink(missing_ok=True)

    @property
    def _record(self) -> Record:
        return Record(self.folder / "dockerd.process")

    @property
    def _before_file(self) -> Path:
        return self.folder / "machine-before.json"

    def _prepare_network(self) -> Before:
        """Make the daemon's bridge; without one (first start, reboot) the machine is as it was before us."""
        bridge = self.bridges[0]
        before = Before.read(self._before_file)
        if before is None or not Path("/sys/class/net", bridge).exists():
            before = Before.take()
            before.write(self._before_file)
            run(["ip", "link", "add", "name", bridge, "type", "bridge"])
        first = next(IPv4Network(before.address_range).subnets(new_prefix=24))
        run(["ip", "address", "replace", f"{first[1]}/24", "dev", bridge])
        run(["ip", "link", "set", bridge, "up"])
        return before

    def _write_config(self, address_range: IPv4Network) -> None:
        mark = self.bridges[0]
        config: dict[str, object] = {
            "data-root": str(self.folder / "root"),
            "exec-root": str(self.folder / "exec"),
            "hosts": [f"unix://{self.folder / 'docker.sock'}"],
            "pidfile": str(self.folder / "docker.pid"),
            "bridge": self.bridges[0],
            "default-address-pools": [{"base": str(address_range), "size": 24}],
            "default-cgroupns-mode": "private",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{mark}",
            "containerd-namespace": mark,
            "containerd-plugins-namespace": f"{mark}-plugins",
            "live-restore": True,
        }
        if not has_capability(CAP_SYS_RESOURCE):
            wrapper = self.folder / "runc-without-sys-resource"
            shutil.copy(self.layout.local / "daemon" / wrapper.name, wrapper)
            config["runtimes"] = {"without-sys-resource": {"path": str(wrapper)}}
            config["default-runtime"] = "without-sys-resource"
        (self.folder / "daemon.json").write_text(json.dumps(config, indent=2))

    def _orphans(self) -> list[ProcessId]:
        """Return the processes that a dead daemon left: its containerd, the shims, their containers, proxies.

        They are found by the pid files below the exec root, or by that folder's name on their command line.
        """
        found = []
        mark = str(self.folder / "exec").encode()
        inits = {file.read_text().strip() for file in (self.folder / "exec").rglob("init.pid")}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if mark in command or entry.name in inits:
                process = ProcessId.of(int(entry.name))
                found += [process] if process else []
        return found

    def _unmount(self) -> None:
        mark = f"{self.folder}/"
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([point for point in points if point.startswith(mark)]):
            if not succeeds(["umount", point]):
                run(["umount", "--lazy", point])

    def _remove_cgroups(self) -> None:
        """Remove our containers' parent cgroup of each hierarchy, with what nodes left in it; no process is there."""
        for parent in [*CGROUPS.glob(self.bridges[0]), *CGROUPS.glob(f"*/{self.bridges[0]}")]:
            for folder, _, _ in os.walk(parent, topdown=False):
                Path(folder).rmdir()
