"""Writing a query's rows from inside the engine: a writer for each partition of its plan, side by side."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pyarrow as pa
from firn_model.messages import ObjectStoreAccess
from firn_model.writes import WriteTarget, WrittenFile

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.writes import PartitionWriter, write_partition


async def write_streams(
    streams: list[AsyncIterator[pa.RecordBatch]], target: WriteTarget, access: ObjectStoreAccess, cache: FileCache
) -> tuple[WrittenFile, ...]:
    """Write all partitions; what is small in each goes into one file. Raises StatementFailedError, or is cancelled.

    What fails or is cancelled leaves no file.
    """
    writers = [PartitionWriter(target, access, f"{i:03}", cache) for i in range(len(streams))]
    done = False
    try:
        async with asyncio.TaskGroup() as group:
            for stream, writer in zip(streams, writers, strict=True):
                group.create_task(_drain(stream, writer))
        files = await asyncio.to_thread(_finish, writers, target, access, cache)
        done = True
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        if not done:
            await asyncio.shield(asyncio.gather(*(asyncio.to_thread(writer.abort) for writer in writers)))
    return files


async def _drain(stream: AsyncIterator[pa.RecordBatch], writer: PartitionWriter) -> None:
    async for batch in stream:
        await asyncio.to_thread(writer.add, batch)


def _finish(
    writers: list[PartitionWriter], target: WriteTarget, access: ObjectStoreAccess, cache: FileCache
) -> tuple[WrittenFile, ...]:
    """End all files. Rows of partitions too small for a file of their own share one."""
    small = [] if target.single else list(itertools.chain.from_iterable(w.take_small() for w in writers))
    own = itertools.chain.from_iterable(writer.finish() for writer in writers)
    return (*own, *(write_partition(small, target, access, "rest", cache) if small else ()))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
