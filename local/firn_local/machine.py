"""What this machine has, what it lacks, and getting that from Debian."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firn_local.command import run
from firn_local.errors import MissingRequirements
from firn_local.progress import Progress

CAP_SYS_RESOURCE = 24
"""The capability's number in capabilities(7)."""

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs of the system are, also for a user whose PATH leaves out the sbin folders."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about this machine."""

    is_root: bool
    has_apt: bool
    system: str
    architecture: str

    @classmethod
    def here(cls) -> Machine:
        """Look at this machine."""
        return cls(
            is_root=os.geteuid() == 0,
            has_apt=find_program("apt-get") is not None,
            system=platform.system(),
            architecture=platform.machine(),
        )

    @property
    def can_install(self) -> bool:
        """Tell whether missing packages can be had without asking anybody."""
        return self.is_root and self.has_apt


def find_program(name: str) -> Path | None:
    """Return where a program of the system is (or a file that is named by its whole path), or None."""
    if name.startswith("/"):
        return Path(name) if Path(name).exists() else None
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SEARCHED}")
    return Path(found) if found else None


def has_capability(number: int, status: str | None = None) -> bool:
    """Tell whether this process has a capability; ``status`` is the text of /proc/self/status."""
    text = Path("/proc/self/status").read_text() if status is None else status
    effective = next(line.split()[1] for line in text.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def missing_packages(programs: Sequence[str], packages: Mapping[str, str]) -> dict[str, str]:
    """Return the programs that are not there, with the Debian package that has each."""
    return {name: packages[name] for name in programs if find_program(name) is None}


def explain_missing(machine: Machine, missing: Mapping[str, str], extra: Sequence[str] = ()) -> list[str]:
    """Return one line for each thing that cannot be had here, saying how to get it; empty when all can."""
    lines = list(extra)
    if machine.system != "Linux" or machine.architecture != "x86_64":
        lines.append(f"Linux on x86_64 (this is {machine.system} on {machine.architecture})")
    if missing and not machine.can_install:
        how = "as root: apt-get install" if machine.has_apt else "from the Debian package"
        lines += [f"{program} ({how} {package})" for program, package in sorted(missing.items())]
    return lines


def install(missing: Mapping[str, str], progress: Progress, log: Path) -> None:
    """Install the packages of missing programs by apt-get; raise MissingRequirements for what is then still missing."""
    if not missing:
        return
    packages = sorted(set(missing.values()))
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"apt-get install {' '.join(packages)}", 40):
        run(["apt-get", "update", "-q"], env=quiet, log=log)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], env=quiet, log=log)
    still = [
        f"{program} (installing {package} did not bring it)"
        for program, package in missing.items()
        if find_program(program) is None
    ]
    if still:
        raise MissingRequirements(still)
