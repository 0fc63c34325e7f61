"""python -m firn_local."""

from firn_local.cli import app

app(prog_name="python -m firn_local")
