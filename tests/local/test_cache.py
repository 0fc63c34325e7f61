import threading

import pytest
from firn_local.cache import Cache, hash_tree, key_of


def test_a_key_depends_on_every_input_and_not_on_their_order():
    assert key_of({"a": 1, "b": ["x"]}) == key_of({"b": ["x"], "a": 1})
    assert len({key_of({"a": 1}), key_of({"a": 2}), key_of({"a": "1"}), key_of({"b": 1})}) == 4


def test_a_tree_hash_sees_content_names_and_the_executable_bit_but_not_what_python_compiles(tmp_path):
    (tmp_path / "a").write_text("one")
    first = hash_tree(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert hash_tree(tmp_path) == first
    (tmp_path / "a").chmod(0o755)
    executable = hash_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = hash_tree(tmp_path)
    (tmp_path / "b").write_text("two")
    assert len({first, executable, renamed, hash_tree(tmp_path)}) == 4


def test_an_entry_is_built_once(tmp_path):
    cache = Cache(tmp_path)
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "out").write_text("made")

    assert not cache.has("thing", "k")
    assert cache.get("thing", "k", build) == cache.get("thing", "k", build) == cache.path("thing", "k")
    assert len(calls) == 1
    assert (cache.path("thing", "k") / "out").read_text() == "made"


def test_what_a_crash_left_is_neither_used_nor_mixed_in(tmp_path):
    cache = Cache(tmp_path)

    def crash(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("power failure")

    with pytest.raises(RuntimeError, match="power failure"):
        cache.get("thing", "k", crash)
    assert not cache.has("thing", "k")
    made = cache.get("thing", "k", lambda folder: (folder / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]


def test_two_runs_at_once_build_once(tmp_path):
    calls = []
    building, finish = threading.Event(), threading.Event()

    def build(folder):
        calls.append(folder)
        building.set()
        finish.wait(10)

    runs = [threading.Thread(target=Cache(tmp_path).get, args=("thing", "k", build)) for _ in range(2)]
    runs[0].start()
    assert building.wait(10)
    runs[1].start()
    finish.set()
    for run in runs:
        run.join(10)
    assert len(calls) == 1
