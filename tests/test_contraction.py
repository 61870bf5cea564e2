"""Contractions against their definition in float64, for several vector widths, with guard pages around all memory."""

from __future__ import annotations

import ctypes
import math
import mmap
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from samples import HALF as HALVES

from chainrule import dtypes
from chainrule.compiler.contraction import ContractAxis, Contraction, Plan, plan
from chainrule.compiler.contraction_plan import Pack, Step
from chainrule.llvm import ir, jit
from chainrule.llvm.builder import Builder
from chainrule.llvm.contraction import emit_contraction
from chainrule.llvm.emitter import I8, I64, INT64, PTR, Emitter, Val
from chainrule.llvm.frame import Part
from chainrule.llvm.half import HALF
from chainrule.llvm.math import MATH

PAGE = mmap.PAGESIZE
WIDTHS = {16: 16, 32: 16, 64: 32}  # vector bytes: registers
SMALL_CACHES = {"l1_bytes": 4096, "l2_bytes": 16384}  # so that little matrices are cut into blocks
F4 = np.dtype("f4")


BFLOAT16 = next(np.dtype(h) for h in HALVES if np.dtype(h) != np.float16)


def products_of_pairs(e: Emitter, x: Val, y: Val, total: Val) -> Val:
    """What AVX-512-BF16's instruction does, for processors without it."""
    def part(v: Val, upper: bool) -> Val:
        bits = e.bitcast(v, np.uint32)
        return e.bitcast(e.and_(bits, e.like(bits, 0xFFFF0000)) if upper else e.shl(bits, e.like(bits, 16)), F4)

    for upper in (False, True):
        total = e.fma(part(x, upper), part(y, upper), total)
    return total


FUNCTIONS = MATH | HALF | ({} if jit.host().native_bfloat16 else {"add_products_of_pairs": products_of_pairs})


def machine(vector_bytes: int, **others: Any) -> jit.Target:
    return replace(jit.host(), vector_bytes=vector_bytes, vector_registers=WIDTHS[vector_bytes], **others)


def compiled(c: Contraction, target: jit.Target, axis: int | None,
             chosen: Plan | None = None) -> tuple[Callable[..., None], Plan, object]:
    """A native function (a, b, out, bias, scratch, begin, end).

    ``out`` += the sums, + the bias if there is a second access. ``axis``: only the tiles from begin to end along it.
    ``chosen``: by another plan than the one that is found.
    """
    p = chosen or plan(c, target)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VOID, [PTR] * 5 + [I64] * 2), "kernel")
    e = Emitter(Builder(function.append_basic_block()), FUNCTIONS, target.native_half)
    a, b, out, bias, scratch, begin, end = function.args
    strides = tuple(x.out for x in c.axes)

    def epilogue(e, place, sums):
        assert sums.lanes == place.lanes
        if c.accesses:
            sums = e.add(sums, place.load(bias, c.accesses[0], c.dtype))
        place.store(e.add(sums, place.load(out, strides, c.dtype)), out, strides)

    part = None if axis is None else Part(axis, Val(begin, INT64), Val(end, INT64))
    emit_contraction(e, p, a, b, scratch if p.scratch else None, epilogue, part)
    e.b.ret_void()
    loaded = jit.Loaded((jit.compile_module(module, target),), target, ["kernel"])
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, *[ctypes.c_int64] * 2)(loaded.address("kernel"))
    return call, p, loaded


