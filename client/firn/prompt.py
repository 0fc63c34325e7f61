"""The interactive prompt of `firn sql`."""

import os
import sys
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from firn import lists
from firn.client import Client
from firn.connection import connect
from firn.entry import error_text
from firn.errors import FirnError, Interrupted
from firn.options import Options
from firn.output import Format
from firn.run import Runner, check_destination, stdout_width, until_interrupted
from firn.session import Session
from firn.split import is_complete, split
from firn.status import Status

HELP = r"""A statement ends with ;  and may take several lines. Ctrl-C cancels it; Ctrl-D or \q ends.
  USE WAREHOUSE name;  USE DATABASE name;  USE SCHEMA database.schema;
  \w  warehouses    \d  tables    \s  latest statements    \?  this help    \q  end"""
QUIT = frozenset({r"\q", "quit", "exit", "quit;", "exit;"})


async def ask(options: Options, session: Session, form: Format, status: Status) -> None:
    """Ask for statements and run them until the person ends it; errors are told and do not end it."""
    check_destination(form, sys.stdout, 1)
    async with connect(options, status.notice) as client:
        status.say(await _greeting(client, session))
        runner = Runner(client, session, form, status, sys.stdout)
        prompt: PromptSession[str] = PromptSession(history=FileHistory(str(_history())), key_bindings=_keys())
        while True:
            try:
                text = await prompt.prompt_async(
                    f"{runner.session}> ", multiline=True, prompt_continuation=_continuation, handle_sigint=True
                )
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text.strip() in QUIT:
                return
            await _answer(runner, text)


async def _answer(runner: Runner, text: str) -> None:
    """Run one input, telling what goes wrong."""
    runner.width = stdout_width()
    try:
        if text.strip().startswith("\\"):
            await _command(runner, text.strip())
        else:
            await until_interrupted(runner.run_all(split(text)))
    except Interrupted:
        runner.status.say("cancelled", always=True)
    except FirnError as error:
        sys.stderr.write(error_text(error) + "\n")


async def _command(runner: Runner, word: str) -> None:
    if word == r"\w":
        lists.warehouses(await runner.client.warehouses()).write(sys.stdout, "table")
    elif word == r"\d":
        lists.tables(await runner.client.tables()).write(sys.stdout, "table")
    elif word == r"\s":
        lists.statements(await runner.client.statements()).write(sys.stdout, "table")
    else:
        sys.stderr.write((HELP if word == r"\?" else rf"{word}: no such command; \? tells which there are") + "\n")


async def _greeting(client: Client, session: Session) -> str:
    warehouses = await client.warehouses()
    if session.warehouse is None:
        names = ", ".join(warehouse.name for warehouse in warehouses) or "none yet: firn warehouse create NAME"
        return rf"Warehouses: {names}. USE WAREHOUSE name; chooses one. \? helps, \q ends."
    state = next((w.state for w in warehouses if w.name == session.warehouse), None)
    words = f"is {state}" if state else "does not exist"
    return rf"Warehouse {session.warehouse} {words}. \? helps, \q ends."


def _keys() -> KeyBindings:
    """Return the bindings: Enter sends what is complete, and else starts a new line."""
    keys = KeyBindings()

    @Condition
    def finished() -> bool:
        text = get_app().current_buffer.text
        return not text.strip() or text.lstrip().startswith("\\") or text.strip() in QUIT or is_complete(text)

    @keys.add("enter", filter=finished)
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys


def _continuation(width: int, _line: int, _wrapped: int) -> str:
    return "… ".rjust(width)


def _history() -> Path:
    """Return the history's file, made with mode 0600."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    path = Path(home) / "firn" / "history"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    return path
