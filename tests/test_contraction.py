"""Contractions against np.einsum, for several vector widths, with guard pages around the operands."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import replace

import llvmlite.ir as ir
import numpy as np
import pytest

from chainrule.compiler.contraction import ContractAxis, Contraction, plan
from chainrule.llvm import jit
from chainrule.llvm.contraction import emit_contraction
from chainrule.llvm.emitter import PTR, Emitter

PAGE = mmap.PAGESIZE
WIDTHS = {16: 16, 32: 16, 64: 32}  # vector bytes: registers
SEED = 7


def machine(vector_bytes: int) -> jit.Target:
    return replace(jit.host(), vector_bytes=vector_bytes, vector_registers=WIDTHS[vector_bytes])


def compiled(c: Contraction, target: jit.Target, count_stores: bool = False):
    """The contraction as a native function (a, b, out, scratch), and its plan; ``out`` += the sums where counting."""
    p = plan(c, target)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR] * 4), "kernel")
    e = Emitter(ir.IRBuilder(function.append_basic_block()))
    a, b, out, scratch = function.args
    strides = tuple(x.out for x in c.axes)

    def epilogue(e, place, sums):
        assert sums.lanes == place.lanes
        if count_stores:
            sums = e.add(sums, place.load(out, strides, c.dtype))
        place.store(sums, out, strides)

    emit_contraction(e, p, a, b, scratch, epilogue)
    e.b.ret_void()
    loaded = jit.Loaded(jit.emit_object(jit.optimize(module, target), target), target)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(loaded.address("kernel"))
    return call, p, loaded


class Guarded:
    """Memory that ends, or begins, exactly at a page that may not be touched."""

    def __init__(self, size: int, dtype: np.dtype, at_end: bool) -> None:
        bytes_ = size * dtype.itemsize
        pages = max(1, -(-bytes_ // PAGE))
        self.map = mmap.mmap(-1, (pages + 2) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.pages = [start, start + (pages + 1) * PAGE]
        offset = PAGE + (pages * PAGE - bytes_ if at_end else 0)
        self.array = np.frombuffer(self.map, dtype, size, offset)
        self.unprotect = lambda: [protect(p, PAGE, 3) for p in self.pages]
        assert all(protect(p, PAGE, 0) == 0 for p in self.pages)

    @property
    def address(self) -> int:
        return self.array.ctypes.data


def einsum(spec: str, sizes: dict[str, int], dtype: str = "f4", layout: tuple[str, str, str] | None = None,
           accesses: tuple[str, ...] = ()) -> Contraction:
    """The contraction of an einsum; ``layout`` gives the order of the indices in memory where it differs."""
    a, b, out = layout or (*spec.split("->")[0].split(","), spec.split("->")[1])

    def strides(order: str) -> dict[str, int]:
        total, found = 1, {}
        for i in reversed(order):
            found[i], total = total, total * sizes[i]
        return found

    sa, sb, so = strides(a), strides(b), strides(out)
    names = list(out) + [i for i in sizes if i not in out]
    axes = tuple(ContractAxis(sizes[i], sa.get(i, 0), sb.get(i, 0), so.get(i, 0), i not in out) for i in names)
    return Contraction(axes, np.dtype(dtype), tuple(tuple(strides(x).get(i, 0) for i in names) for x in accesses))


def expected(c: Contraction, a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """By definition, in float64 (integers: themselves)."""
    shape = [x.extent for x in c.axes]
    wide = np.float64 if c.dtype.kind == "f" else c.dtype
    item = c.dtype.itemsize
    views = [np.lib.stride_tricks.as_strided(v, shape, [getattr(x, n) * item for x in c.axes]).astype(wide) for v, n in ((a, "a"), (b, "b"))]
    reduced = tuple(i for i, x in enumerate(c.axes) if x.reduce)
    sums = np.sum(views[0] * views[1], axis=reduced, dtype=wide)
    out = np.zeros(size, wide)
    where = sum((np.arange(x.extent).reshape([-1 if n == m else 1 for m in range(sums.ndim)]) * x.out
                 for n, x in enumerate(y for y in c.axes if not y.reduce)), np.zeros(sums.shape, int))
    out[where] = sums
    return out


def span(c: Contraction, name: str) -> int:
    if any(not x.extent for x in c.axes if getattr(x, name)):
        return 0
    return 1 + sum((x.extent - 1) * getattr(x, name) for x in c.axes)


def check(c: Contraction, vector_bytes: int, at_end: bool = True) -> None:
    rng = np.random.default_rng(SEED)
    call, p, _keep = compiled(c, machine(vector_bytes), count_stores=True)
    a, b, out = (Guarded(span(c, n), c.dtype, at_end) for n in ("a", "b", "out"))
    scratch = Guarded(-(-p.scratch // 16) * 16, c.dtype, True)
    for x in (a, b):
        x.array[:] = rng.integers(-9, 9, x.array.size) if c.dtype.kind == "i" else rng.standard_normal(x.array.size)
    out.array[:] = 0
    scratch.array[:] = np.nan if c.dtype.kind == "f" else 77
    call(a.address, b.address, out.address, scratch.address)
    want = expected(c, a.array, b.array, out.array.size)
    tolerance = {4: 2e-5, 8: 1e-13}[c.dtype.itemsize] * max(1, p.steps) ** 0.5
    assert np.allclose(out.array, want, rtol=0, atol=tolerance * 4 if c.dtype.kind == "f" else 0), str(p)
    for x in (a, b, out, scratch):
        x.unprotect()


PRODUCTS = {"NN": ("mk", "kn"), "TN": ("km", "kn"), "NT": ("mk", "nk"), "TT": ("km", "nk")}
SIZES = [(10, 32, 10), (10, 16, 32), (10, 1, 16), (32, 16, 10), (10, 32, 16), (16, 1, 10), (1, 1, 100), (1, 100, 33), (100, 1, 33), (1, 1, 1),
         (33, 17, 100), (16, 16, 16), (7, 100, 2), (100, 2, 17), (100, 10, 64), (100, 13, 33), (2, 100, 7), (17, 33, 0), (0, 7, 7), (7, 0, 7),
         (16, 7, 1), (33, 100, 1), (64, 64, 64), (128, 96, 200), (1, 40, 1000), (40, 1, 1000), (2, 1, 1000)]


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(kind: str, vector_bytes: int) -> None:
    for m, n, k in SIZES:
        a, b = PRODUCTS[kind]
        check(einsum(f"{a},{b}->mn", dict(m=m, n=n, k=k)), vector_bytes)
