"""Compiled code on disk: reused, checked, private, never half-written."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from chainrule import cache, runtime
from chainrule.runtime import Counters, jit


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, and a process that remembers no program."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime, "_executables", {})
    return tmp_path / "cache"


def function(x):
    return np.cos(x) * 1.75 + np.arange(12.0)


def call():
    before = Counters.compiled, Counters.loaded
    np.testing.assert_allclose(jit(function)(np.ones(12)), function(np.ones(12)))
    return Counters.compiled - before[0], Counters.loaded - before[1]


def test_a_program_is_compiled_once_and_then_loaded(fresh, monkeypatch):
    assert call() == (1, 0)
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (0, 1)
    assert len(list(fresh.iterdir())) == 1
    assert fresh.stat().st_mode & 0o777 == 0o700
    assert cache.clear() == 1
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (1, 0)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-7], lambda b: b[:200], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"[]\n" + b],
)
def test_a_damaged_entry_is_compiled_again(fresh, monkeypatch, damage):
    call()
    file = next(fresh.iterdir())
    file.write_bytes(damage(file.read_bytes()))
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (1, 0)
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (0, 1)


def test_a_folder_that_others_can_write_to_is_not_used(fresh, monkeypatch):
    call()
    os.chmod(fresh, 0o777)
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (1, 0)


def test_a_file_that_others_can_write_to_is_not_used(fresh, monkeypatch):
    call()
    os.chmod(next(fresh.iterdir()), 0o666)
    monkeypatch.setattr(runtime, "_executables", {})
    assert call() == (1, 0)


def test_without_a_place_to_write_it_compiles_all_the_same(fresh, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(blocked / "cache"))
    assert call() == (1, 0)


def test_another_process_loads_it(fresh):
    program = ("import numpy as np; from chainrule.runtime import jit, Counters; from chainrule.trace import trace\n"
               "jit(lambda x: np.exp(x) * 7)(np.ones(5)); print(Counters.compiled, Counters.loaded)")
    environment = {**os.environ, "CHAINRULE_CACHE_DIR": str(fresh)}
    out = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [o.split() for o in out] == [["1", "0"], ["0", "1"]]
