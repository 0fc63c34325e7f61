"""Running a program to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from firn_local.errors import CommandFailed


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | IO[bytes] | None = None,
    log: Path | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a program and return what it printed; raise CommandFailed with its last lines when it fails.

    ``env`` is added to this process's environment. With ``log`` both streams are appended to that file and the
    result is empty; without it, standard error is only used for the error.
    """
    argv = [str(part) for part in command]
    environment = {**os.environ, **env} if env else None
    data = stdin.encode() if isinstance(stdin, str) else None
    source = None if isinstance(stdin, str) or stdin is None else stdin
    try:
        if log is not None:
            return _run_logged(argv, environment, cwd, data, source, log, timeout_seconds)
        done = subprocess.run(
            argv,
            env=environment,
            cwd=cwd,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            **_stdin(data, source),
        )
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(argv, f"not done after {timeout_seconds:.0f} s", "", log) from late
    except OSError as error:
        raise CommandFailed(argv, error.strerror or "cannot be started", "", log) from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise CommandFailed(argv, _outcome(done.returncode), output)
    return done.stdout.decode(errors="replace")


def succeeds(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> bool:
    """Tell whether a program can be run and ends well."""
    try:
        run(command, env=env, timeout_seconds=timeout_seconds)
    except CommandFailed:
        return False
    return True


def _run_logged(
    argv: list[str],
    environment: dict[str, str] | None,
    cwd: Path | None,
    data: bytes | None,
    source: IO[bytes] | None,
    log: Path,
    timeout_seconds: float | None,
) -> str:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"$ {' '.join(argv)}\n".encode())
        stream.flush()
        start = stream.tell()
        code = subprocess.run(
            argv,
            env=environment,
            cwd=cwd,
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=timeout_seconds,
            check=False,
            **_stdin(data, source),
        ).returncode
    if code != 0:
        with log.open("rb") as stream:
            stream.seek(start)
            raise CommandFailed(argv, _outcome(code), stream.read().decode(errors="replace"), log)
    return ""


def _stdin(data: bytes | None, source: IO[bytes] | None) -> dict[str, object]:
    if data is not None:
        return {"input": data}
    return {"stdin": source if source is not None else subprocess.DEVNULL}


def _outcome(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"exit status {code}"
