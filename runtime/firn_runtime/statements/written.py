"""The files of one plan of a statement that several nodes write: which of them count, and which are deleted again.

Each run of a task writes under a name of its own. What the result's task reads says which run of each task counts: the
rows too few for a file of their own are in its pieces, all others in its files. So each row is in one file that counts,
whatever runs are lost, doubled or repeated; all other files are deleted, as far as the object store answers.
"""

from collections.abc import Iterable

from firn_model.messages import Dispatch
from firn_model.profile import ExchangeKind
from firn_model.writes import WriteTarget, WrittenFile

from firn_runtime.engine.tasks import PlannedStage


class WrittenFiles:
    """What runs have written."""

    def __init__(self, dispatch: Dispatch, number: int) -> None:
        """Begin the plan of this number, of one dispatch."""
        self._target = dispatch.write
        self._number = number
        self._by_run: dict[int, tuple[WrittenFile, ...]] = {}
        self._counting: frozenset[int] = frozenset()

    def target(self, stage: PlannedStage, name: str) -> WriteTarget | None:
        """Return where a run, which has a name of its own, writes; None when it writes nothing."""
        if self._target is None or not (stage.writes or stage.exchange is ExchangeKind.RESULT):
            return None
        return self._target.model_copy(update={"name": f"{self._target.name}-{self._number}.{name}"})

    def note(self, run: int, files: tuple[WrittenFile, ...]) -> None:
        """Note what a run has written that has ended well."""
        self._by_run[run] = files

    def choose(self, runs: Iterable[int]) -> None:
        """Say whose files count from now on."""
        self._counting = frozenset(runs)

    def of_all(self, result: int) -> tuple[WrittenFile, ...]:
        """Return the files that count when the result's run has ended well, and count it too."""
        self._counting |= {result}
        return tuple(file for run in sorted(self._counting) for file in self._by_run.get(run, ()))

    def left(self, has_succeeded: bool) -> tuple[str, ...]:
        """Return the addresses of the files that do not count in the end."""
        counting = self._counting if has_succeeded else frozenset()
        return tuple(file.uri for run, files in self._by_run.items() if run not in counting for file in files)
