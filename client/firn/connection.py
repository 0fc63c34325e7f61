"""From what the command line says to a Client."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from firn import kubectl
from firn.client import Client
from firn.endpoint import Endpoint, FixedEndpoint
from firn.errors import LoginRefused, ServicesNotFound, UsageError
from firn.forward import PortForward
from firn.login import PasswordLogin, TokenCache, known_password
from firn.options import Options
from firn.patience import Patience

GIVE_ONE = "Give --password-file, or FIRN_PASSWORD in the environment."


@asynccontextmanager
async def connect(options: Options, notice: Callable[[str | None], None] | None = None) -> AsyncIterator[Client]:
    """Give a client; its port-forward, if it needs one, ends with the block."""
    endpoint: Endpoint
    if options.url:
        target = None
        if not options.url.startswith(("http://", "https://")):
            raise UsageError(f"--url {options.url!r} is not a URL", "Write it as http://host:port.")
        endpoint, account = FixedEndpoint(options.url), options.url.rstrip("/")
    else:
        target = await kubectl.current_target(options.namespace)
        endpoint, account = PortForward(target.namespace), target.account
    login = PasswordLogin(
        user=options.user or kubectl.ADMIN_USER,
        password=_password_source(options, target),
        account=account,
        cache=TokenCache.default(),
    )
    async with Client(endpoint, login, Patience(notice)) as client:
        yield client


def _password_source(options: Options, target: kubectl.Target | None) -> Callable[[], Awaitable[str]]:
    """Return where the password comes from: the file, the environment, or the cluster's Secret."""
    if options.password_file is not None:
        return known_password(_first_line(options.password_file))
    if password := os.environ.get("FIRN_PASSWORD"):
        return known_password(password)

    async def from_cluster() -> str:
        if options.user not in (None, kubectl.ADMIN_USER):
            raise LoginRefused(f"no password for user {options.user!r}", GIVE_ONE)
        try:
            place = target or await kubectl.current_target(options.namespace)
        except ServicesNotFound as error:
            raise LoginRefused("no password is given, and no cluster to find one in", GIVE_ONE) from error
        return await kubectl.admin_password(place)

    return from_cluster


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the password file {path}: {error}") from error
    if not lines or not lines[0]:
        raise UsageError(f"the password file {path} is empty")
    return lines[0]
