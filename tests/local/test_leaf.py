import importlib.metadata
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest
from firn_local.cache import Cache
from firn_local.command import run
from firn_local.layout import Layout
from firn_local.leaf import Leaf, datafusion_version, write_wheel
from firn_local.progress import Progress
from firn_local.wheels import find_uv

LAYOUT = Layout.from_environment()
CRATE = LAYOUT.checkout / "runtime" / "leaf"
LOCK = (CRATE / "Cargo.lock").read_text()


def leaf_in(cache: Path) -> Leaf:
    return Leaf(LAYOUT, Cache(cache))


def test_every_crate_of_datafusion_is_of_the_version_of_the_engine():
    found = dict(re.findall(r'name = "(datafusion[^"]*)"\nversion = "([^"]*)"', LOCK))
    assert len(found) > 10
    assert set(found.values()) == {importlib.metadata.version("datafusion")}
    asked = re.findall(
        r'^datafusion-[a-z-]+ = \{ version = "=([^"]*)"', (CRATE / "Cargo.toml").read_text(), re.MULTILINE
    )
    assert set(asked) == set(found.values())


def test_the_lock_names_no_host_but_what_cargo_calls_its_standard_registry():
    sources = set(re.findall(r'^source = "(.*)"$', LOCK, re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}
    assert LOCK.count("checksum = ") == LOCK.count("source = ")


def test_a_wheel_has_the_extension_and_says_which_datafusion_it_is_for(tmp_path):
    library = tmp_path / "libfirn_leaf.so"
    library.write_bytes(b"not really")
    version = leaf_in(tmp_path).version
    wheel = write_wheel(tmp_path, library, version)
    assert version.partition("+")[0] == datafusion_version(CRATE / "Cargo.lock")
    run([find_uv(Cache(LAYOUT.cache)), "pip", "install", "--offline", "--no-deps", "--target", tmp_path / "to", wheel])
    assert (tmp_path / "to" / "firn_leaf.abi3.so").read_bytes() == b"not really"
    (found,) = importlib.metadata.distributions(path=[str(tmp_path / "to")])
    assert (found.name, found.version) == ("firn-leaf", version)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None


def test_what_is_in_the_cache_is_not_built_again(tmp_path):
    leaf = leaf_in(tmp_path)
    leaf.cache.get("wheel-leaf", leaf.key, lambda folder: (folder / "it.whl").touch())
    assert leaf.wheel is not None
    assert leaf.steps(Progress()) == []


@pytest.mark.component
def test_the_extension_needs_no_libpython():
    wheel = Leaf(LAYOUT, Cache(LAYOUT.cache)).wheel
    if wheel is None:
        pytest.skip("no leaf: python -m firn_local leaf")
    (file,) = wheel.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        assert b"libpython" not in archive.read("firn_leaf.abi3.so")


@pytest.fixture
def cargo(tmp_path, monkeypatch):
    """A cargo that fails, as one does that does not reach its registry."""
    program = tmp_path / "bin" / "cargo"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no registry')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.mark.usefixtures("cargo")
def test_a_build_that_fails_leaves_the_leaf_out(tmp_path, capsys):
    layout = Layout(LAYOUT.checkout, tmp_path / "cache", tmp_path / "state")
    leaf = Leaf(layout, Cache(layout.cache))
    (step,) = leaf.steps(Progress())
    step.work()
    assert leaf.wheel is None
    said = capsys.readouterr().err
    assert "left out" in said
    assert "no registry" in said
    leaf.install()  # which has nothing to do
