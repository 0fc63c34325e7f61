"""The chart, rendered by the real helm."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from firn_local.layout import Layout
from firn_local.machine import find_program
from firn_local.progress import Progress
from firn_local.workshop import Workshop

CHART = Path(__file__).resolve().parents[2] / "helm" / "firn"
Manifest = dict[str, Any]
Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Run helm, of the machine or built from its pinned module; without a kubeconfig it sees no cluster."""
    program = find_program("helm")
    if program is None:
        with Progress() as progress:
            workshop = Workshop.open(Layout.from_environment(), progress)
            workshop.build_modules(("helm",))
            program = workshop.program("helm")
    home = str(tmp_path_factory.mktemp("helm"))

    def run(*arguments: str, kubeconfig: Path = Path("/dev/null")) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": home, "PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubeconfig)}
        command = [str(program), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """Return the chart's manifests, hooks too, for values files and single values (`path=json`)."""

    def run(*values: str, files: tuple[Path, ...] = ()) -> list[Manifest]:
        chosen = [option for file in files for option in ("-f", str(file))]
        chosen += [option for value in values for option in ("--set-json", value)]
        done = helm("template", "firn", str(CHART), "--namespace", "account", *chosen)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return run


@pytest.fixture(scope="session")
def refusal(helm: Helm) -> Callable[..., str]:
    """Return what helm says about values that it must refuse."""

    def run(**values: Any) -> str:
        chosen = [option for path, value in values.items() for option in ("--set-json", f"{path}={json.dumps(value)}")]
        done = helm("template", "firn", str(CHART), *chosen)
        assert done.returncode != 0, "accepted"
        return done.stderr

    return run
