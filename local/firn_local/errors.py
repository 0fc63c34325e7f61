"""What can go wrong when a local cluster is made.

LocalError
├── MissingRequirements   the machine lacks things; all of them are named together
├── CommandFailed         a program ended with a failure; carries its last lines
├── StepFailed            a step of a build failed; names the step
├── DaemonFailed          our Docker daemon did not start or stop
├── ClusterFailed         the kind cluster is not as it should be
└── ControlPlaneFailed    the API server or etcd of a component test did not start
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class LocalError(Exception):
    """Base of all errors of this package; its text is meant for the person at the terminal."""


class MissingRequirements(LocalError):
    """The machine lacks something that we cannot get for it.

    ``missing`` holds one line for each thing, saying what it is and how to get it.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        lines = "\n".join(f"  - {line}" for line in self.missing)
        super().__init__(f"this machine lacks what a local cluster needs:\n{lines}")


class CommandFailed(LocalError):
    """A program ended with an exit status other than 0, or ran out of time."""

    def __init__(self, command: Sequence[str], outcome: str, output: str, log: Path | None = None) -> None:
        self.command = tuple(command)
        self.outcome = outcome
        self.output = output
        shown = "\n".join(f"  | {line}" for line in output.strip().splitlines()[-25:])
        where = f"\n  whole output: {log}" if log else ""
        super().__init__(f"{' '.join(command)[:300]}: {outcome}\n{shown}{where}")


class StepFailed(LocalError):
    """A step of a build failed."""

    def __init__(self, step: str, reason: LocalError) -> None:
        super().__init__(f"{step}: {reason}")


class DaemonFailed(LocalError):
    """Our Docker daemon did not start or stop."""


class ClusterFailed(LocalError):
    """The kind cluster is not as it should be."""


class ControlPlaneFailed(LocalError):
    """An API server or etcd for component tests did not start."""
