"""The operator as a process: its exit codes, its signals, its doors."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from firn_model import names
from firn_operator.kube.api import LEASES

from tests.operator.conftest import Account, eventually

COMMAND = str(Path(sys.executable).with_name("firn-operator"))


async def test_without_configuration_it_says_what_is_missing() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FIRN_")}
    process = await asyncio.create_subprocess_exec(COMMAND, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 2
    assert b"FIRN_NAMESPACE" in output


@pytest.mark.component
async def test_sigterm_ends_it_gracefully(account: Account, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(
        account.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    port = _free_port()
    environment = {
        **os.environ,
        "FIRN_NAMESPACE": account.api.namespace,
        "FIRN_SIGNING_KEY_FILE": str(key),
        "FIRN_POD_NAME": "operator-0",
        "FIRN_HEALTH_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(COMMAND, "run", env=environment, stdout=asyncio.subprocess.PIPE)
    await account.add_pool()
    await account.pool_ready(2)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 'firn_pool_nodes{pool="default",state="ready"} 2.0' in await answer.text()
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()

    async def released() -> bool:
        lease = await account.api.get(LEASES, names.LEASE_OPERATOR)
        return not lease["spec"].get("holderIdentity")

    await eventually(released)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
