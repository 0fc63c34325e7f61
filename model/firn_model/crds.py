"""The CustomResourceDefinitions, generated from the models.

`python -m firn_model.crds write` writes crds/, the chart's copy of it and docs/reference/resources.md;
`python -m firn_model.crds check` says which of them differ from the models and exits with 1.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from firn_model import names
from firn_model.kinds import KINDS, Column, Kind
from firn_model.reference import reference
from firn_model.schema import defaults, structural

HEADER = "# Generated from firn_model by `make crds`; change the models, not this file.\n"
FOLDERS = ("crds", "helm/firn/crds")
REFERENCE = "docs/reference/resources.md"
USAGE = "usage: python -m firn_model.crds write|check"


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printer_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{names.GROUP}",
            "labels": {names.LABEL_PART_OF: names.PART_OF},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": [names.CATEGORY],
            },
            "versions": [version],
        },
    }


def _object_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of the whole object. A spec of which nothing is required may be left out."""
    spec = structural(kind.spec)
    schema: dict[str, Any] = {
        "type": "object",
        "description": kind.summary,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural(kind.status),
        },
    }
    if "required" in spec:
        schema["required"] = ["spec"]
    else:
        spec["default"] = defaults(spec)
    if kind.rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in kind.rules]
    return schema


def _printer_column(column: Column) -> dict[str, Any]:
    """Return one column of `kubectl get`."""
    written: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**written, "priority": 1} if column.detail else written


def files() -> dict[str, str]:
    """Return the generated files: path under the checkout → text."""
    texts = {REFERENCE: reference(KINDS)}
    for kind in KINDS:
        text = HEADER + yaml.safe_dump(definition(kind), sort_keys=False, allow_unicode=True, width=120)
        texts.update({f"{folder}/{names.GROUP}_{kind.plural}.yaml": text for folder in FOLDERS})
    return texts


def write(root: Path) -> None:
    """Write the generated files under `root`."""
    for path, text in files().items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def stale(root: Path) -> list[str]:
    """Return the paths under `root` that are missing, differ from the models, or belong to no kind."""
    expected = files()
    differing = [
        path for path, text in expected.items() if not (root / path).is_file() or (root / path).read_text() != text
    ]
    left = [
        str(file.relative_to(root))
        for folder in FOLDERS
        for file in (root / folder).glob("*.yaml")
        if str(file.relative_to(root)) not in expected
    ]
    return sorted(differing + left)


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    root = Path(__file__).resolve().parents[2]
    if arguments == ["write"]:
        write(root)
        return 0
    if arguments == ["check"]:
        differing = stale(root)
        for path in differing:
            print(f"{path} differs from the models: run `make crds`", file=sys.stderr)
        return 1 if differing else 0
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
