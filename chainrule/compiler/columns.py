"""Sums down columns go over the rows block by block, as they lie in memory, and add to one row of totals.

Needs: a lowered program. Gives: the program with reductions over leading axes as loops over blocks of rows; those that
read the same rows share the loop, so that a block is in the cache for the second one. Before and after::

    for j < 768:                                 for j < 768: t[j] = 0
      acc = add over i < 4096 of x[768·i + j]    repeat b < 512:  # columns
      s[j] = acc                                   for j < 768:
                                                     acc = add over k < 8 of x[6144·b + 768·k + j]
                                                     t[j] = t[j] + acc
                                                 for j < 768: s[j] = t[j]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Branch,
    Buffer,
    Const,
    Load,
    Loop,
    Nest,
    Position,
    Program,
    Reduced,
    Statement,
    Store,
    expressions,
)
from chainrule.compiler.rewrite import Rewrite
from chainrule.compiler.rows import AHEAD, conflict
from chainrule.ops.declare import REGISTRY
from chainrule.ops.scatter import neutral

LEAST = 16_384  # elements from which on it is worth the code
NARROW = 512  # columns up to which one pass over all rows is as fast, if nothing else reads them
BLOCK, SHORTEST = 32_768, 8  # elements of a block that the second cache holds; rows of a block at least
PARTS = range(4, 17)
OPERATION = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum"}


def block_columns(program: Program) -> Program:
    """Form the loops, in the program and inside of its loops and branches."""
    program.statements = _blocked(program.statements, program)
    return program


def _blocked(statements: Sequence[Statement], program: Program) -> list[Statement]:
    rest, out = list(statements), list[Statement]()
    while rest:
        s = rest.pop(0)
        if isinstance(s, Loop) and not s.parallel:
            s.body = _blocked(s.body, program)
        elif isinstance(s, Branch):
            s.bodies = [_blocked(body, program) for body in s.bodies]
        first = _columns(s)
        if first is None:
            out.append(s)
            continue
        group = [first]
        while (found := _another(group, rest)) is not None:
            group.append(found)
        taken = [c.statement for c in group]
        rest = [r for r in rest if r not in taken]
        out += _loops(group, program) if len(group) > 1 or first.width > NARROW else [s]
    return out


def _another(group: Sequence[_Columns], rest: Sequence[Statement]) -> _Columns | None:
    """A further reduction down the same rows that may be done together with those of the group."""
    taken = [c.statement for c in group]
    passed: list[Statement] = [taken[0]]
    for s in rest[:AHEAD]:
        if s in taken:
            continue
        found = _columns(s)
        if found is not None and found.extents == group[0].extents and any(map(found.shares, group)) and not conflict(
                s, passed):
            return found
        passed.append(s)
    return None


@dataclass(eq=False)
class _Columns:
    """A reduction down columns: the totals lie along ``across``; ``around`` are axes outside of the rows."""

    statement: Nest
    nest: Nest  # the same with as few axes down as may be
    around: tuple[Axis, ...]
    across: tuple[Axis, ...]

    @property
    def down(self) -> tuple[Axis, ...]:
        return self.nest.reduce_axes

    @property
    def width(self) -> int:
        return prod(a.extent for a in self.across)

    @property
    def extents(self) -> tuple[list[int], ...]:
        return tuple([a.extent for a in axes] for axes in (self.around, self.down, self.across))

    def reads(self) -> set[Buffer]:
        """The large arrays that the rows are rows of."""
        return {x.access.buffer for x in expressions([self.nest.body]) if isinstance(x, Load)
                and x.access.at.stride(self.down[-1]) and x.access.at.stride(self.across[-1])}

    def shares(self, other: _Columns) -> bool:
        return bool(self.reads() & other.reads())


def _joined(s: Nest) -> Nest:
    """``s`` with one axis for neighbours of its reduction that every array sees as one."""
    axes = list(s.reduce_axes)
    while len(axes) > 1:
        outer, inner = axes[-2:]
        found = [x.access.at if isinstance(x, Load) else x.at for x in expressions([s.body])
                 if isinstance(x, Load | Position)]
        if any(at.stride(outer) != at.stride(inner) * inner.extent for at in found):
            break
        whole = Axis(inner.name, outer.extent * inner.extent)
        axes[-2:] = [whole]
        s = Rewrite({outer: Affine(), inner: Affine(0, ((whole, 1),))}).nest(s, s.axes, tuple(axes))
    return s


def _columns(s: Statement) -> _Columns | None:
    """``s`` as a reduction down columns, if it is a large one."""
    if not (isinstance(s, Nest) and s.combine in OPERATION and s.axes and s.reduce_axes and s.body.dtype.kind == "f"):
        return None
    if prod(a.extent for a in (*s.axes, *s.reduce_axes)) < LEAST or any(store.accumulate for store in s.stores):
        return None
    whole = s
    s = _joined(s)
    last, across = s.axes[-1], list[Axis]()
    loads = [x.access.at for x in expressions([s.body]) if isinstance(x, Load)]
    wide = [at for at in loads if at.stride(last) == 1 and at.stride(s.reduce_axes[-1])]
    along = any(at.stride(a) == 1 and at.stride(last) for at in loads for a in s.reduce_axes)
    if not wide or along or any(at.dynamic for at in loads):
        return None
    step = min(abs(at.stride(s.reduce_axes[-1])) for at in wide)
    for axis in reversed(s.axes):  # what lies inside of a row
        if not all(abs(at.stride(axis)) < step for at in wide):
            break
        across.insert(0, axis)
    if s.reduce_axes[-1].extent < 2 * SHORTEST:
        return None
    return _Columns(whole, s, s.axes[:len(s.axes) - len(across)], tuple(across))


def _loops(group: Sequence[_Columns], program: Program) -> list[Statement]:
    """The loops over ``around`` or over parts, the rows' outer axes and blocks of the innermost one."""
    lead = group[0]
    around, outer = ({a: Axis(f"{a.name}c", a.extent) for a in axes} for axes in (lead.around, lead.down[:-1]))
    parts = Axis("part", 1 if around else _parts(lead))
    index = {a: Affine(0, ((b, 1),)) for a, b in (*around.items(), *outer.items())}
    rows = lead.down[-1].extent // (1 if outer else parts.extent)
    if outer and parts.extent > 1:
        first = lead.down[0]
        outer[first] = Axis(f"{first.name}c", first.extent // parts.extent)
        index[first] = Affine(0, ((parts, outer[first].extent), (outer[first], 1)))
    totals = [_Totals(c, lead, parts, program) for c in group]
    size = min(rows, SHORTEST if lead.width >= NARROW else BLOCK // lead.width)
    block, inner = (Axis(f"{lead.down[-1].name}{x}", n) for x, n in (("b", rows // size), ("k", size)))
    shift = Affine() if outer or parts.extent == 1 else Affine(0, ((parts, rows),))
    at = shift.plus(Affine(0, ((block, size), (inner, 1))))
    turn = [t.part({**index, lead.down[-1]: at}, inner) for t in totals]
    body: list[Statement] = [Loop(block, [*turn], label="columns")]
    if rows % size:
        rest = Axis(f"{lead.down[-1].name}r", rows % size)
        at = shift.plus(Affine(rows - rest.extent, ((rest, 1),)))
        body += [t.part({**index, lead.down[-1]: at}, rest) for t in totals]
    for axis in reversed(outer.values()):
        body = [Loop(axis, body, label="columns")]
    body = [*(t.start() for t in totals), *body]
    if parts.extent > 1:
        return [Loop(parts, body, label="columns", parallel=True), *(t.end(index) for t in totals)]
    body += [t.end(index) for t in totals]
    for axis in reversed(around.values()):
        body = [Loop(axis, body, label="columns", parallel=True)]
    return body


def _parts(c: _Columns) -> int:
    """How many parts with totals of their own, for threads to share out; they follow from the shape alone."""
    extent = c.down[0].extent
    return max((n for n in PARTS if extent % n == 0 and prod(a.extent for a in c.down) >= n * 4 * SHORTEST), default=1)


class _Totals:
    """One reduction of a group, and its rows of totals."""

    def __init__(self, columns: _Columns, lead: _Columns, parts: Axis, program: Program) -> None:
        assert columns.nest.combine is not None
        self.c, self.nest, self.combine, self.parts = columns, columns.nest, columns.nest.combine, parts
        self.dtype = self.nest.body.dtype
        self.own = dict(zip((*lead.around, *lead.down), (*columns.around, *columns.down), strict=True))
        self.buffer = Buffer(f"sum{len(program.temps)}", columns.width * parts.extent, self.dtype, "temp")
        program.temps.append(self.buffer)
        at, step = Affine(), 1
        for axis in (*reversed(columns.across), parts):
            at = at.plus(Affine(0, ((axis, step),))) if axis.extent > 1 else at
            step *= axis.extent
        self.access = Access(self.buffer, at)
        self.load = Load(self.access, self.dtype)

    def start(self) -> Nest:
        """Totals of nothing."""
        zero = np.zeros((), self.dtype) if self.combine == "add" else neutral(self.combine, self.dtype)
        return Nest(self.c.across, [Store(self.access, Const(zero[()], self.dtype))], label="zeros")

    def part(self, index: dict[Axis, Affine], inner: Axis) -> Nest:
        """The rows of one block combined, and with the totals."""
        total = Apply(REGISTRY[OPERATION[self.combine]], (self.load, Reduced(self.dtype)), {}, self.dtype)
        body = Rewrite({self.own[a]: at for a, at in index.items()}).value(self.nest.body)
        return Nest(self.c.across, [Store(self.access, total)], (inner,), self.combine, body, self.nest.label)

    def end(self, index: dict[Axis, Affine]) -> Nest:
        """What becomes of the totals."""
        if self.parts.extent > 1:
            return Nest(self.c.across, self.nest.stores, (self.parts,), self.combine, self.load, self.nest.label)
        plain = Nest(self.c.across, self.nest.stores, label=self.nest.label)
        return Rewrite({self.own[a]: at for a, at in index.items()}, total=self.load).nest(plain, self.c.across)
