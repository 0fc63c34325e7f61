"""Writing a query's rows from inside the engine: a writer for each partition of its plan, side by side."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pyarrow as pa
from firn_model.messages import ObjectStoreAccess
from firn_model.writes import WriteTarget, WrittenFile

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.writing.writes import Home, PartitionWriter, write_partition


async def write_streams(
    streams: list[AsyncIterator[pa.RecordBatch]],
    target: WriteTarget,
    access: ObjectStoreAccess,
    cache: FileCache,
    home: Home | None = None,
) -> tuple[WrittenFile, ...]:
    """Write all partitions; what is small in each goes into one file. Raises StatementFailedError, or is cancelled.

    What fails or is cancelled leaves no file.
    """
    writers = [PartitionWriter(target, access, f"{i:03}", cache, home) for i in range(len(streams))]
    async with _written(streams, writers):
        return await asyncio.to_thread(_finish, writers, target, access, cache, home)


async def write_large(
    streams: list[AsyncIterator[pa.RecordBatch]],
    target: WriteTarget,
    access: ObjectStoreAccess,
    cache: FileCache,
    home: Home | None,
    give_out: Callable[[int, list[pa.RecordBatch]], Awaitable[None]],
) -> tuple[WrittenFile, ...]:
    """Write all partitions that are large enough for files of their own, and give the others' rows out, by number.

    Raises StatementFailedError and what `give_out` raises, or is cancelled. What fails or is cancelled leaves no file.
    """
    writers = [PartitionWriter(target, access, f"{i:03}", cache, home) for i in range(len(streams))]
    async with _written(streams, writers):
        for number, writer in enumerate(writers):
            if small := await asyncio.to_thread(writer.take_small):
                await give_out(number, small)
        files = [await asyncio.to_thread(writer.finish) for writer in writers]
        return tuple(itertools.chain.from_iterable(files))


@contextlib.asynccontextmanager
async def _written(streams: list[AsyncIterator[pa.RecordBatch]], writers: list[PartitionWriter]) -> AsyncIterator[None]:
    """Give all rows to the writers; delete what they wrote unless all ends well."""
    done = False
    try:
        async with asyncio.TaskGroup() as group:
            for stream, writer in zip(streams, writers, strict=True):
                group.create_task(_drain(stream, writer))
        yield
        done = True
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        if not done:
            await asyncio.shield(asyncio.gather(*(asyncio.to_thread(writer.abort) for writer in writers)))


async def _drain(stream: AsyncIterator[pa.RecordBatch], writer: PartitionWriter) -> None:
    async for batch in stream:
        await asyncio.to_thread(writer.add, batch)


def _finish(
    writers: list[PartitionWriter],
    target: WriteTarget,
    access: ObjectStoreAccess,
    cache: FileCache,
    home: Home | None,
) -> tuple[WrittenFile, ...]:
    """End all files. Rows of partitions too small for a file of their own share one."""
    small = [] if target.single else list(itertools.chain.from_iterable(w.take_small() for w in writers))
    own = itertools.chain.from_iterable(writer.finish() for writer in writers)
    return (*own, *(write_partition(small, target, access, "rest", cache, home) if small else ()))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
