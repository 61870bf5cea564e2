"""Fetches what will be read next while what has been read is used.

A contraction goes through a large operand block by block: columns that are packed some at a time, which lie in
pieces far apart, or steps of a long sum, which lie together. No processor foresees where the next block begins, and
each of its lines waits for the memory behind. So every tile of a block fetches its share of the next block's lines,
some in each turn of its innermost loop. Likewise what others will read after it (``Contract.soon``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.addresses import LINE
from chainrule.compiler.contraction_plan import Plan
from chainrule.dtypes import INT64
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.operands import Operands, Span
from chainrule.llvm.place import Index, affine, plus, value


@dataclass(frozen=True)
class Later:
    """Rows of an array that are read after the contraction: one, or a table says where each begins, in elements.

    The table has an entry more, of no matter: shares of lines are rounded up.
    """

    pointer: ir.Value
    rows: int
    length: int  # elements of a row
    dtype: np.dtype
    table: ir.Value | None = None

    @property
    def bytes(self) -> int:
        return self.rows * self.length * self.dtype.itemsize


@dataclass(frozen=True)
class _Region:
    """What a tile fetches of a block of memory: some of its lines, counted along its rows."""

    block: ir.Value  # the first element
    dtype: np.dtype
    pitch: int  # elements from one row to the next one
    row: int  # lines of a row
    first: Val
    count: int
    table: ir.Value | None = None  # where rows begin, if not by the pitch

    def line(self, e: Emitter, n: Val) -> ir.Value:
        """The address of a line."""
        row, rest = (f(n, e.index(self.row)) for f in (e.quotient, e.remainder))
        step = LINE // self.dtype.itemsize
        if self.table is None:
            return e.at(self.block, affine(e, [(row, self.pitch), (rest, step)]), self.dtype)
        begin = e.load(e.at(self.table, row, INT64), INT64)
        return e.at(self.block, affine(e, [(begin, 1), (rest, step)]), self.dtype)


@dataclass(frozen=True)
class Ahead:
    """What one tile fetches while it goes through so many steps."""

    regions: tuple[_Region, ...]
    steps: int

    def fetch(self, e: Emitter, step: Val, turn: int) -> None:
        """What is due in a turn of so many steps that begins with ``step``."""
        for region in self.regions:
            line = e.add(region.first, e.quotient(e.mul(step, e.index(region.count)), e.index(self.steps)))
            for n in range(-(-region.count * turn // self.steps)):
                e.b.prefetch(region.line(e, plus(e, line, n)))


def ahead(e: Emitter, plan: Plan, operands: Operands, spans: Mapping[int, Span],
          later: Sequence[Later]) -> Ahead | None:
    """What the tile at ``spans`` fetches, or None.

    ``later``: what is read after the contraction; fetched where each tile goes through the whole of its sums at once.
    """
    blocks = [_group(e, plan, operands, spans)] if plan.grouped else list(_steps(e, plan, operands, spans))
    regions = [_Region(block, plan.memory(o), pitch, row, *_share(e, plan, spans, rows * row, plan.blocks))
               for o, block, rows, row, pitch in blocks]
    for x in later if plan.cut_depth is None else ():
        row = -(-x.length * x.dtype.itemsize // LINE)
        regions.append(_Region(x.pointer, x.dtype, 0, row, *_share(e, plan, spans, x.rows * row, {}), x.table))
    steps = prod(plan.blocks.get(i, plan.axes[i].extent) for i in plan.inner)
    return Ahead(tuple(regions), steps) if regions else None


_Block = tuple[int, ir.Value, int, int, int]  # operand, first element; rows, lines of a row, elements between rows


def _group(e: Emitter, plan: Plan, operands: Operands, spans: Mapping[int, Span]) -> _Block:
    """The columns that are packed next; in the last group the same ones again."""
    pack = plan.grouped
    assert pack is not None
    v, (k,), dtype = pack.axis, plan.inner, plan.memory(pack.operand)
    (wide, deep), width = (plan.axes[i].strides[pack.operand] for i in (v, k)), plan.blocks[v]
    block = value(e, spans[v].block)
    following = plus(e, block, width)
    inside = e.le(plus(e, following, width), e.index(plan.axes[v].extent))
    following = e.select(inside, following, block)
    rows, length, pitch = (plan.steps, width, deep) if wide == 1 else (width, plan.steps, wide)
    pointer = operands.direct(pack.operand, {v: Span(following, following)}).pointer
    return pack.operand, pointer, rows, -(-length * dtype.itemsize // LINE), pitch


def _steps(e: Emitter, plan: Plan, operands: Operands, spans: Mapping[int, Span]) -> Iterator[_Block]:
    """What the next steps of a sum read of each operand: what follows in memory."""
    for operand in plan.fetched:
        length = plan.advance(operand)
        start = operands.direct(operand, {i: s for i, s in spans.items() if plan.axes[i].reduce})
        row = -(-length * start.dtype.itemsize // LINE)
        yield operand, start.beyond(e, length).pointer, 1, row, length


def _share(e: Emitter, plan: Plan, spans: Mapping[int, Span], lines: int, blocks: Mapping[int, int]) -> tuple[Val, int]:
    """The first line that a tile fetches, and how many: as many of all as of the outputs of ``blocks`` are its own.

    Tiles come in some order of their axes, and so do the outputs that stand for them.
    """
    before: list[tuple[Index, int]] = []
    mine, outputs = 1, prod(blocks.get(i, plan.axes[i].extent) for i in spans if not plan.axes[i].reduce)
    rest = outputs
    for i, span in spans.items():
        if not plan.axes[i].reduce:
            rest //= blocks.get(i, plan.axes[i].extent)
            before += [(span.start, mine * rest), *([(span.block, -mine * rest)] if i in blocks else [])]
            mine *= span.size
    first = e.quotient(e.mul(value(e, affine(e, before)), e.index(lines)), e.index(outputs))
    return first, -(-mine * lines // outputs)
