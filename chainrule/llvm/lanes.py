"""Movements of lanes between registers and memory: short vectors, transposing loads, sums across lanes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from chainrule.addresses import LINE
from chainrule.llvm import ir
from chainrule.llvm.emitter import I1, I32, PTR, Emitter, Val, lane_type

MASKED_BYTES = 64  # registers of this width (AVX-512) store a part of them as fast as the whole


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least ``n``."""
    return 1 << (n - 1).bit_length()


def resize(e: Emitter, x: Val, lanes: int) -> Val:
    """The first ``lanes`` lanes of ``x``; lanes beyond its own are zero."""
    if x.lanes == lanes:
        return x
    if x.lanes == 1:
        return e.insert(e.const(0, x.dtype, lanes), x, 0)
    if lanes == 1:
        return e.extract(x, 0)
    return e.shuffle(x, e.like(x, 0), [min(i, x.lanes) for i in range(lanes)])


def load_first(e: Emitter, pointer: ir.Value, dtype: np.dtype, lanes: int, width: int) -> Val:
    """``lanes`` consecutive elements in a register of ``width`` lanes, the others zero; reads nothing beyond them."""
    if lanes == width:
        return e.load(pointer, dtype, lanes)
    if lanes == power_of_two(lanes):
        return resize(e, e.load(pointer, dtype, lanes), width)
    if dtype.itemsize < 4:  # vector units mask whole words only
        return _load_pieces(e, pointer, dtype, lanes, width)
    kind = lane_type(dtype, width)
    name = f"llvm.masked.load.v{width}{_suffix(dtype)}.p0"
    function = e.b.module.declared(name, kind, [PTR, I32, ir.vector_type(I1, width), kind])
    zero = e.const(0, dtype, width).ir
    return Val(e.b.call(function, [pointer, I32(dtype.itemsize), _mask(lanes, width), zero]), dtype)


def _load_pieces(e: Emitter, pointer: ir.Value, dtype: np.dtype, lanes: int, width: int) -> Val:
    """The same in pieces of powers of two lanes."""
    size = 1 << (lanes.bit_length() - 1)
    first = resize(e, e.load(pointer, dtype, size), width)
    if size == lanes:
        return first
    rest = load_first(e, e.at(pointer, size, dtype), dtype, lanes - size, width)
    return e.shuffle(first, rest, [i if i < size else width + i - size for i in range(width)])


def store_first(e: Emitter, x: Val, pointer: ir.Value, lanes: int) -> None:
    """Write the first ``lanes`` lanes of ``x``: in pieces of powers of two, or masked where registers are that wide."""
    width = power_of_two(lanes)
    if lanes < width and width * x.dtype.itemsize == MASKED_BYTES:
        x = resize(e, x, width)
        name = f"llvm.masked.store.v{width}{_suffix(x.dtype)}.p0"
        function = e.b.module.declared(name, ir.VOID, [x.ir.type, PTR, I32, ir.vector_type(I1, width)])
        e.b.call(function, [x.ir, pointer, I32(x.dtype.itemsize), _mask(lanes, width)])
        return
    start = 0
    while start < lanes:
        size = 1 << ((lanes - start).bit_length() - 1)
        e.store(pick(e, x, range(start, start + size)), e.at(pointer, start, x.dtype))
        start += size


def pick(e: Emitter, x: Val, lanes: Sequence[int]) -> Val:
    """The given lanes of ``x``."""
    if list(lanes) == list(range(x.lanes)):
        return x
    return e.extract(x, lanes[0]) if len(lanes) == 1 else e.shuffle(x, x, lanes)


