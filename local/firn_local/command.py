"""Running a program to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from firn_local.errors import CommandFailed

Command = Sequence[str | Path]


def run(
    command: Command,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: IO[bytes] | None = None,
    log: Path | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a program and return what it printed; raise CommandFailed with its last lines when it fails.

    ``env`` is added to this process's environment. With ``log`` both streams are appended to that file and the
    result is empty; without it, standard error is only used for the error.
    """
    argv = [str(part) for part in command]
    try:
        if log is None:
            return _finish(argv, env, cwd, stdin, subprocess.PIPE, subprocess.PIPE, timeout_seconds)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            stream.write(f"$ {' '.join(argv)}\n".encode())
            stream.flush()
            start = stream.tell()
            return _finish(argv, env, cwd, stdin, stream, subprocess.STDOUT, timeout_seconds)
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(argv, f"not done after {timeout_seconds:.0f} s", "", log) from late
    except OSError as error:
        raise CommandFailed(argv, error.strerror or "cannot be started", "", log) from error
    except CommandFailed as failure:
        if log is None:
            raise
        with log.open("rb") as stream:
            stream.seek(start)
            output = stream.read().decode(errors="replace")
        raise CommandFailed(argv, failure.outcome, output, log) from None


def succeeds(command: Command, *, env: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> bool:
    """Tell whether a program can be run and ends well."""
    try:
        run(command, env=env, timeout_seconds=timeout_seconds)
    except CommandFailed:
        return False
    return True


def _finish(
    argv: list[str],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: IO[bytes] | None,
    stdout: int | IO[bytes],
    stderr: int,
    timeout_seconds: float | None,
) -> str:
    done = subprocess.run(
        argv,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        stderr=stderr,
        timeout=timeout_seconds,
        check=False,
    )
    if done.returncode != 0:
        outcome = f"exit status {done.returncode}" if done.returncode > 0 else f"ended by signal {-done.returncode}"
        raise CommandFailed(argv, outcome, ((done.stdout or b"") + (done.stderr or b"")).decode(errors="replace"))
    return (done.stdout or b"").decode(errors="replace")
