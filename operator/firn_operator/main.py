"""The command `firn-operator`: `run` (the default) and `uninstall`."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys

import structlog
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.signing import load_private_key
from pydantic import ValidationError

from firn_operator import life
from firn_operator.config import Settings
from firn_operator.errors import ApiError, ConfigurationError, LostLeaseError
from firn_operator.kube.api import KubeApi
from firn_operator.uninstall import uninstall

EXIT_CONFIGURATION = 2
EXIT_LOST_LEASE = 3
COLLECT_AFTER = 20_000, 20, 50
"""New objects, and rounds, between collections of garbage: one of 10,000 known nodes takes a tenth of a second."""
log = structlog.get_logger()


def set_up_logs(level: str) -> None:
    """Log JSON lines to standard output."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stdout, format='{"level": "%(levelname)s", "event": "%(message)s"}'
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


def read_settings() -> Settings:
    """Return the settings of the environment. Raises ConfigurationError."""
    try:
        return Settings()  # type: ignore[call-arg]  # the namespace comes from the environment
    except ValidationError as error:
        raise ConfigurationError(f"the environment is not complete (FIRN_NAMESPACE?): {error}") from error


def read_key(settings: Settings) -> Ed25519PrivateKey:
    """Return the signing key. Raises ConfigurationError."""
    try:
        return load_private_key(settings.signing_key_file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no signing key in {settings.signing_key_file}: {error}; mount the Secret firn-signing there"
        ) from error


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await life.run(settings, read_key(settings), stop)


async def _uninstall(settings: Settings) -> None:
    api = await KubeApi.connect(settings.namespace)
    try:
        await uninstall(settings, api)
    finally:
        await api.close()


def main() -> None:
    """Run the command of the arguments; the exit code tells configuration (2) from a lost Lease (3)."""
    parser = argparse.ArgumentParser(prog="firn-operator", description="The operator of one Firn account.")
    parser.add_argument("command", nargs="?", choices=("run", "uninstall"), default="run")
    command = parser.parse_args().command
    set_up_logs(os.environ.get("FIRN_LOG_LEVEL", "INFO"))
    try:
        settings = read_settings()
        gc.set_threshold(*COLLECT_AFTER)
        uvloop.run(_run(settings) if command == "run" else _uninstall(settings))
    except ConfigurationError as error:
        log.critical("cannot start", error=str(error))
        sys.exit(EXIT_CONFIGURATION)
    except LostLeaseError as error:
        log.critical("lost the lease", error=str(error))
        sys.exit(EXIT_LOST_LEASE)
    except ApiError as error:
        log.critical("the API server refused", error=str(error))
        sys.exit(1)
