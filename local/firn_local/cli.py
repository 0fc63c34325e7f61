"""The commands: python -m firn_local up | down | status | build | leaf | images | load | demo | control-plane."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from firn_local import status as status_words
from firn_local.control_plane import ControlPlane
from firn_local.errors import LocalError
from firn_local.image_loading import load_images
from firn_local.images import FirnImages
from firn_local.kind_config import DEFAULT_NAME
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.workshop import CONTROL_PLANE_MODULES, Workshop

app = typer.Typer(
    help="A real kind cluster on any Linux machine, with Firn's images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Option(help="The cluster's name; every cluster has host ports of its own.")]


@contextmanager
def _workshop() -> Iterator[Workshop]:
    """Open the workshop; an error is printed and ends the program."""
    try:
        with Progress() as progress:
            yield Workshop.open(Layout.from_environment(), progress)
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


@app.command()
def up(name: Name = DEFAULT_NAME) -> None:
    """Make a cluster, or repair what is left of one; prints how to reach it as JSON."""
    with _workshop() as workshop:
        print(json.dumps(workshop.up(name).describe(), indent=2))


@app.command()
def down(name: Name = DEFAULT_NAME) -> None:
    """Delete a cluster; with the last one our Docker daemon and all it added to the machine."""
    with _workshop() as workshop:
        workshop.down(name)


@app.command()
def status(name: Name = DEFAULT_NAME) -> None:
    """Say what runs; the exit status is 0 when the cluster can be used."""
    with _workshop() as workshop:
        is_ready, lines = status_words.describe(workshop, name)
    print("\n".join(lines))
    raise typer.Exit(0 if is_ready else 1)


@app.command()
def build() -> None:
    """Bring everything that a cluster is made of into the cache, side by side."""
    with _workshop() as workshop:
        workshop.build_all()


@app.command()
def leaf() -> None:
    """Bring the engine's leaf, for columns kept decoded, into this environment, where the machine has a cargo."""
    with _workshop() as workshop:
        workshop.install_leaf()


@app.command()
def images() -> None:
    """Build Firn's images where something changed, also as :dev; prints their tags as JSON."""
    with _workshop() as workshop:
        print(json.dumps(FirnImages(workshop).build(workshop.answering_docker()), indent=2))


@app.command()
def load(name: Name = DEFAULT_NAME) -> None:
    """Build Firn's images and bring them to the cluster's nodes that run them; prints their tags as JSON."""
    with _workshop() as workshop:
        docker = workshop.running_docker(name)
        tags = FirnImages(workshop).build(docker)
        load_images(workshop.cluster(name, docker), tags, workshop.progress)
        print(json.dumps(tags, indent=2))


@app.command()
def demo(name: Name = DEFAULT_NAME, scale: Annotated[str, typer.Option(help="TPC-H scale factor.")] = "1") -> None:
    """Show all of Firn: TPC-H answers, a warehouse that suspends, and a resume step by step."""
    from firn_local.demo import run_demo

    try:
        run_demo(Layout.from_environment(), name, scale)
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


@app.command("control-plane")
def control_plane() -> None:
    """Run an API server with etcd alone, until interrupted; prints the kubeconfig's path."""
    with _workshop() as workshop:
        workshop.build_modules(CONTROL_PLANE_MODULES)
        with ControlPlane() as running:
            print(running.kubeconfig, flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})


main: Callable[[], None] = app
