"""Fetches what will be read next while what has been read is used.

A contraction goes through a large operand block by block: columns that are packed some at a time, which lie in
pieces far apart, or steps of a long sum, which lie together. No processor foresees where the next block begins, and
each of its lines waits for the memory behind. So every tile of a block fetches its share of the next block's lines,
some in each turn of its innermost loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.compiler.contraction_cost import LINE
from chainrule.compiler.contraction_plan import Plan
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.operands import Operands, Span
from chainrule.llvm.place import Index, affine, plus, value


@dataclass(frozen=True)
class _Region:
    """What a tile fetches of an operand's next block: some of its lines, counted along its rows."""

    block: ir.Value  # the first element
    dtype: np.dtype
    pitch: int  # elements from one row to the next one
    row: int  # lines of a row
    first: Val
    count: int


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
                here = plus(e, line, n)
                row, rest = (f(here, e.index(region.row)) for f in (e.quotient, e.remainder))
                at = affine(e, [(row, region.pitch), (rest, LINE // region.dtype.itemsize)])
                e.b.prefetch(e.at(region.block, at, region.dtype))


def ahead(e: Emitter, plan: Plan, operands: Operands, spans: Mapping[int, Span]) -> Ahead | None:
    """What the tile at ``spans`` fetches, or None."""
    blocks = [_group(e, plan, operands, spans)] if plan.grouped else list(_steps(e, plan, operands, spans))
    regions = tuple(_Region(block, plan.memory(o), pitch, row, *_share(e, plan, spans, rows * row))
                    for o, block, rows, row, pitch in blocks)
    steps = prod(plan.blocks.get(i, plan.axes[i].extent) for i in plan.inner)
    return Ahead(regions, steps) if regions else None


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


def _share(e: Emitter, plan: Plan, spans: Mapping[int, Span], lines: int) -> tuple[Val, int]:
    """The first line that a tile fetches, and how many: as many of all as outputs of the block are its own.

    Tiles come in some order of their axes, and so do the outputs that stand for them.
    """
    before: list[tuple[Index, int]] = []
    mine, outputs = 1, prod(plan.blocks.get(i, plan.axes[i].extent) for i in spans if not plan.axes[i].reduce)
    rest = outputs
    for i, span in spans.items():
        if not plan.axes[i].reduce:
            rest //= plan.blocks.get(i, plan.axes[i].extent)
            before += [(span.start, mine * rest), (span.block, -mine * rest)]
            mine *= span.size
    first = e.quotient(e.mul(value(e, affine(e, before)), e.index(lines)), e.index(outputs))
    return first, -(-mine * lines // outputs)
