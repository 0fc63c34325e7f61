"""The Python client of Firn, and the `firn` command.

from firn.client import Client
from firn.login import PasswordLogin, known_password
from firn_model.api import SubmitRequest

async with Client("http://127.0.0.1:30080", PasswordLogin("admin", known_password("…"))) as client:
    reply = await client.run(SubmitRequest(sql="SELECT 1", warehouse="DEMO"))
    table = await client.arrow(reply.id)
"""
