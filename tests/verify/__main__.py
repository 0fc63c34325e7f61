"""`make verify`: everything against DuckDB, in every setting, resumable.

Each outcome is written down at once, below the cache folder; a second run goes on where the first ended, as long as
the engine's and the compiler's code is the same, and runs again what was wrong. The last line of standard output is
one JSON object; progress is on standard error.
"""

import argparse
import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from firn_local.cache import Cache, hash_tree
from firn_local.layout import Layout

from tests.verify import suites
from tests.verify.differences import REFUSED
from tests.verify.matrix import NODES, Condition, Setting, by_turns, settings
from tests.verify.running import Ready, rig
from tests.verify.server import Server, serving
from tests.verify.suites import Suite, UnansweredError

_DONE = ("right", "refused", "unanswered")
"""Outcomes that are not wrong: right, refused by the engine's planner, or one that DuckDB itself fails at."""


class Journal:
    """Outcomes by case, one JSON line each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.outcomes: dict[str, str] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                self.outcomes[entry["case"]] = entry["outcome"]

    def note(self, case: str, outcome: str) -> None:
        """Write one outcome down."""
        self.outcomes[case] = outcome
        with self.path.open("a") as file:
            file.write(json.dumps({"case": case, "outcome": outcome}) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def run(
    suite: Suite, setting: Setting, names: Iterable[str], server: Server, journal: Journal, seen: Counter[str]
) -> None:
    """Run a suite's statements in a setting; each next one is made ready while one runs."""

    def case(name: str, run: Setting) -> str:
        return f"{suite.name} {name} {run}"

    todo = [n for n in names if any(journal.outcomes.get(case(n, run)) not in _DONE for run in setting.runs)]
    if not todo:
        return
    dataset = suite.dataset.on_one_node() if setting.condition is Condition.STEALING else suite.dataset
    _say(f"{suite.name}, {setting}: {len(todo)} statements")
    async with rig(setting, server, server.bring(dataset)) as running:

        def coming(name: str) -> "asyncio.Future[Ready]":
            return asyncio.ensure_future(asyncio.to_thread(lambda: running.ready(*suite.statement(name))))

        following = coming(todo[0])
        for name, after in itertools.zip_longest(todo, todo[1:]):
            try:
                ready = await following
            except UnansweredError as error:
                for each in setting.runs:
                    journal.note(case(name, each), "unanswered")
                _say(f"  {name}: DuckDB: {error}")
                continue
            finally:
                if after is not None:
                    following = coming(after)
            for each, wrong in (await running.verdicts(ready)).items():
                refused = wrong is not None and any(words in wrong for words in REFUSED)
                journal.note(case(name, each), "refused" if refused else wrong or "right")
                if wrong is not None and not refused:
                    _say(f"  {name}, {each}: {wrong}")
    seen.update(stolen=running.stolen, spilled_bytes=running.spilled_bytes, lost_nodes=running.lost_nodes)
    seen.update(in_stages=running.in_stages)


async def main() -> int:
    """Run what is asked for; return the exit code."""
    options = _options()
    cache = Cache(Layout.from_environment().cache)
    checkout = Layout.from_environment().checkout
    code = "".join(hash_tree(checkout / part)[:8] for part in ("runtime/firn_runtime", "services/firn_services/sql"))
    journal = Journal(cache.root / "verify" / f"{code}-{options.seed}.jsonl")
    _say(f"outcomes are kept in {journal.path}")
    every = [s for s in settings() if s.nodes in options.nodes and s.condition in options.conditions]
    seen: Counter[str] = Counter()
    with serving() as server:
        for scale in options.scales:
            for suite in (suites.tpch(cache, scale), suites.tpcds(cache, scale)):
                for setting in every:
                    await run(suite, setting, suite.names, server, journal, seen)
        chance = suites.random(options.seed, options.random)
        for setting, names in by_turns(list(chance.names), every):
            await run(chance, setting, names, server, journal, seen)
    tally = Counter(outcome if outcome in _DONE else "wrong" for outcome in journal.outcomes.values())
    wrong = sorted(case for case, outcome in journal.outcomes.items() if outcome not in _DONE)
    print(json.dumps({"run": len(journal.outcomes), **tally, "wrong_cases": wrong[:100], **seen}))
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=10_000, help="how many random statements")
    parser.add_argument("--scales", nargs="*", default=["0.01", "1"], help="scale factors of TPC-H and TPC-DS")
    parser.add_argument("--nodes", nargs="*", type=int, default=NODES, help="only clusters of these sizes")
    conditions = list(Condition)
    parser.add_argument("--conditions", nargs="*", type=Condition, default=conditions, help="only under these")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
