"""A Docker client aimed at one daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from firn_local.command import Command, run, succeeds
from firn_local.errors import CommandFailed
from firn_local.machine import find_program


@dataclass(frozen=True, slots=True)
class Docker:
    """The client and the daemon it talks to. ``host`` is None for the daemon that the environment names."""

    program: Path
    host: str | None

    @property
    def is_ours(self) -> bool:
        """Tell whether the daemon is the one that this package starts."""
        return self.host is not None

    @property
    def environment(self) -> Mapping[str, str]:
        """What kind and other programs need in their environment to reach the same daemon."""
        if self.host is None:
            return {}
        # BuildKit has an executor of its own that knows nothing of the daemon's default runtime.
        return {"DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0", "DOCKER_CONTEXT": ""}

    def run(
        self,
        *arguments: str | Path,
        stdin: IO[bytes] | None = None,
        log: Path | None = None,
        timeout_seconds: float | None = None,
    ) -> str:
        """Run a docker command; see firn_local.command.run."""
        command: Command = [self.program, *arguments]
        return run(command, env=self.environment, stdin=stdin, log=log, timeout_seconds=timeout_seconds)

    @property
    def answers(self) -> bool:
        """Tell whether the daemon answers within some seconds."""
        command: Command = [self.program, "version", "--format", "{{.Server.Version}}"]
        return succeeds(command, env=self.environment, timeout_seconds=10)

    def has_image(self, name: str) -> bool:
        """Tell whether the daemon holds an image."""
        return bool(self.run("images", "--quiet", name).strip())

    def labels(self, image: str) -> dict[str, str]:
        """Return an image's labels; empty when there is no such image."""
        try:
            text = self.run("image", "inspect", "--format", "{{json .Config.Labels}}", image)
        except CommandFailed:
            return {}
        return json.loads(text) or {}

    def pull(self, image: str) -> bool:
        """Try to get an image from where the daemon gets images; tell whether it is there now."""
        return succeeds([self.program, "pull", "--quiet", image], env=self.environment, timeout_seconds=900)

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        """Return what the daemon knows of containers."""
        if not containers:
            return []
        found: list[dict[str, Any]] = json.loads(self.run("container", "inspect", *containers))
        return found


def find_docker() -> Docker | None:
    """Return a client whose daemon, the one the environment names, answers; None when there is none."""
    program = find_program("docker")
    if program is None:
        return None
    docker = Docker(program, host=None)
    return docker if docker.answers else None
