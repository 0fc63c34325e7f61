"""`firn-services`: the cloud services of one account."""

import logging
import sys

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from firn_services.config import Settings
from firn_services.doors.app import make_app
from firn_services.kube.api import KubeApi
from firn_services.services import Services

SHUTDOWN_SECONDS = 10
EXIT_CONFIGURATION = 2
log = structlog.get_logger()


def main() -> None:
    """Serve until a signal ends it; what runs or waits then goes on at the next start. Exit 2: misconfigured."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # required ones come from the environment
    except ValidationError as error:
        log.critical("cannot start: set these environment variables right", names=_named(error))
        sys.exit(EXIT_CONFIGURATION)
    configure_logs(settings.log_level)
    uvloop.run(serve(settings))


def _named(error: ValidationError) -> list[str]:
    """Return the variables that are wrong or missing; their values may be secret."""
    return ["FIRN_" + str(problem["loc"][0]).upper() for problem in error.errors(include_input=False)]


async def serve(settings: Settings) -> None:
    """Serve one account."""
    api = await KubeApi.connect(settings.namespace)
    app = make_app(Services.assemble(settings, api))
    await uvicorn.Server(http_config(app, settings)).serve()


def http_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the doors are served: nothing that a request does not need."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="none",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=75,
    )


def configure_logs(level: str) -> None:
    """Log JSON lines."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
