"""What bounds a step of the 784-512-512-10 network: its parts, each in a native loop of its own, one thread.

Every product is timed with warm caches, as it stands in the step; below, what the machine's multiply-adds allow at
best, measured as a loop over twelve vector registers.
"""

import ctypes
import time

import llvmlite.ir as ir
import numpy as np
from rich.console import Console
from rich.table import Table

import chainrule as cr
from chainrule.llvm.emitter import I64, PTR, Emitter
from chainrule.llvm.jit import Loaded, emit_object, host, optimize
from chainrule.llvm.math import MATH

BATCH, SIZES = 128, (784, 512, 512, 10)
F4 = np.dtype(np.float32)
ROUNDS, TURNS = 30, 20


def seconds(body, *carry):
    """The shortest time of one ``body`` among rounds of a native loop."""
    def loop(*c):
        return cr.scan(lambda c, _: (body(*c), None), c, length=TURNS)[0]
    run = cr.jit(loop, donate=tuple(range(len(carry)))).bind(*carry)
    run()
    best = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best / TURNS


def peak():
    """Multiply-adds of one core at best, in operations a second."""
    target, turns = host(), 1_000_000
    lanes = target.vector_bytes // F4.itemsize
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64]), "run")
    e = Emitter(ir.IRBuilder(function.append_basic_block()), MATH)
    x, y = (e.const(value, F4, lanes) for value in (0.999999, 1e-9))
    with e.loop(0, turns, carry=[e.const(float(k), F4, lanes) for k in range(12)]) as loop:
        loop.next([e.fma(v, x, y) for v in loop.carry])
    total = loop.carry[0]
    for v in loop.carry[1:]:
        total = e.add(total, v)
    e.store(total, function.args[0])
    e.b.ret_void()
    code = Loaded(emit_object(optimize(module, target), target), target)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.address("run"))
    out = np.zeros(64, F4)
    best = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run(out.ctypes.data, 0)
        best = min(best, time.perf_counter() - start)
    return 2 * 12 * lanes * turns / best


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.random(shape, F4) for shape in shapes]


def product(name, a, b, function):
    """A product into a third array that the next turn depends on, so that no turn can be left out."""
    out = np.zeros(function(a, b).shape, F4)
    took = seconds(lambda a, b, c: (a, b, function(a, b) + c * F4.type(1e-9)), a, b, out)
    return name, took, 2 * a.size * b.size / (a.shape[0] if "ᵀ·" in name else a.shape[1])


def parts():
    """Name, seconds and operations of every part."""
    for n, m in zip(SIZES[:-1], SIZES[1:], strict=True):
        yield product(f"forward x·W {BATCH}x{n}x{m}", *arrays((BATCH, n), (n, m)), lambda a, b: a @ b)
        yield product(f"weights xᵀ·δ {n}x{BATCH}x{m}", *arrays((BATCH, n), (BATCH, m)), lambda a, b: a.T @ b)
        if n != SIZES[0]:
            yield product(f"inputs δ·Wᵀ {BATCH}x{m}x{n}", *arrays((BATCH, m), (n, m)), lambda a, b: a @ b.T)
    count = sum(n * m + m for n, m in zip(SIZES[:-1], SIZES[1:], strict=True))

    def adam(p, m, v, g):
        m = m + (g - m) * F4.type(0.1)
        v = v + (g * g - v) * F4.type(0.001)
        return p - m * F4.type(1e-3) / (np.sqrt(v) + F4.type(1e-7)), m, v, g
    yield f"Adam, {count:,} parameters", seconds(adam, *arrays(count, count, count, count)), 0
    rows, picked = arrays((5000, SIZES[0]))[0], np.random.default_rng(0).integers(0, 5000, BATCH)
    yield "choice of the minibatch", seconds(lambda x, i, out: (x, i, x[i] + out * F4.type(1e-9)), rows, picked,
                                             np.zeros((BATCH, SIZES[0]), F4)), 0


if __name__ == "__main__":
    best = peak()
    table = Table("part", "µs", "GFLOP/s", "of peak")
    total = operations = 0.0
    for name, took, count in parts():
        table.add_row(name, f"{took * 1e6:.0f}", f"{count / took / 1e9:.0f}" if count else "",
                      f"{count / took / best:.0%}" if count else "")
        total, operations = total + took, operations + count
    table.add_section()
    table.add_row("all parts", f"{total * 1e6:.0f}", "", f"{operations / total / best:.0%}")
    table.add_row("the products at peak", f"{operations / best * 1e6:.0f}", f"{best / 1e9:.0f}", "")
    Console().print(table)
