"""Fixtures: a server, and the `firn` command as a process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.client.fake_services import FakeServices

FIRN = str(Path(sys.prefix) / "bin" / "firn")


@pytest.fixture
async def services() -> AsyncIterator[FakeServices]:
    server = FakeServices()
    await server.start()
    yield server
    await server.stop()


@dataclass
class Done:
    code: int
    out: str
    err: str
    raw: bytes


@dataclass
class Command:
    """Runs `firn` with a home of its own and without the caller's settings."""

    home: Path
    environment: dict[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            FIRN,
            *arguments,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, stdin: str = "") -> Done:
        return await self.finish(await self.start(*arguments), stdin)

    async def finish(self, child: asyncio.subprocess.Process, stdin: str = "") -> Done:
        out, err = await asyncio.wait_for(child.communicate(stdin.encode()), 60)
        assert child.returncode is not None
        return Done(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"), out)


@pytest.fixture
def firn(tmp_path: Path, services: FakeServices) -> Command:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FIRN_", "XDG_"))}
    environment |= {
        "HOME": str(tmp_path),
        "FIRN_URL": services.url,
        "FIRN_PASSWORD": services.account.password,
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    return Command(tmp_path, environment)
