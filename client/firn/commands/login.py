"""`firn login`: get a fresh token."""

from firn.options import Options, grouped


@grouped
def login(*, options: Options) -> None:
    """Log in and keep the token. Other commands do it by themselves; this one shows whether it works."""
    from firn.connection import connect
    from firn.entry import execute
    from firn.status import Status

    async def work() -> None:
        status = Status()
        async with connect(options, status.notice) as client:
            reply = await client.sign_in()
        status.say(f"logged in until {reply.expires_at.astimezone():%Y-%m-%d %H:%M %Z}")

    execute(work())
