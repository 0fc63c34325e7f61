"""Our own port-forward: `kubectl port-forward` as a child process, on a free local port."""

import asyncio
import contextlib
import ctypes
import re
import signal
import sys

from firn import kubectl
from firn.errors import ServicesNotFound, Unreachable

LISTENING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
START_SECONDS = 20.0
PR_SET_PDEATHSIG = 1


class PortForward:
    """A way to a Service through the API server; opened when first needed and again when it has died.

    The child is in a session of its own, so that Ctrl-C reaches only us, and ends with this process even when that is
    killed (on Linux, by the kernel).
    """

    def __init__(self, namespace: str, service: str = kubectl.SERVICE, port: int = 80) -> None:
        self._namespace = namespace
        self._service = service
        self._port = port
        self._child: asyncio.subprocess.Process | None = None
        self._url = ""
        self._drains: tuple[asyncio.Task[None], ...] = ()
        self._opening = asyncio.Lock()
        self._said = ""

    async def url(self) -> str:
        """Return the local URL. Raises ServicesNotFound, or Unreachable when it may work later."""
        async with self._opening:
            if self._child is None or self._child.returncode is not None:
                await self._reap()
                await self._open()
            return self._url

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.pid if self._child is not None else None

    async def close(self) -> None:
        """End the child."""
        await self._reap()

    async def _open(self) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                "kubectl",
                "port-forward",
                "--namespace",
                self._namespace,
                "--address",
                "127.0.0.1",
                f"service/{self._service}",
                f":{self._port}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        except FileNotFoundError as error:
            raise ServicesNotFound(
                "there is no kubectl on PATH to find the services with", kubectl.NO_KUBECTL
            ) from error
        self._child = child
        self._said = ""
        words = asyncio.create_task(self._listen(child))
        try:
            async with asyncio.timeout(START_SECONDS):
                self._url = await self._first_port(child)
        except TimeoutError as error:
            await self._reap()
            raise Unreachable(f"kubectl port-forward did not start within {START_SECONDS:.0f} s") from error
        except EOFError as error:
            await words
            await self._reap()
            raise kubectl.explain(self._said, self._namespace) from error
        self._drains = (words, asyncio.create_task(_drain(child)))

    async def _first_port(self, child: asyncio.subprocess.Process) -> str:
        assert child.stdout is not None  # noqa: S101  asked for with PIPE
        while line := await child.stdout.readline():
            if found := LISTENING.search(line.decode(errors="replace")):
                return f"http://127.0.0.1:{found.group(1)}"
        raise EOFError

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Keep the child's last words; when it loses its pod, end it, for it would accept connections in vain."""
        assert child.stderr is not None  # noqa: S101  asked for with PIPE
        while line := await child.stderr.readline():
            self._said = line.decode(errors="replace")
            if "lost connection to pod" in self._said or "error forwarding port" in self._said:
                _terminate(child)

    async def _reap(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            _terminate(child)
            await child.wait()
        drains, self._drains = self._drains, ()
        await asyncio.gather(*drains)


def _terminate(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()


async def _drain(child: asyncio.subprocess.Process) -> None:
    """Read what the child goes on to say, so that it never blocks."""
    assert child.stdout is not None  # noqa: S101  asked for with PIPE
    while await child.stdout.readline():
        pass


def _end_with_parent() -> None:
    """In the child, before it becomes kubectl: ask the kernel for SIGTERM when the parent is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
