"""What the documents tell people to type, set and read is there."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from firn.cli import app
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "firn"
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), CHART / "templates" / "NOTES.txt"]
CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`|^ {2,4}(\S[^\n]*)$", re.MULTILINE | re.DOTALL)
SOURCES = ("client", "local", "model", "operator", "runtime", "services", "simulator")


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def lines_of_code(file: Path) -> Iterator[str]:
    """Yield the lines that a document shows as code."""
    for block, inline, indented in CODE.findall(file.read_text()):
        yield from re.sub(r"\\\n", " ", block or inline or indented).splitlines()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_its_make_targets_are_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {found for line in lines_of_code(document) for found in re.findall(r"^\s*make ([a-z-]+)", line)}
    assert asked <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_its_firn_commands_and_their_options_are_there(document: Path) -> None:
    for line in lines_of_code(document):
        if found := re.match(r"(?:\$ )?(firn [a-z].*?)(?:\s#.*)?$", line.strip()):
            assert unknown(found[1]) == [], line


def unknown(line: str) -> list[str]:
    """Return the words of a command line that are no command or option of `firn`."""
    command: Any = get_command(app)
    words = re.sub(r"{{.*?}}|\\", "x", line).split()[1:]
    while words and hasattr(command, "commands"):
        below = command.get_command(None, words[0])
        if below is None:
            return words[:1]
        command, words = below, words[1:]
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return [w for w in words if re.fullmatch(r"-[a-z]|--[a-z-]+", w) and w not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_its_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_its_values_of_the_chart_are_there(document: Path) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    asked = {path for line in lines_of_code(document) for path in re.findall(r"--set[ =]([\w.]+)=", line)}
    assert [path for path in asked if not there(values, path)] == []


def there(values: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_its_metrics_and_environment_variables_are_there(document: Path) -> None:
    sources, text = all_sources(), document.read_text()
    metrics = {name.removesuffix("_total") for name in re.findall(r"\bfirn_[a-z_]+[a-z]\b", text)}
    packages = {folder.name for part in SOURCES for folder in (ROOT / part).iterdir()}
    missing = {name for name in metrics - packages if name not in sources}
    for variable in re.findall(r"\bFIRN_[A-Z_]+\b", text):
        field = variable.removeprefix("FIRN_").lower()
        if variable not in sources and not re.search(rf"^    {field}: ", sources, re.MULTILINE):
            missing.add(variable)
    assert missing == set()


@cache
def all_sources() -> str:
    return "\n".join(f.read_text() for part in SOURCES for f in (ROOT / part).rglob("*.py"))
