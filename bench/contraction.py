"""Contractions generated for their shape against NumPy's BLAS: one thread, packing included, warm caches.

python bench/contraction.py            # the whole list
python bench/contraction.py "NT 128"   # the cases whose name contains this
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from chainrule.compiler.contraction import ContractAxis, Contraction, plan
from chainrule.llvm import ir, jit
from chainrule.llvm.builder import Builder
from chainrule.llvm.contraction import emit_contraction
from chainrule.llvm.emitter import I64, PTR, Emitter

SMALL = [  # m, k, n: the products of a training step of a 10-32-16-1 network
    ("NN", 10, 10, 32), ("NN", 10, 32, 16), ("NN", 10, 16, 1), ("TN", 32, 10, 16), ("TN", 10, 10, 32),
    ("TN", 16, 10, 1), ("NT", 10, 1, 16), ("NT", 10, 16, 32),
]
LARGE = [
    ("NN", 128, 784, 512), ("NN", 128, 512, 512), ("NN", 128, 512, 10), ("TN", 784, 128, 512), ("TN", 512, 128, 512),
    ("NT", 128, 512, 512), ("NT", 128, 10, 512), ("TT", 128, 512, 512), ("NN", 480, 480, 480), ("NN", 960, 960, 960),
    ("NN", 1024, 1024, 1024), ("NN", 1920, 1920, 1920), ("NT", 960, 960, 960), ("TN", 960, 960, 960),
    ("NN", 100, 33, 17), ("NN", 333, 222, 111), ("NN", 1, 512, 512), ("NN", 512, 512, 1), ("NT", 512, 512, 2),
    ("NN", 512, 512, 2), ("NN", 1, 4096, 1), ("NN", 512, 1, 512),
]
F4 = np.dtype("f4")
TARGET_SECONDS = 0.05  # of one timed sample


def matrix_product(kind: str, m: int, k: int, n: int, dtype: str = "f4") -> Contraction:
    """out[m, n] = Σ_k A[m, k] B[k, n]; T in ``kind`` says that an operand is stored transposed."""
    a, b = ((k, 1) if kind[0] == "N" else (1, m)), ((n, 1) if kind[1] == "N" else (1, k))
    axes = ContractAxis(m, a[0], 0, n, False), ContractAxis(n, 0, b[1], 1, False), ContractAxis(k, a[1], b[0], 0, True)
    return Contraction(axes, np.dtype(dtype))


def compile_kernel(c: Contraction, target: jit.Target) -> tuple:
    """A native ``repeat(times, a, b, out, scratch)``, the plan, the milliseconds spent, the module."""
    times = [time.perf_counter()]
    p = plan(c, target)
    times.append(time.perf_counter())
    module = ir.Module()
    kernel = ir.Function(module, ir.FunctionType(ir.VOID, [PTR] * 4), "kernel")
    kernel.noalias = len(kernel.args)
    e = Emitter(Builder(kernel.append_basic_block()))
    a, b, out, scratch = kernel.args
    strides = tuple(x.out for x in c.axes)
    emit_contraction(e, p, a, b, scratch, lambda e, place, sums: place.store(sums, out, strides))
    e.b.ret_void()
    repeat(module, kernel)
    times.append(time.perf_counter())
    parsed = jit.optimize(module, target)
    times.append(time.perf_counter())
    code = jit.emit_object(parsed, target)
    times.append(time.perf_counter())
    loaded = jit.Loaded((code,), target, ["repeat"])
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 4)(loaded.address("repeat"))
    spent = [1e3 * (t - s) for s, t in pairwise(times)]
    return call, p, spent, parsed, loaded


def repeat(module: ir.Module, kernel: ir.Function) -> None:
    """``repeat(times, …)`` calls the kernel in a native loop."""
    function = ir.Function(module, ir.FunctionType(ir.VOID, [I64] + [PTR] * 4), "repeat")
    e = Emitter(Builder(function.append_basic_block()))
    body, after = function.append_basic_block(), function.append_basic_block()
    before = e.b.block
    e.b.branch(body)
    e.b.position_at_end(body)
    i = e.b.phi(I64)
    i.add_incoming(function.args[0], before)
    e.b.call(kernel, function.args[1:])
    left = e.b.sub(i, I64(1))
    i.add_incoming(left, body)
    e.b.cbranch(e.b.icmp_signed(">", left, I64(0)), body, after)
    e.b.position_at_end(after)
    e.b.ret_void()


def peak(target: jit.Target, dtype: np.dtype = F4) -> float:
    """GFLOP/s of multiply-adds between registers."""
    lanes, turns = target.vector_bytes // dtype.itemsize, 100_000
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VOID, [PTR]), "peak")
    e = Emitter(Builder(function.append_basic_block()))
    one = e.load(function.args[0], dtype, lanes)
    with e.loop(0, turns, carry=[e.mul(one, e.like(one, i)) for i in range(12)]) as loop:
        loop.next([e.fma(one, one, x) for x in loop.carry])
    total = loop.carry[0]
    for x in loop.carry[1:]:
        total = e.add(total, x)
    e.store(total, function.args[0])
    e.b.ret_void()
    loaded = jit.Loaded((jit.compile_module(module, target),), target, ["peak"])
    memory = np.zeros(64, dtype)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded.address("peak"))
    return turns * 12 * lanes * 2 / min(timed(lambda: call(memory.ctypes.data)) for _ in range(15)) / 1e9


def timed(f) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    raw = np.zeros(size * dtype.itemsize + 64, np.uint8)
    return raw[-raw.ctypes.data % 64:][:size * dtype.itemsize].view(dtype)


def turns(f: Callable[[int], None], seconds: float) -> int:
    """How often to call ``f`` for a sample of about so many seconds."""
    some = max(1, int(seconds / 50 / max(timed(lambda: f(1)), 1e-7)))
    return max(1, int(seconds / max(timed(lambda: f(some)) / some, 1e-9)))


def compare(functions: list, seconds: float, rounds: int) -> list[float]:
    """Median seconds of one call of each ``f(times)``; rounds take turns, so that a busy machine troubles all alike."""
    times = [turns(f, seconds) for f in functions]
    samples = [[timed(partial(f, n)) / n for f, n in zip(functions, times, strict=True)] for _ in range(rounds)]
    return [statistics.median(s) for s in zip(*samples, strict=True)]


def measure(kind: str, m: int, k: int, n: int, target: jit.Target, best: float, rounds: int, show: bool) -> None:
    c = matrix_product(kind, m, k, n)
    call, p, spent, parsed, _keep = compile_kernel(c, target)
    rng = np.random.default_rng(0)
    a, b, out, scratch = (aligned(size, c.dtype) for size in (m * k, k * n, m * n, max(1, p.scratch)))
    a[:], b[:] = rng.standard_normal(a.size), rng.standard_normal(b.size)
    x = a.reshape(m, k) if kind[0] == "N" else a.reshape(k, m).T
    y = b.reshape(k, n) if kind[1] == "N" else b.reshape(n, k).T
    addresses = [v.ctypes.data for v in (a, b, out, scratch)]
    call(1, *addresses)
    want = x.astype("f8") @ y.astype("f8")
    error = np.abs(out.reshape(m, n) - want).max() / np.abs(want).max()
    result = np.empty((m, n), c.dtype)

    def numpy(times: int) -> None:
        for _ in range(times):
            np.matmul(x, y, out=result)

    ours, theirs = compare([lambda t: call(t, *addresses), numpy], TARGET_SECONDS, rounds)
    work = 2 * m * k * n / 1e9
    lines = jit.target_machine(target).emit_assembly(parsed).count("\n")
    print(
        f"{kind} {m}×{k}×{n}".ljust(19),
        f"{ours * 1e9:11,.0f} ns {work / ours:7.1f} GFLOP/s {100 * work / ours / best:5.1f} %",
        f"NumPy {work / theirs:6.1f} ({theirs / ours:5.2f}×)  error {error:.0e}",
        f" plan {spent[0]:4.1f} emit {spent[1]:4.1f} optimize {spent[2]:5.1f} code {spent[3]:5.1f} ms, {lines} lines",
        flush=True,
    )
    if show:
        print(p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plan", action="store_true", help="print the plans")
    options = parser.parse_args()
    target = jit.host()
    best = peak(target)
    print(f"{target.cpu}, {8 * target.vector_bytes}-bit vectors: {best:.1f} GFLOP/s of multiply-adds in registers")
    for kind, m, k, n in SMALL + LARGE:
        if options.name in f"{kind} {m}×{k}×{n}":
            measure(kind, m, k, n, target, best, options.rounds, options.plan)


if __name__ == "__main__":
    main()
