"""The pip that wheels are fetched with."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from firn_local.command import succeeds
from firn_local.errors import LocalError


def pip_command(cache: Path) -> list[str]:
    """Return how pip is run: by the environment that local/bootstrap made for uv, or by a Python that has it."""
    candidates = (
        str(cache / "uv/bin/python"),
        sys.executable,
        str(Path(sys.base_prefix, "bin/python3")),
        shutil.which("python3"),
    )
    for python in candidates:
        if python and Path(python).exists() and succeeds([python, "-m", "pip", "--version"], timeout_seconds=60):
            return [python, "-m", "pip"]
    raise LocalError("no Python with pip was found; install python3-pip")