class Guarded:
    """An array that begins or ends exactly at a page that may not be touched."""

    def __init__(self, size: int, dtype: np.dtype, at_end: bool) -> None:
        size_bytes = size * dtype.itemsize
        pages = max(1, -(-size_bytes // PAGE))
        self.map = mmap.mmap(-1, (pages + 2) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.guards = [start, start + (pages + 1) * PAGE]
        offset = PAGE + (pages * PAGE - size_bytes if at_end else 0)
        self.array = np.frombuffer(self.map, dtype, size, offset)
        self.protect(0)

    def protect(self, mode: int) -> None:
        change = ctypes.CDLL(None).mprotect
        change.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert all(change(page, PAGE, mode) == 0 for page in self.guards)

    @property
    def address(self) -> int:
        return self.array.ctypes.data


def strides_of(order: str, sizes: dict[str, int]) -> dict[str, int]:
    total, found = 1, {}
    for i in reversed(order):
        found[i], total = total, total * sizes[i]
    return found


def einsum(
    spec: str, dtype: str = "f4", memory: tuple[str, ...] | None = None, bias: str = "", **sizes: int
) -> Contraction:
    """The contraction of an einsum; ``memory`` gives the order of the indices where it differs from the spec's."""
    out = spec.split("->")[1]
    a, b, c = (strides_of(order, sizes) for order in memory or (*spec.split("->")[0].split(","), out))
    names = [*out, *(i for i in sizes if i not in out)]
    axes = tuple(ContractAxis(sizes[i], a.get(i, 0), b.get(i, 0), c.get(i, 0), i not in out) for i in names)
    extra = strides_of(bias, sizes)
    return Contraction(axes, np.dtype(dtype), (tuple(extra.get(i, 0) for i in names),) if bias else ())


def span(c: Contraction, strides: list[int]) -> int:
    """Elements from the first to the last that is accessed."""
    if not all(x.extent for x, s in zip(c.axes, strides, strict=True) if s or not x.reduce):
        return 1
    return 1 + sum((x.extent - 1) * s for x, s in zip(c.axes, strides, strict=True))


def view(c: Contraction, array: np.ndarray, strides: list[int]) -> np.ndarray:
    wide = array.astype(np.float64 if dtypes.is_float(array.dtype) else c.dtype, copy=False)
    return np.lib.stride_tricks.as_strided(wide, [x.extent for x in c.axes], [s * wide.itemsize for s in strides])


def tiles(p: Plan, axis: int) -> int:
    return sum((piece.stop - piece.start) // piece.size for piece in p.pieces(axis))


def check(c: Contraction, vector_bytes: int, at_end: bool = True, axis: int | None = None,
          chosen: Plan | None = None, **others: Any) -> Plan:
    """Run a contraction between guard pages; ``out`` starts from 1, so what is stored twice or never shows.

    With an axis of the plan, run it in parts along the axis, the last one first.
    """
    rng = np.random.default_rng(7)
    call, p, _keep = compiled(c, machine(vector_bytes, **others), axis, chosen)
    strides = [[x.a for x in c.axes], [x.b for x in c.axes], [x.out for x in c.axes]]
    strides.append(list(c.accesses[0]) if c.accesses else [0] * len(c.axes))
    memory = [Guarded(span(c, s), c.memory(k) if k < 2 else c.dtype, at_end) for k, s in enumerate(strides)]
    memory.append(Guarded(-(-p.scratch // 16) * 16, c.dtype, True))
    for x in memory:
        x.array[:] = rng.integers(-9, 9, x.array.size) if c.dtype.kind == "i" else rng.standard_normal(x.array.size)
    a, b, out, bias, scratch = (x.array for x in memory)
    out[:] = 1
    reduced = tuple(i for i, x in enumerate(c.axes) if x.reduce)
    kept = replace(c, axes=tuple(replace(x, extent=1) if x.reduce else x for x in c.axes))
    products = view(c, a, strides[0]) * view(c, b, strides[1])
    sums = np.sum(products, axis=reduced, keepdims=True, dtype=products.dtype)
    sums = sums + (view(kept, bias, strides[3]) if c.accesses else 0)
    want = np.ones(out.size, sums.dtype)
    view(kept, want, strides[2])[...] += sums
    cuts = [0, 0] if axis is None else sorted({0, tiles(p, axis), *rng.integers(0, tiles(p, axis), 3).tolist()})
    for begin, end in list(pairwise(cuts))[::-1]:
        scratch[:] = np.nan if c.dtype.kind == "f" else 77
        call(*(x.address for x in memory), begin, end)
    if c.dtype.kind == "f":
        limit = {4: 2e-6, 8: 4e-15}[c.dtype.itemsize] * (8 + p.steps)
        assert np.abs(out - want).max() <= limit, f"{np.abs(out - want).max()}\n{p}"
    else:
        assert np.array_equal(out, want), str(p)
    for x in memory:
        x.protect(3)
    return p


PRODUCTS = {"NN": ("mk", "kn"), "TN": ("km", "kn"), "NT": ("mk", "nk"), "TT": ("km", "nk")}
SIZES = [  # m, n, k
    (10, 32, 10), (10, 16, 32), (10, 1, 16), (32, 16, 10), (10, 32, 16), (16, 1, 10), (1, 1, 100), (1, 100, 33),
    (100, 1, 33), (1, 1, 1), (33, 17, 100), (16, 16, 16), (7, 100, 2), (100, 2, 17), (100, 10, 64), (100, 13, 33),
    (2, 100, 7), (17, 33, 0), (0, 7, 7), (7, 0, 7), (16, 7, 1), (33, 100, 1), (128, 96, 200), (1, 40, 1000),
    (2, 1, 1000),
]


def product_of(kind: str, m: int, n: int, k: int, dtype: str = "f4") -> Contraction:
    a, b = PRODUCTS[kind]
    return einsum(f"{a},{b}->mn", dtype, m=m, n=n, k=k)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(kind: str, vector_bytes: int) -> None:
    for m, n, k in SIZES:
        check(product_of(kind, m, n, k), vector_bytes)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("dtype", ["f8", "i4", "i8"])
def test_dtypes(dtype: str, vector_bytes: int) -> None:
    for kind in PRODUCTS:
        for m, n, k in [(7, 33, 17), (40, 1, 33), (1, 1, 70), (13, 3, 5)]:
            check(product_of(kind, m, n, k, dtype), vector_bytes, at_end=False)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("dtype", HALVES)
def test_half_operands(dtype: str, vector_bytes: int) -> None:
    """Read as they lie, packed, transposed and cut into blocks; with instructions for float16 and without."""
    half = np.dtype(dtype)
    for n, kind in enumerate(PRODUCTS):
        for k, (stored, shape) in enumerate(product([(half, half), (half, F4), (F4, half)], SIZES)):
            if k % 8 == 2 * n + (half == np.float16):
                check(replace(product_of(kind, *shape), stored=stored), vector_bytes, native_half=k % 3 > 0)
        for shape in [(61, 150, 700), (150, 77, 333)]:
            check(replace(product_of(kind, *shape), stored=(half, half)), vector_bytes, **SMALL_CACHES)
    for kind in ("forward", "filters"):
        for caches in ({}, SMALL_CACHES):
            check(replace(convolution(kind, 2, 7, 20, 17, 33, 3), stored=(half, half)), vector_bytes, **caches)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
def test_pairs_of_bfloat16(vector_bytes: int) -> None:
    """Sums by words of two numbers: read where they lie, or put together by packing; odd sums, blocks, parts."""
    stored = {"stored": (BFLOAT16, BFLOAT16)}
    others = {"native_bfloat16": True}
    forms = set()
    for n, kind in enumerate(PRODUCTS):
        for shape in [*SIZES[n % 2::2], (61, 150, 700), (150, 77, 333)]:
            p = check(replace(product_of(kind, *shape), **stored), vector_bytes, at_end=bool(n % 2), **others,
                      **(SMALL_CACHES if shape[2] > 100 else {}))
            forms |= {(p.words.direct, p.words.odd, p.dot)} if p.words else set()
    assert len(forms) >= 5 and any(dot for *_, dot in forms)
    for kind in ("forward", "filters"):
        for c in [convolution(kind, 2, 9, 12, 16, 24, 3), convolution(kind, 2, 7, 20, 17, 33, 3)]:
            check(replace(c, **stored), vector_bytes, **others)
    c = replace(product_of("NN", 90, 77, 402), **stored)
    for axis in (0, 1):
        assert check(c, vector_bytes, axis=axis, **others, **SMALL_CACHES).words is not None
    rng = random.Random(vector_bytes)
    for n in range(30):
        c = random_contraction(rng)
        if c.dtype == F4:
            check(replace(c, **stored), vector_bytes, at_end=bool(n % 2), **others)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
def test_blocks(vector_bytes: int) -> None:
    """Every axis cut into blocks, with odd tiles and odd last blocks."""
    cut = set()
    for kind in PRODUCTS:
        for l2_bytes, (m, n, k) in [(8192, (61, 150, 700)), (32768, (900, 77, 40)), (32768, (150, 333, 1024))]:
            p = check(product_of(kind, m, n, k), vector_bytes, l1_bytes=4096, l2_bytes=l2_bytes)
            cut |= {p.axes[i].parts for i in p.blocks}
    assert len(cut) == 3


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_parts(kind: str, vector_bytes: int) -> None:
    """Tiles along one axis, as threads take them: with blocks and without."""
    cases = [(product_of(kind, 61, 100, 300), 8192), (product_of(kind, 100, 10, 64), 65536)]
    if kind == "NN":
        batch, halves = einsum("amk,ank->amn", a=5, m=17, n=33, k=20), (np.dtype("f2"),) * 2
        cases += [(batch, 65536), (product_of(kind, 90, 77, 400), 32768), (replace(batch, stored=halves), 65536),
                  (replace(convolution("forward", 3, 9, 12, 16, 24, 3), stored=halves), 65536)]
    for c, l2_bytes in cases:
        caches = {"l1_bytes": 4096, "l2_bytes": l2_bytes}
        p = plan(c, machine(vector_bytes, **caches))
        for axis in range(len(p.axes)):
            if not p.axes[axis].reduce and tiles(p, axis) > 1:
                check(c, vector_bytes, axis=axis, **caches)


BATCHED = [
    "bmk,bkn->bmn", "bmk,bnk->bmn", "bkm,bkn->bmn", "bmk,kn->bmn", "mk,bkn->bmn", "bk,bk->b", "bhqd,bhkd->bhqk",
    "bhqk,bhkd->bhqd", "bqhd,bkhd->bhqk", "abm,abn->mn", "ambk,kn->ambn", "mab,abn->mn", "mab,ban->mn", "m,n->mn",
    "ab,ab->", "abc,acd->bd", "c,abc->abc",
]


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("spec", BATCHED)
def test_einsums(spec: str, vector_bytes: int) -> None:
    names = sorted(set(spec) - set(",->"))
    for sizes in ([5, 3, 6, 4, 7], [2, 17, 3, 33, 9], [1, 8, 16, 2, 1]):
        check(einsum(spec, **dict(zip(names, sizes, strict=False))), vector_bytes)


def convolution(
    kind: str, n: int, h: int, w: int, c: int, o: int, k: int, step: int = 1, depthwise: bool = False
) -> Contraction:
    """A k × k convolution of n × h × w × c images with o filters, or its derivative by the filters."""
    y, x = (h - k) // step + 1, (w - k) // step + 1
    image = {"n": h * w * c, "y": step * w * c, "x": step * c, "i": w * c, "j": c, "c": 1}
    filters = {"i": k * c * o, "j": c * o, "c": o, "o": 1}
    result = {"n": y * x * o, "y": x * o, "x": o, "o": 1}
    sizes = {"n": n, "y": y, "x": x, "i": k, "j": k, "c": c, "o": o}
    a, b, out = {"forward": (image, filters, result), "filters": (image, result, filters)}[kind]
    if depthwise:  # every channel has its own filter
        a, b, out = image, {"i": k * c, "j": c, "c": 1}, {"n": y * x * c, "y": x * c, "x": c, "c": 1}
        del sizes["o"]
    axes = [ContractAxis(size, a.get(i, 0), b.get(i, 0), out.get(i, 0), i not in out) for i, size in sizes.items()]
    return Contraction(tuple(axes), F4)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
def test_convolutions(vector_bytes: int) -> None:
    for kind in ("forward", "filters"):
        for shape in [(2, 9, 8, 3, 5, 3), (1, 12, 12, 16, 32, 5), (2, 7, 20, 17, 33, 3)]:
            for caches in ({}, SMALL_CACHES):
                check(convolution(kind, *shape), vector_bytes, **caches)
        check(convolution(kind, 2, 11, 9, 4, 8, 3, step=2), vector_bytes)
    check(convolution("forward", 2, 9, 11, 20, 1, 3, depthwise=True), vector_bytes)


def random_contraction(rng: random.Random) -> Contraction:
    """Up to two indices of every kind, in random order in memory, with a further access over some of the outputs."""
    extents = [0, 1, 2, 3, 5, 7, 8, 16, 17, 33]
    kinds = {"a": "ao", "b": "ao", "m": "bo", "n": "bo", "x": "abo", "k": "ab", "l": "ab", "r": "a"}
    chosen = [i for i in kinds if rng.random() < (0.2 if i == "r" else 0.6)] or ["k"]
    sizes = {i: rng.choice(extents[0 if rng.random() < 0.03 else 1:]) for i in chosen}
    while math.prod(sizes.values()) > 100_000:
        sizes = {i: max(1, n // 2) for i, n in sizes.items()}
    orders = []
    for operand in "abo":
        order = [i for i in chosen if operand in kinds[i]]
        rng.shuffle(order)
        orders.append("".join(order))
    bias = [i for i in orders[2] if rng.random() < 0.5]
    out = "".join(i for i in chosen if "o" in kinds[i])
    dtype = rng.choice(["f4", "f4", "f4", "f8", "i4"])
    c = einsum(f"{orders[0]},{orders[1]}->{out}", dtype, memory=tuple(orders), bias="".join(bias), **sizes)
    if dtype != "f4" or rng.random() < 0.5:
        return c
    return replace(c, stored=tuple(np.dtype(rng.choice([*HALVES, "f4"])) for _ in "ab"))


@pytest.mark.parametrize("vector_bytes", WIDTHS)
def test_random(vector_bytes: int) -> None:
    rng = random.Random(vector_bytes)
    for n in range(60):
        c = random_contraction(rng)
        check(c, vector_bytes, at_end=bool(n % 2), **(SMALL_CACHES if n % 3 == 0 else {}))


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_products_of_middling_sizes(kind: str, vector_bytes: int) -> None:
    """Whose sums go by blocks, as the caches of real processors want it."""
    rng = random.Random(kind)
    caches = [{"l1_bytes": 48 << 10, "l2_bytes": 1 << 20}, {"l1_bytes": 32 << 10, "l2_bytes": 512 << 10}]
    cut = [check(product_of(kind, m, n, k), vector_bytes, **caches[0]).cut_depth
           for m, n, k in [(16, 200, 200), (16, 300, 200), (20, 208, 183)]]
    assert kind != "NT" or vector_bytes != 64 or None not in cut
    for n in range(10):
        check(product_of(kind, rng.randint(2, 40), rng.randint(40, 320), rng.randint(90, 330)), vector_bytes,
              at_end=bool(n % 2), **caches[n % 2])


@pytest.mark.parametrize("vector_bytes", WIDTHS)
def test_blocks_of_a_sum_are_whole_lines(vector_bytes: int) -> None:
    """A block that is none is packed in smaller squares, and not into the next one's place."""
    caches = {"l1_bytes": 48 << 10, "l2_bytes": 1 << 20}
    c = product_of("NT", 16, 200, 200)
    p = plan(c, machine(vector_bytes, **caches))
    sizes = {s.axis: s.size for s in p.nest if isinstance(s, Step) and s.block and p.axes[s.axis].reduce}
    assert all(size % p.lanes == 0 for size in sizes.values())
    odd = (replace(s, size=s.size - 8) if isinstance(s, Step) and s.block and s.axis in sizes else s for s in p.nest)
    check(c, vector_bytes, chosen=replace(p, nest=tuple(odd)), **caches)


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", ["NN", "NT"])
def test_what_comes_from_far_is_packed_some_columns_at_a_time(kind: str, vector_bytes: int) -> None:
    """Also by threads that take some tiles of the rows, or of the columns, each."""
    caches = {"l1_bytes": 4 << 10, "l2_bytes": 32 << 10}
    for m, n, k in [(48, 400, 41), (67, 333, 40), (90, 259, 33)]:
        for axis in (None, 0, 1):
            p = check(product_of(kind, m, n, k), vector_bytes, axis=axis, **caches)
            blocks, pack = p.nest[:2]
            assert isinstance(blocks, Step) and blocks.block and blocks.axis == 1 and pack == Pack(1, 1), str(p)
            assert p.scratch <= 2 * 80 * k


@pytest.mark.parametrize("vector_bytes", WIDTHS)
@pytest.mark.parametrize("kind", ["NN", "NT"])
def test_all_that_is_packed_next_is_fetched(kind: str, vector_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is, by some tile, before its group's turn comes; here a mark is left instead."""
    caches = {"l1_bytes": 4 << 10, "l2_bytes": 32 << 10}
    for m, n, k in [(48, 400, 41), (67, 333, 40), (90, 259, 33)]:
        c = product_of(kind, m, n, k)
        a, b, out, scratch = (np.zeros(size, F4) for size in (m * k, k * n, m * n, 8000))
        marks = np.zeros(2 * b.nbytes, np.uint8)  # tiles divide the lines with a remainder: some lie beyond
        apart = marks.ctypes.data - b.ctypes.data

        def mark(builder: Builder, pointer: ir.Value) -> None:
            builder.store(I8(1), builder.gep(pointer, I64(apart), I8))  # noqa: B023
        monkeypatch.setattr(Builder, "prefetch", mark)
        call, p, _keep = compiled(c, machine(vector_bytes, **caches), None)
        assert p.scratch <= scratch.size and p.grouped == Pack(1, 1)
        call(*(x.ctypes.data for x in (a, b, out, out, scratch)), 0, 0)
        width, fetched = p.blocks[1], marks[:b.nbytes].reshape((n, k, 4) if kind == "NT" else (k, n, 4))[..., 0]
        if kind == "NT":
            whole = fetched[width:n // width * width].reshape(-1, k)[:, ::16]
        else:
            whole = np.concatenate([fetched[:, s:s + width:16] for s in range(width, n - width + 1, width)])
        assert whole.size and whole.all()


def test_what_an_epilogue_reads_can_be_fetched_when_a_tile_begins() -> None:
    """Once for each register that the epilogue sees; here the number of its lanes is left at its first one instead."""
    target = machine(32)
    for c in (product_of("NN", 33, 50, 60), product_of("NT", 7, 19, 64), convolution("forward", 2, 7, 9, 16, 24, 3)):
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(ir.VOID, [PTR] * 5), "kernel")
        e, p, strides = Emitter(Builder(function.append_basic_block())), plan(c, target), tuple(x.out for x in c.axes)
        a, b, out, marks, scratch = function.args
        emit_contraction(
            e, p, a, b, scratch, lambda e, place, x: place.store(x, out, strides),  # noqa: B023
            fetch=lambda e, place: e.store(e.const(place.lanes, F4), place.pointer(marks, strides, F4)))  # noqa: B023
        e.b.ret_void()
        loaded = jit.Loaded((jit.compile_module(module, target),), target, ["kernel"])
        sizes = [span(c, [getattr(x, o) for x in c.axes]) for o in ("a", "b", "out", "out")]
        memory = [np.zeros(size, F4) for size in (*sizes, p.scratch + 1)]
        ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(loaded.address("kernel"))(*(x.ctypes.data for x in memory))
        lanes = memory[3].astype(int)
        covered = np.concatenate([np.arange(n, n + lanes[n]) for n in np.flatnonzero(lanes)])
        assert not p.dot and np.array_equal(covered, np.arange(memory[2].size))


def test_what_is_packed_before_a_loop_is_packed_whole() -> None:
    c = product_of("NT", 48, 400, 60)
    caches = machine(32, l1_bytes=4 << 10, l2_bytes=32 << 10)
    assert plan(c, caches, uses=(1, 9)).packs_before == (Pack(1, 1),) and not plan(c, caches).packs_before


def test_plan_is_readable_and_repeatable() -> None:
    c = product_of("NN", 128, 512, 784)
    text = str(plan(c, machine(32)))
    assert text == str(plan(c, machine(32)))
    assert "pack B along" in text and "tile" in text and "scratch" in text


def test_merged_axes_take_declared_accesses_only() -> None:
    """An output of 6 × 8 is one axis of 48; a bias of 8 can be added only if the plan knows of it."""
    axes = ContractAxis(6, 8, 0, 8, False), ContractAxis(8, 1, 0, 1, False), ContractAxis(5, 48, 1, 0, True)
    assert [x.parts for x in plan(Contraction(axes, F4), machine(32)).axes] == [(0, 1), (2,)]
    with_bias = Contraction(axes, F4, ((0, 1, 0),))
    assert len(plan(with_bias, machine(32)).axes) == 3
    check(with_bias, 32)
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VOID, [PTR] * 2), "f")
    e = Emitter(Builder(function.append_basic_block()))
    with pytest.raises(ValueError, match="planned without an access"):
        emit_contraction(e, plan(Contraction(axes, F4), machine(32)), *function.args, None,
                         lambda e, place, sums: place.offset((0, 1, 0)))
