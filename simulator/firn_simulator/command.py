"""`firn simulate`: what a workload would wait and cost, without a cluster. Nothing heavy is imported before it runs."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from firn_simulator.recorder import Recorder
    from firn_simulator.workload import Variant, Workload

app = typer.Typer(
    help="Say what a workload would wait and cost: an account on a simulated clock, with the real decisions.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EXAMPLES = """\b
Examples:
  firn simulate examples/simulation.yaml
  firn simulate day.yaml --policy Standard --policy Economy --clusters 1-1 --clusters 1-4
  firn simulate day.jsonl --auto-suspend 600 --auto-suspend 1 --picture day.svg -o json
"""


class ReportFormat(StrEnum):
    """How the figures are written."""

    TABLE = "table"
    JSON = "json"


class Policy(StrEnum):
    """Scaling policies."""

    STANDARD = "Standard"
    ECONOMY = "Economy"


@app.command(epilog=EXAMPLES)
def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Workload: YAML, or JSON lines (account, then a statement a line).")
    ],
    policy: Annotated[
        list[Policy] | None, typer.Option(metavar="Standard|Economy", help="Compare scaling policies; repeat it.")
    ] = None,
    clusters: Annotated[
        list[str] | None, typer.Option(metavar="MIN-MAX", help="Compare cluster ranges; repeat it.")
    ] = None,
    auto_suspend: Annotated[
        list[int] | None, typer.Option(metavar="SECONDS", min=0, help="Compare auto-suspends; repeat it.")
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="SIZE", help="Compare sizes (XS, S, M …); repeat it.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Run the file's variants beside what it says itself.")
    ] = True,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="Another seed than the file's.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Also draw queue time, clusters, nodes and credits, as SVG.")
    ] = None,
    output: Annotated[ReportFormat, typer.Option("--output", "-o", help="How to write it.")] = ReportFormat.TABLE,
) -> None:
    """Say what a workload would wait and cost, without a cluster.

    The operator's and the services' own decisions run on a simulated clock, so policies, cluster ranges and sizes can
    be compared in seconds. The same file and seed always give the same figures. Exit code 2: the file is not usable.
    """
    from firn_simulator.errors import WorkloadError
    from firn_simulator.reading import read
    from firn_simulator.variants import AS_WRITTEN, crossed

    if picture is not None and not picture.absolute().parent.is_dir():
        _fail(f"{picture}: cannot be written: there is no such folder")
    try:
        workload = read(file)
        if seed is not None:
            workload = workload.model_copy(update={"seed": seed})
        ranges = [_range(text) for text in clusters or ()]
        chosen = crossed([p.value for p in policy or ()], ranges, auto_suspend or (), size or ())
        if not chosen:
            chosen = (AS_WRITTEN, *workload.variants) if compare else (AS_WRITTEN,)
        _run(workload, chosen, picture, output)
    except WorkloadError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{picture}: cannot be written: {error.strerror}")


def _run(workload: "Workload", variants: "tuple[Variant, ...]", picture: Path | None, output: ReportFormat) -> None:
    from rich.console import Console

    from firn_simulator.account import Account
    from firn_simulator.picture import svg
    from firn_simulator.summary import summarise
    from firn_simulator.tables import write
    from firn_simulator.variants import applied

    runs: list[tuple[str, Recorder]] = []
    prepared = [(variant.name, applied(workload, variant)) for variant in variants]
    for name, one in prepared:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[Ksimulating {name} ({len(runs) + 1} of {len(prepared)})")
            sys.stderr.flush()
        runs.append((name, Account(one).run()))
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    summaries = [summarise(name, recorder) for name, recorder in runs]
    if picture is not None:
        picture.write_text(svg(runs), encoding="utf-8")
    if output is ReportFormat.JSON:
        sys.stdout.write(json.dumps({"seed": workload.seed, "runs": [s.as_json() for s in summaries]}, indent=2) + "\n")
    else:
        write(Console(), summaries)


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not low.isdigit() or not (high or low).isdigit():
        raise typer.BadParameter(f"{text!r} is not a range: MIN-MAX, as in 1-4", param_hint="--clusters")
    return int(low), int(high or low)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(2)
