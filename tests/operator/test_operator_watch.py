"""The operator's own watch against a real API server: cut off, blind for a while, and behind a compaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from firn_model import names
from firn_operator.errors import UnavailableError
from firn_operator.kube.api import NODE_SELECTOR, PAGE, PODS, POOLS, KubeApi
from firn_operator.kube.follow import Followed
from firn_operator.observe.account import Account as Memory

from tests.operator.conftest import Account, Raw, eventually

pytestmark = pytest.mark.component
BEFORE_ALL = "1"


@dataclass
class Line:
    """The way to the API server, which a test can cut."""

    api: KubeApi
    memory: Memory
    followed: Followed
    port: int
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    is_cut: bool = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection's bytes to the API server and back."""
        task = asyncio.current_task()
        assert task
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        try:
            if self.is_cut:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
            finally:
                far_writer.close()
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            writer.close()

    async def cut(self) -> None:
        """End all connections, and let no new one through."""
        self.is_cut = True
        calls = list(self.calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def names(self) -> set[str]:
        """Return the names of the pods and pools that are known."""
        state = self.memory.state
        return {n.name for n in state.nodes.values()} | {p.name for p in state.pools.values()}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()


@asynccontextmanager
async def line_to(account: Account, resource: str = PODS) -> AsyncIterator[Line]:
    """Give a memory that follows a resource of the account over a line of its own."""
    api = await KubeApi.connect(account.api.namespace)
    settings = api._client.configuration
    memory = Memory("key")
    followed = Followed(api, memory, resource, NODE_SELECTOR if resource == PODS else "")
    line = Line(api, memory, followed, int(settings.host.rsplit(":", 1)[1]))
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    settings.host = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    following = asyncio.create_task(followed.follow())
    try:
        yield line
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await line.cut()
        server.close()
        await server.wait_closed()
        await api.close()


def _node(name: str, **labels: str) -> Raw:
    part_of = {names.LABEL_PART_OF: names.PART_OF, names.LABEL_COMPONENT: names.COMPONENT_NODE}
    container = {"name": "node", "image": "firn-node:test"}
    metadata = {"name": name, "labels": part_of | labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


async def _add(account: Account, name: str) -> Raw:
    return await account.api.create(PODS, _node(name, **{names.LABEL_STATE: names.STATE_WARM}))


async def _delete(account: Account, pod: Raw) -> None:
    await account.api.delete(PODS, pod["metadata"]["name"], pod["metadata"]["uid"], grace_seconds=0)


async def _known(line: Line, *expected: str) -> None:
    async def look() -> bool:
        return line.names() == set(expected)

    await eventually(look)


async def test_what_happens_is_followed(account: Account) -> None:
    async with line_to(account) as line:
        first = await _add(account, "one")
        await account.api.create(PODS, {**_node("other"), "metadata": {"name": "other"}})
        await _add(account, "two")
        await _known(line, "one", "two")
        await account.api.patch(PODS, "two", {"metadata": {"labels": {names.LABEL_STATE: names.STATE_CLAIMED}}})
        await _delete(account, first)
        await _known(line, "two")

        async def claimed() -> bool:
            two = line.memory.state.nodes.get("two")
            return two is not None and two.state == names.STATE_CLAIMED

        await eventually(claimed)


async def test_what_happened_while_the_line_was_cut_is_caught_up(account: Account) -> None:
    async with line_to(account) as line:
        first = await _add(account, "one")
        await _known(line, "one")
        listed: list[str] = []
        _note_lists(line, listed)
        await line.cut()
        await _delete(account, first)
        await _add(account, "two")
        line.is_cut = False
        await _known(line, "two")
        assert not listed


async def test_what_the_server_has_forgotten_is_listed_anew(account: Account) -> None:
    """It cannot tell from a version before it served the resource; what was deleted is found by the list."""
    async with line_to(account, POOLS) as line:
        await account.add_pool("one")
        await _known(line, "one")
        listed: list[str] = []
        _note_lists(line, listed)
        await line.cut()
        await account.api.delete(POOLS, "one", (await account.api.get(POOLS, "one"))["metadata"]["uid"])
        line.followed._version = BEFORE_ALL
        line.is_cut = False
        await _known(line)
        assert listed == [POOLS]
        await account.add_pool("two")
        await _known(line, "two")
        assert listed == [POOLS]


async def test_a_watch_says_that_it_was_cut(account: Account) -> None:
    async with line_to(account) as line:
        await _add(account, "one")
        await _known(line, "one")
        events = line.api.watch(PODS, line.followed._version, NODE_SELECTOR)
        waiting = asyncio.ensure_future(anext(events))
        await eventually(lambda: _carries(line, 2))
        await line.cut()
        with pytest.raises(UnavailableError, match="the watch broke"):
            await waiting


async def _carries(line: Line, connections: int) -> bool:
    return len(line.calls) >= connections


def _note_lists(line: Line, listed: list[str]) -> None:
    list_pages: Callable[..., AsyncIterator[Raw]] = line.api.list_pages

    def noted(resource: str, selector: str = "", size: int = PAGE) -> AsyncIterator[Raw]:
        listed.append(resource)
        return list_pages(resource, selector, size)

    line.api.list_pages = noted  # type: ignore[method-assign]
