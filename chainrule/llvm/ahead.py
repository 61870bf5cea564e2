"""Fetches what is packed next while what has been packed is used.

Where an operand comes from far and is packed some columns at a time (``contraction_cost.py: together``), packing reads
pieces of rows that lie far apart: no processor foresees where the next ones are, and each waits for the memory behind.
So every tile of a group fetches its share of the next group's lines, some in each turn of its innermost loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.compiler.contraction_plan import Plan
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.lanes import LINE
from chainrule.llvm.operands import Operands, Span
from chainrule.llvm.place import affine, plus, value


@dataclass(frozen=True)
class Ahead:
    """The lines that one tile fetches, counted along the rows of the next group."""

    group: ir.Value  # its first element
    dtype: np.dtype
    pitch: int  # elements from one row to the next one
    row: int  # lines of a row
    first: Val
    count: int
    steps: int  # of the tile's sums

    def fetch(self, e: Emitter, step: Val, turn: int) -> None:
        """What is due in a turn of so many steps that begins with ``step``."""
        line = e.add(self.first, e.quotient(e.mul(step, e.index(self.count)), e.index(self.steps)))
        for n in range(-(-self.count * turn // self.steps)):
            here = plus(e, line, n)
            row, rest = (f(here, e.index(self.row)) for f in (e.quotient, e.remainder))
            at = affine(e, [(row, self.pitch), (rest, LINE // self.dtype.itemsize)])
            e.b.prefetch(e.at(self.group, at, self.dtype))


def ahead(e: Emitter, plan: Plan, operands: Operands, spans: Mapping[int, Span]) -> Ahead | None:
    """What the tile at ``spans`` fetches; None where nothing is packed in groups."""
    pack = plan.grouped
    if pack is None:
        return None
    v, (k,), dtype = pack.axis, plan.inner, plan.memory(pack.operand)
    (wide, deep), width = (plan.axes[i].strides[pack.operand] for i in (v, k)), plan.blocks[v]
    block, tile = value(e, spans[v].block), {i: s for i, s in spans.items() if s.size}
    following = plus(e, block, width)
    inside = e.le(plus(e, following, width), e.index(plan.axes[v].extent))
    following = e.select(inside, following, block)
    count, length, pitch = (plan.steps, width, deep) if wide == 1 else (width, plan.steps, wide)
    row = -(-length * dtype.itemsize // LINE)
    # Tiles of the group divide the lines by how many of the outputs are theirs, whatever order they come in.
    (m,) = (i for i in tile if i != v)
    outputs, mine = width * plan.axes[m].extent, tile[v].size * tile[m].size
    before = affine(e, [(spans[m].start, width), (e.sub(value(e, spans[v].start), block), tile[m].size)])
    first = e.quotient(e.mul(value(e, before), e.index(count * row)), e.index(outputs))
    return Ahead(operands.direct(pack.operand, {v: Span(following, following)}).pointer, dtype, pitch, row, first,
                 -(-mine * count * row // outputs), plan.steps)
