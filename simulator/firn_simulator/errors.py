"""What can go wrong before a simulation runs.

SimulatorError
└── WorkloadError    a workload file is not usable; it names the file, the line and the reason
"""


class SimulatorError(Exception):
    """Base of all errors of this package."""


class WorkloadError(SimulatorError):
    """A workload file is not usable. `line` counts from 1; None when the file as a whole is meant."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
