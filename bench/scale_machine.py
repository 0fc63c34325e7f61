"""The processes of `make bench-scale`: started, watched for their share of the cores and their memory, and ended."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
COLLECT_AFTER = 50_000, 50, 100
"""New objects, and rounds, between collections of garbage in a stand-in, which would hold up what it stands in for."""


def collect_seldom() -> None:
    """Have this process collect garbage less often."""
    gc.set_threshold(*COLLECT_AFTER)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int) -> tuple[float, float]:
    """Return a process's resident memory now and at its most, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {name: int(value.split()[0]) for name, value in (li.split(":", 1) for li in lines if li.startswith("Vm"))}
    return kib["VmRSS"] / 1024, kib["VmHWM"] / 1024


def machine_busy_seconds() -> float:
    """Return the processor time that all processes of the machine have used since boot; waiting for disks is none."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (
        int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


@dataclass(slots=True)
class CoreShares:
    """How much of a core each process used since this was made; `others`: what is none of ours."""

    pids: Mapping[str, int]
    began_at: float = field(default_factory=time.monotonic)
    before: dict[str, float] = field(default_factory=dict)
    busy_before: float = field(default_factory=machine_busy_seconds)

    def __post_init__(self) -> None:
        """Note what was used before."""
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def read(self) -> dict[str, float]:
        """Return the shares, 1.0 being one core."""
        seconds = time.monotonic() - self.began_at
        used = {name: cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}
        others = machine_busy_seconds() - self.busy_before - sum(used.values())
        return {name: round(value / seconds, 3) for name, value in (used | {"others": max(0.0, others)}).items()}


class Children:
    """Processes that end with this one."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._running.items()}

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a process; its output goes into a file."""
        with (self._logs / f"{name}.log").open("ab") as log:
            argv = ["setpriv", "--pdeathsig", "KILL", *command]
            self._running[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def stop(self, *names: str) -> None:
        """End these processes, or all of them."""
        for name in names or tuple(self._running):
            process = self._running.pop(name)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def check(self) -> None:
        """Raise SystemExit, with the end of its output, if one has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = (self._logs / f"{name}.log").read_text(errors="replace")
                raise SystemExit(f"{name} ended with {process.returncode}:\n{log[-3000:]}")


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    return str(Path(sys.executable).with_name(name))
