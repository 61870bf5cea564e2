"""Several threads: the same results for any number of them, in the company of forks, other threads, and the exit."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import threading
import time

import llvmlite.binding as llvm
import numpy as np
import pytest
from support import assert_same

import chainrule as cr
from chainrule import threads
from chainrule.compiler.contraction import ContractAxis, Contraction, plan
from chainrule.compiler.parallel import cut_contraction
from chainrule.errors import ArgumentError
from chainrule.layers import Dense, Dropout
from chainrule.llvm import pool as native
from chainrule.llvm.jit import Target, assembly, host, optimize
from chainrule.models import Sequential
from chainrule.runtime import Counters, jit


@pytest.fixture(autouse=True)
def as_before():
    yield
    cr.set_threads(None)


def array(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def leaves(result):
    return result if isinstance(result, tuple) else (result,)


def softmax(a):
    e = np.exp(a - np.max(a, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def repeated(a):
    """A loop whose turns write to places of their own."""
    return cr.scan(lambda carry, row: (carry + np.sum(np.exp(row)), np.tanh(row) * carry), np.float32(0), a)


CASES = {
    "product": (lambda a, b: np.maximum(a @ b + 1, 0), array(96, 200), array(200, 128)),
    "product of odd sizes": (lambda a, b: a @ b, array(131, 77), array(77, 157)),
    "transposed operands": (lambda a, b: a.T @ b, array(64, 333), array(64, 129)),
    "sums along lanes": (lambda a, b: a @ b, array(530, 300), array(300, 5)),
    "batch of products": (lambda a, b: a @ b, array(13, 40, 33), array(13, 33, 40)),
    "blocks of all axes": (lambda a, b: a.T @ b, array(260, 1030), array(260, 1040)),
    "matrix and vector": (lambda a, b: a @ b, array(600, 700), array(700)),
    "one vector loop": (lambda a: np.exp(a) * 2 + a, array(60_001)),
    "rows": (lambda a, b: np.exp(a) * b, array(333, 117), array(117)),
    "transposed": (lambda a: np.exp(a.T), array(333, 117)),
    "sums of rows": (lambda a: np.sum(np.exp(a), axis=1), array(333, 117)),
    "sums of columns": (lambda a: np.sum(np.exp(a), axis=0), array(333, 117)),
    "extremes between": (lambda a: np.max(a * a, axis=(0, 2)), array(33, 41, 27)),
    "a long sum": (lambda a: np.sum(np.tanh(a) ** 2), array(400, 400)),
    "means of channels": (lambda a: (np.mean(a, axis=(0, 1)), np.max(a, axis=(0, 1))), array(200, 90, 9)),
    "softmax": (softmax, array(333, 117)),
    "in a loop": (repeated, array(3, 60_000)),
    "batch of matrices": (lambda a: np.linalg.inv(a @ np.swapaxes(a, 1, 2) + np.eye(9, dtype=np.float32)),
                          array(150, 9, 12)),
    "gather": (lambda a, i: np.take(a, i, axis=0) * 2, array(50, 117), np.arange(900) * 7 % 50),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_the_same_for_any_number_of_threads(name):
    function, *args = CASES[name]
    compiled = jit(function)
    cr.set_threads(1)
    alone = compiled(*args)
    expected = cr.trace(function, *args).evaluate(*args)
    before = Counters.compiled
    for n in (2, 3, 4):
        cr.set_threads(n)
        for _ in range(3):
            for x, y in zip(leaves(alone), leaves(compiled(*args)), strict=True):
                np.testing.assert_array_equal(x, y)
    assert Counters.compiled == before
    assert compiled.compile(*args).executable.pool is not None
    for x, y in zip(leaves(alone), expected, strict=True):
        assert_same(x, y, scale=64)


def test_an_epoch_is_the_same_for_any_number_of_threads():
    x, y = array(300, 120), np.arange(300) % 7
    found = []
    for n in (1, 2, 4):
        cr.set_threads(n)
        cr.set_seed(0)
        model = Sequential([Dense(90, input_dim=120, activation="tanh"), Dropout(0.2), Dense(7, activation="softmax")])
        model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
        history = model.fit(x, y, epochs=3, batch_size=64, verbose=0).history
        found.append((history, [w.tobytes() for w in model.get_weights()]))
    assert found[0] == found[1] == found[2]


def test_small_programs_stay_on_one_thread():
    assert jit(lambda a, b: np.tanh(a @ b)).compile(array(10, 32), array(32, 16)).executable.pool is None


def test_sums_are_not_cut():
    dot = Contraction((ContractAxis(100_000, 1, 1, 0, True),), np.dtype(np.float32))
    assert cut_contraction(plan(dot, host())) is None


def workers():
    return [t.name for t in threading.enumerate() if t.name.startswith("chainrule-")]


def test_workers_follow_the_number_of_threads():
    f, a = jit(lambda a: np.exp(a) * 3), array(60_000)
    for n in (3, 1, 2):
        cr.set_threads(n)
        assert cr.get_threads() == n
        f(a)
        assert workers() == [f"chainrule-{k}" for k in range(1, n)]


def test_a_bound_program_starts_its_threads():
    cr.set_threads(1)
    bound = jit(lambda a: np.exp(a) * 5).bind(array(60_000))
    cr.set_threads(2)
    bound()
    assert workers() == ["chainrule-1"]


@pytest.mark.parametrize("n", [0, -1, 1025, 2.0, "2", True, np.array([1, 2])])
def test_a_number_of_threads_that_cannot_be_is_refused(n):
    before = cr.get_threads()
    with pytest.raises(ArgumentError, match="whole number from 1 to 1024"):
        cr.set_threads(n)
    assert cr.get_threads() == before


def test_python_threads_call_at_the_same_time():
    cr.set_threads(3)
    f, a, b = jit(lambda a, b: np.tanh(a @ b)), array(100, 200), array(200, 150)
    expected, wrong = f(a, b), []

    def call():
        wrong.extend(1 for _ in range(40) if not np.array_equal(f(a, b), expected))
    callers = [threading.Thread(target=call) for _ in range(4)]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert not wrong


def test_the_number_changes_while_programs_run():
    f, a = jit(lambda a: np.exp(a) * 7), array(60_000)
    expected, wrong = f(a), []

    def call():
        wrong.extend(1 for _ in range(300) if not np.array_equal(f(a), expected))
    caller = threading.Thread(target=call)
    caller.start()
    while caller.is_alive():
        for n in (1, 4, 2):
            cr.set_threads(n)
    caller.join()
    assert not wrong


HEAD = """
import os, threading, time
import numpy as np
import chainrule as cr
cr.set_threads(3)
f = cr.jit(lambda a: np.exp(a) * 2)
a = np.linspace(0, 1, 60_000, dtype=np.float32)
expected = f(a)
same = lambda: np.array_equal(f(a), expected)
"""


def run(script):
    """Run a script in a process of its own; what it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", HEAD + script], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_both_sides_of_a_fork_have_threads():
    out = run("""
child = os.fork()
right = same() and same()
count = sum(t.name.startswith("chainrule-") for t in threading.enumerate())
if not child:
    os._exit(0 if right and count == 2 else 1)
print(right, count, os.waitpid(child, 0)[1])
""")
    assert out == ["True", "2", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_while_another_thread_computes():
    out = run("""
import warnings
warnings.simplefilter("ignore")  # of Python, about any fork beside a thread
going = True
def call():
    while going:
        f(a)
caller = threading.Thread(target=call)
caller.start()
codes = []
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if same() else 1)
    codes.append(os.waitpid(child, 0)[1])
going = False
caller.join()
print(sum(codes), same())
""")
    assert out == ["0", "True"]


def test_the_interpreter_ends_with_sleeping_and_with_busy_threads():
    assert run("time.sleep(0.05); print(same())") == ["True"]
    assert run("""
def call():
    while True:
        f(a)
for _ in range(2):
    threading.Thread(target=call, daemon=True).start()
print(same())
""") == ["True"]


def test_programs_still_run_at_the_exit():
    assert run("""
import atexit
atexit._run_exitfuncs()
print(same())
""") == ["True"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no sets of processors")
def test_the_default_counts_cores_that_the_process_may_run_on():
    assert run("""
cr.set_threads(None)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from chainrule.threads import cores
print(cores())
""") == ["1"]


def test_siblings_are_one_core_and_a_quota_counts(monkeypatch, tmp_path):
    for cpu in range(8):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    monkeypatch.setattr(threads, "_CPUS", tmp_path)
    monkeypatch.setattr(threads, "_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.cores() == 4
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert threads.cores() == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert threads.cores() == 4
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert threads.cores() == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_comes_late_runs_nothing_by_the_facts_of_the_next_job(late):
    """Job 7 had two chunks of each thread, all taken; job 8 has four, and says so already when a worker sees job 7.

    Where the number says job 7 still, and nothing is taken, the worker runs its chunks and those of the caller.
    """
    pool, ran = threads.Pool(), []
    part = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)(lambda *a: ran.append(a[4:]))
    pool.reserve(64)
    cr.set_threads(2)
    words = {native.PART: ctypes.cast(part, ctypes.c_void_p).value, native.UNITS: 80, native.CHUNKS: 8, native.EACH: 4,
             native.THREADS: 2, native.DONE: 0, native.NUMBER: 8 if late else 7}
    for k in (0, 1):
        pool._word(native.CLAIMS, k).value = 6 << 8 | 4
    pool.start()
    try:
        while not pool._word(native.ASLEEP, 1).value:
            time.sleep(0.001)
        for offset, value in words.items():
            pool._word(offset).value = value
        for k in (0, 1):
            pool._word(native.CLAIMS, k).value = 7 << 8 | 2 * late
        end = time.monotonic() + (0.2 if late else 20)
        while len(ran) < 8 and time.monotonic() < end:
            if pool._word(native.ASLEEP, 1).value:
                pool._word(native.ASLEEP, 1).value = 0
                ctypes.pythonapi.PyThread_release_lock(ctypes.c_void_p(pool._word(native.LOCK, 1).value))
            time.sleep(0.01)
    finally:
        pool.close()
    assert sorted(ran) == ([] if late else [(10 * n, 10 * n + 10) for n in range(8)])


def test_the_pool_needs_no_library_on_aarch64():
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    arm = Target("aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32, 64 << 10, 512 << 10, True)
    text = assembly(optimize(native.emit_pool(arm.triple), arm), arm)
    assert "\tisb" in text and "\tldaxr" in text  # waits and swaps by instructions
    assert set(re.findall(r"\tbl\t(\w+)", text)) <= {"take", "wake"}
