"""Pieces of work that depend on each other, done side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from firn_local.errors import LocalError, StepFailed
from firn_local.progress import Progress


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work; it starts when all that it ``needs`` is done. ``seconds``: how long it takes, roughly."""

    name: str
    work: Callable[[], object]
    needs: tuple[str, ...] = ()
    seconds: int = 1


def order(steps: Sequence[Step], done: set[str], started: set[str]) -> list[Step]:
    """Return the steps that can start now, those with the most work behind them first."""
    by_name = {step.name: step for step in steps}

    def behind(step: Step) -> int:
        followers = [other for other in by_name.values() if step.name in other.needs]
        return step.seconds + max((behind(other) for other in followers), default=0)

    ready = [step for step in steps if step.name not in started and set(step.needs) & set(by_name) <= done]
    return sorted(ready, key=lambda step: (-behind(step), step.name))


def run_steps(steps: Sequence[Step], progress: Progress, workers: int | None = None) -> None:
    """Do all steps, at most ``workers`` (default: the number of cores) at once.

    After a failure nothing more is started; what runs is waited for, and StepFailed is raised.
    """
    limit = workers or max(1, os.cpu_count() or 1)
    done: set[str] = set()
    started: set[str] = set()
    running: dict[Future[None], Step] = {}
    failure: StepFailed | None = None
    with ThreadPoolExecutor(max_workers=limit) as pool:
        while True:
            while failure is None and len(running) < limit and (ready := order(steps, done, started)):
                started.add(ready[0].name)
                running[pool.submit(_work, ready[0], progress)] = ready[0]
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                error = future.exception()
                if isinstance(error, LocalError):
                    failure = failure or StepFailed(step.name, error)
                elif error is not None:
                    raise error
                else:
                    done.add(step.name)
    if failure is not None:
        raise failure


def _work(step: Step, progress: Progress) -> None:
    with progress.step(step.name, step.seconds):
        step.work()