def join(e: Emitter, parts: Sequence[Val]) -> Val:
    """Vectors of equal lanes, a power of two of them, one after the other."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    low, high = join(e, parts[:half]), join(e, parts[half:])
    if low.lanes == 1:
        return e.insert(resize(e, low, 2), high, 1)
    return e.shuffle(low, high, range(2 * low.lanes))


def gather(e: Emitter, pointer: ir.Value, start: int, step: int, dtype: np.dtype, lanes: int, width: int) -> Val:
    """Elements ``start``, ``start + step``, … in the first ``lanes`` of ``width`` lanes; zero in the others."""
    x = e.const(0, dtype, width)
    for lane in range(lanes):
        x = e.insert(x, e.load(e.at(pointer, start + lane * step, dtype), dtype), lane)
    return x


def load_columns(
    e: Emitter, pointer: ir.Value, apart: int, dtype: np.dtype, rows: int, columns: int, width: int, wide: np.dtype
) -> list[Val]:
    """A matrix of ``rows`` rows that lie ``apart`` as one register of ``width`` lanes for each column, made ``wide``.

    Takes at most four elements of a row and transposes blocks of 4 × 4 (or 2 × 2) in registers: two shuffles a column.
    As many columns as :func:`turned_at_once` tells take each row's line once, with four shuffles a column.
    """
    quad = square(wide)
    if width < quad:
        return [e.cast(gather(e, pointer, c, apart, dtype, rows, width), wide) for c in range(columns)]

    def row(i: int, first: int, count: int, kept: int) -> Val:
        if i >= rows:
            return e.const(0, dtype, kept)
        return load_first(e, e.at(pointer, i * apart + first, dtype), dtype, count, kept)

    if columns == width and width * wide.itemsize == LINE:  # each row is one register
        lines = [e.cast(row(i, 0, width, width), wide) for i in range(width)]
        parts = [_transpose_blocks(e, lines[i:i + quad]) for i in range(0, width, quad)]
        found = [_exchange_blocks(e, [part[c] for part in parts]) for c in range(quad)]
        return [found[c % quad][c // quad] for c in range(columns)]
    result: list[Val] = []
    for first in range(0, columns, quad):
        # In each register: rows r, quad + r, 2 quad + r, … side by side.
        count = min(quad, columns - first)
        joined = [e.cast(join(e, [row(i, first, count, quad) for i in range(r, width, quad)]), wide)
                  for r in range(quad)]
        result += _transpose_blocks(e, joined)[:count]
    return result


def turned_at_once(dtype: np.dtype, lanes: int) -> int:
    """The columns that :func:`load_columns` best takes at a time: those of a line, if a register is as wide."""
    return lanes if lanes * dtype.itemsize == LINE else square(dtype)


def square(dtype: np.dtype) -> int:
    """Side of the blocks that :func:`load_columns` transposes: the elements in 128 bits."""
    return min(4, 16 // dtype.itemsize)


def transpose(e: Emitter, x: Sequence[Val]) -> list[Val]:
    """For each lane of the registers ``x``, a power of two of them, a register of those lanes."""
    lanes, block = x[0].lanes, min(len(x), square(x[0].dtype))
    if lanes < block or block == 1:
        return [join(e, [pick(e, v, [lane]) for v in x]) for lane in range(lanes)]
    parts = [_transpose_blocks(e, list(x[i:i + block])) for i in range(0, len(x), block)]
    return [join(e, [pick(e, part[lane % block], range(lane - lane % block, lane - lane % block + block))
                     for part in parts]) for lane in range(lanes)]


def _transpose_blocks(e: Emitter, x: list[Val]) -> list[Val]:
    """Transpose the blocks of ``len(x)`` lanes that lie at equal places of the registers ``x``."""
    if len(x) == 1:
        return x
    if len(x) == 2:
        return [_in_blocks(e, x[0], x[1], lanes) for lanes in ((0, 2), (1, 3))]
    low = [_in_blocks(e, x[i], x[i + 1], (0, 4, 1, 5)) for i in (0, 2)]
    high = [_in_blocks(e, x[i], x[i + 1], (2, 6, 3, 7)) for i in (0, 2)]
    return [_in_blocks(e, x, y, lanes) for x, y in (low, high) for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))]


def _exchange_blocks(e: Emitter, x: list[Val]) -> list[Val]:
    """For four registers of four blocks each: the first block of all, the second one of all, and so on."""
    lanes = x[0].lanes // 4

    def blocks(x: Val, y: Val, *taken: int) -> Val:
        first = [n * lanes for n in taken] + [(n + 4) * lanes for n in taken]
        return e.shuffle(x, y, [n + i for n in first for i in range(lanes)])
    low, high = ([blocks(x[i], x[i + 1], *halves) for i in (0, 2)] for halves in ((0, 1), (2, 3)))
    return [blocks(pair[0], pair[1], n, n + 2) for pair in (low, high) for n in (0, 1)]


def _in_blocks(e: Emitter, x: Val, y: Val, lanes: Sequence[int]) -> Val:
    """In each block of n = ``len(lanes)`` lanes, pick from the block of ``x`` (0 … n-1) and of ``y`` (n … 2n-1)."""
    n, width = len(lanes), x.lanes
    return e.shuffle(x, y, [base + (i if i < n else i - n + width) for base in range(0, width, n) for i in lanes])


def sum_lanes(e: Emitter, x: Sequence[Val]) -> Val:
    """One register whose lane i is the sum of the lanes of ``x[i]``; their number is a power of two up to the lanes.

    Two registers become one: half of the lanes of the first added to its other half, beside those of the second.
    """
    x = list(x)
    while x[0].lanes > len(x):
        x = [e.add(pick(e, v, range(v.lanes // 2)), pick(e, v, range(v.lanes // 2, v.lanes))) for v in x]
    block = min(4, 16 // x[0].dtype.itemsize, len(x))
    segment = len(x)
    while len(x) > block:  # whole blocks move: block b of register q becomes the sum of x[q + b · block]
        half = len(x) // 2
        x = [_add_halves(e, x[i], x[i + half], segment) for i in range(half)]
        segment //= 2
    if block >= 2:
        x = [_add_halves(e, x[i], x[i + 1], block) for i in range(0, block, 2)]
    if block == 4:
        x = [e.add(_in_blocks(e, x[0], x[1], (0, 2, 4, 6)), _in_blocks(e, x[0], x[1], (1, 3, 5, 7)))]
    return x[0]


def _add_halves(e: Emitter, x: Val, y: Val, segment: int) -> Val:
    """In each segment of lanes: the halves of ``x`` added in the lower half, those of ``y`` in the upper half."""
    half = segment // 2
    return e.add(_in_blocks(e, x, y, (*range(half), *range(segment + half, 2 * segment))),
                 _in_blocks(e, x, y, (*range(half, segment), *range(segment, segment + half))))


def _suffix(dtype: np.dtype) -> str:
    return f"{'f' if dtype.kind == 'f' and dtype.itemsize > 2 else 'i'}{8 * dtype.itemsize}"


@cache
def _mask(lanes: int, width: int) -> ir.Constant:
    return ir.Constant(ir.vector_type(I1, width), [i < lanes for i in range(width)])
