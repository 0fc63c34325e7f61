"""What is verified: suites of statements, on clusters of several sizes, under what happens to them.

A case is one suite's statement under one condition. All pairs of a size and a condition are in the matrix; the short
part that `make test` runs takes statements by turns, so that each is run once, and each size meets each condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

NODES = (1, 2, 3, 8)


class Condition(StrEnum):
    """What happens while a statement runs."""

    WARM = "warm"
    """It has just run on these nodes, which was its cold run."""
    COLD = "cold"
    """No cache has anything of its files."""
    SPILLING = "spilling"
    """The exchange keeps next to nothing in memory."""
    KILLED = "killed"
    """A node is lost in its middle."""
    STEALING = "stealing"
    """One node is home of all files, and the others take its tasks."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A cluster and what happens to it."""

    nodes: int
    condition: Condition

    @property
    def is_possible(self) -> bool:
        """Whether there is a node to lose, to steal from, or to exchange with."""
        return self.nodes > 1 or self.condition in (Condition.COLD, Condition.WARM)

    @property
    def runs(self) -> tuple["Setting", ...]:
        """The runs of a statement, by what each is: a warm one comes after a cold one."""
        return (replace(self, condition=Condition.COLD), self) if self.condition is Condition.WARM else (self,)

    def __str__(self) -> str:
        return f"{self.nodes} nodes, {self.condition}"


def settings() -> list[Setting]:
    """Return all settings that there are."""
    found = (Setting(nodes, condition) for nodes in NODES for condition in Condition)
    return [setting for setting in found if setting.is_possible]


def by_turns(names: list[str], among: list[Setting]) -> Iterator[tuple[Setting, list[str]]]:
    """Yield each setting with its share of the statements: every statement once."""
    for place, setting in enumerate(among):
        yield setting, names[place :: len(among)]
