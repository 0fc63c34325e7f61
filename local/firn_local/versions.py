"""The versions and checksums of everything that a local cluster is made of: ``local/versions.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module and the programs built from it."""

    name: str
    module: str
    version: str
    outputs: dict[str, str]
    """File name of each program, and the package it is built from."""
    weight_seconds: int
    """How long a build takes on two cores, roughly; the longest are started first."""
    tags: tuple[str, ...] = ()
    cgo: bool = False


@dataclass(frozen=True, slots=True)
class GoWheel:
    """The wheel that brings a Go to a machine without one."""

    minimum: tuple[int, int]
    package: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageNames:
    """How the images inside our own node image are called."""

    registry: str
    etcd_tag: str
    coredns_tag: str
    pause_tag: str
    provisioner_tag: str


@dataclass(frozen=True, slots=True)
class Versions:
    """All of versions.toml."""

    kubernetes: str
    published_node: str
    """kind's published node image, used where it is at hand."""
    names: ImageNames
    go: GoWheel
    modules: dict[str, Module]
    suite: str
    node_packages: tuple[str, ...]
    base_packages: tuple[str, ...]
    machine_packages: dict[str, str]
    """Debian package for each program that this machine needs."""
    published_base: str
    """The base image that is used where it is at hand."""


def load(file: Path) -> Versions:
    """Read versions.toml."""
    raw = tomllib.loads(file.read_text())
    go = raw["go"]
    major, minor = go["minimum"].split(".")
    return Versions(
        kubernetes=raw["kubernetes"]["version"],
        published_node=raw["kubernetes"]["published_node"],
        names=ImageNames(**raw["names"]),
        go=GoWheel((int(major), int(minor)), go["package"], go["version"], go["sha256"]),
        modules={name: _module(name, entry) for name, entry in raw["modules"].items()},
        suite=raw["debian"]["suite"],
        node_packages=tuple(raw["debian"]["node_packages"]),
        base_packages=tuple(raw["debian"]["base_packages"]),
        machine_packages=dict(raw["debian"]["machine"]),
        published_base=raw["base_image"]["published"],
    )


def _module(name: str, entry: dict[str, object]) -> Module:
    tags = entry.get("tags", [])
    outputs = entry["outputs"]
    if not isinstance(tags, list) or not isinstance(outputs, dict):
        raise TypeError(f"versions.toml: modules.{name}: tags must be a list and outputs a table")
    return Module(
        name=name,
        module=str(entry["module"]),
        version=str(entry["version"]),
        outputs={str(output): str(package) for output, package in outputs.items()},
        weight_seconds=int(str(entry["weight_seconds"])),
        tags=tuple(str(tag) for tag in tags),
        cgo=bool(entry.get("cgo", False)),
    )
