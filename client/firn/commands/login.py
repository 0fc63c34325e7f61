"""`firn login`: get a fresh token."""

from firn.options import Namespace, PasswordFile, Url, User


def login(url: Url = None, namespace: Namespace = None, user: User = None, password_file: PasswordFile = None) -> None:
    """Log in and keep the token. Other commands do it by themselves; this one shows whether it works."""
    from firn.connection import Options, connect
    from firn.entry import execute
    from firn.status import Status

    async def work() -> None:
        status = Status()
        async with connect(Options(url, namespace, user, password_file), status.notice) as client:
            reply = await client.sign_in()
        status.say(f"logged in until {reply.expires_at.astimezone():%Y-%m-%d %H:%M %Z}")

    execute(work())
