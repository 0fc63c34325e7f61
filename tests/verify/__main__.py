"""`make verify`: everything against DuckDB, in every setting, resumable.

Each outcome is written down at once, below the cache folder; a second run goes on where the first ended, as long as
the engine's and the compiler's code is the same, and runs again what was wrong. The last line of standard output is
one JSON object; progress is on standard error.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from firn_local.cache import Cache, hash_tree
from firn_local.layout import Layout

from tests.verify import suites
from tests.verify.dataset import serving
from tests.verify.differences import REFUSED
from tests.verify.matrix import Condition, Setting, by_turns, settings
from tests.verify.running import rig
from tests.verify.suites import Suite


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


async def run(suite: Suite, setting: Setting, names: Iterable[str], journal: Journal, seen: Counter[str]) -> None:
    """Run a suite's statements in a setting."""
    todo = [
        name for name in names if journal.outcomes.get(f"{suite.name} {name} {setting}") not in ("right", "refused")
    ]
    if not todo:
        return
    dataset = suite.dataset.on_one_node() if setting.condition is Condition.STEALING else suite.dataset
    _say(f"{suite.name}, {setting}: {len(todo)} statements")
    compiler = dataset.compiler()
    with serving(dataset) as endpoint:
        async with rig(setting, endpoint, compiler) as running:
            for name in todo:
                statement, right = suite.statement(name)
                wrong = await running.verdict(statement, right)
                refused = wrong is not None and any(words in wrong for words in REFUSED)
                journal.note(f"{suite.name} {name} {setting}", "refused" if refused else wrong or "right")
                if wrong is not None and not refused:
                    _say(f"  {name}: {wrong}")
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
    every = [s for s in settings() if options.nodes is None or s.nodes in options.nodes]
    seen: Counter[str] = Counter()
    for scale in options.scales:
        for suite in (suites.tpch(cache, scale), suites.tpcds(cache, scale)):
            for setting in every:
                await run(suite, setting, suite.names, journal, seen)
    chance = suites.random(options.seed, options.random)
    for setting, names in by_turns(list(chance.names), every):
        await run(chance, setting, names, journal, seen)
    tally = Counter(outcome if outcome in ("right", "refused") else "wrong" for outcome in journal.outcomes.values())
    wrong = sorted(case for case, outcome in journal.outcomes.items() if outcome not in ("right", "refused"))
    print(json.dumps({"run": len(journal.outcomes), **tally, "wrong_cases": wrong[:100], **seen}))
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=10_000, help="how many random statements")
    parser.add_argument("--scales", nargs="*", default=["0.01", "1"], help="scale factors of TPC-H and TPC-DS")
    parser.add_argument("--nodes", nargs="*", type=int, help="only clusters of these sizes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
