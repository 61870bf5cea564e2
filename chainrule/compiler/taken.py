"""Rows taken from a large array are read where they lie by the contractions that need them.

Needs: a program whose memory is shared, with the loops of the passes before. Gives: the program in which the rows of a
small minibatch are not copied: a table says where each begins. Before and after::

    for i < 32, k < 784:                             for i < 32:
      x[784·i + k] = data[784·rows[i] + k]             begin[i] = 784·rows[i]
    for i < 32, j < 10:                              for i < 32, j < 10:
      acc = sum over k < 784 of x[784·i + k] * w[…]    acc = sum over k < 784 of data[begin[i] + k] * w[…]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Contract,
    Load,
    Loop,
    Nest,
    Position,
    Program,
    Statement,
    Store,
    reads,
    writes,
)
from chainrule.compiler.rewrite import Rewrite
from chainrule.compiler.schedule import depends
from chainrule.dtypes import INT64

LONG = 64  # bytes of a row at least
MOST = 512 << 10  # bytes of all rows at most: so many stay near from one contraction to the next
FEW = 32  # products of each element in a contraction: where there are more, a copy is small matter, and packed faster


def read_taken(program: Program) -> Program:
    """Spare the copies, in the program and inside of its loops and branches."""
    uses = Counter(a.buffer.home for s in program.statements for a in (*reads(s), *writes(s)))
    changed = {w.buffer.home for s in program.statements for w in writes(s)}
    program.statements = _visit(program.statements, uses, changed, program.temps)
    return program


def _visit(statements: Sequence[Statement], uses: Counter[Buffer], changed: set[Buffer],
           temps: list[Buffer]) -> list[Statement]:
    out: list[Statement] = []
    for k, s in enumerate(statements):
        if isinstance(s, Branch):
            s.bodies = [_visit(body, uses, changed, temps) for body in s.bodies]
        elif isinstance(s, Loop) and not s.parallel:
            s.body = _visit(s.body, uses, changed, temps)
        readers = _readers(s, statements[k + 1:], uses, changed) if isinstance(s, Nest) else []
        out.append(_spared(s, readers, temps) if isinstance(s, Nest) and readers else s)
    return out


def _readers(s: Nest, after: Sequence[Statement], uses: Counter[Buffer], changed: set[Buffer]) -> list[Contract]:
    """The contractions that read the rows which ``s`` copies, if nothing else does; none if it does no such thing."""
    taken = rows_of(s)
    if taken is None:
        return []
    (rows, along), made, source = taken, s.stores[0].access, s.stores[0].value.access
    size = made.buffer.dtype.itemsize * along.extent
    if made.buffer.home.kind != "temp" or source.buffer.home in changed or rows.extent < 2 or size < LONG or \
            size * rows.extent > MOST:
        return []
    found = [x for x in after if isinstance(x, Contract) and _places(x, s) is not None]
    return found if uses[made.buffer.home] == 1 + len(found) else []


def rows_of(s: Nest) -> tuple[Axis, Axis] | None:
    """The axis of the rows, and the one along them, if a nest does nothing but copy rows."""
    load = s.stores[0].value
    if len(s.stores) != 1 or len(s.axes) != 2 or s.combine is not None or not isinstance(load, Load):
        return None
    made, at = s.stores[0].access.at, load.access.at
    counts = len(made.terms), len(made.dynamic), len(at.terms), len(at.dynamic)
    if s.stores[0].accumulate or counts != (2, 0, 1, 1) or at.terms[0][1] != 1:
        return None
    along = at.terms[0][0]
    rows = next(a for a in s.axes if a is not along)
    dense = {made.stride(along), made.stride(rows)} in ({1, along.extent}, {1, rows.extent})
    found = depends(at.dynamic[0][1])
    return (rows, along) if dense and rows in found and along not in found else None


def _places(x: Contract, s: Nest) -> tuple[Access, Axis, Axis] | None:
    """Which operand of a contraction is what ``s`` copies, by which axis it reads the rows, and by which along them."""
    made, taken = s.stores[0].access, rows_of(s)
    here = [o for o in (x.a, x.b) if o.buffer.home is made.buffer.home]
    if taken is None or len(here) != 1 or not x.dtype == s.stores[0].value.dtype == here[0].buffer.dtype:
        return None
    at = here[0].at
    if at.dynamic or at.offset != made.at.offset or len(at.terms) != 2 or \
            prod(a.extent for a in (*x.axes, *x.reduce_axes) if not at.stride(a)) > FEW:
        return None
    row, along = (next((a for a, c in at.terms if c == made.at.stride(axis) and a.extent == axis.extent), None)
                  for axis in taken)
    if row is None or along is None or (row in x.reduce_axes) == (along in x.reduce_axes):
        return None
    return here[0], row, along


def _spared(s: Nest, readers: Sequence[Contract], temps: list[Buffer]) -> Nest:
    """The table of where rows begin; the contractions read by it."""
    rows = next(a for a in s.axes if not s.stores[0].value.access.at.stride(a))
    source = s.stores[0].value.access
    table = Buffer(f"begin{rows}", rows.extent, INT64, "temp")
    temps.append(table)
    axis = Axis(f"{rows}b", rows.extent)
    for x in readers:
        found = _places(x, s)
        assert found is not None
        operand, row, along = found
        begin = Load(Access(table, Affine(0, ((row, 1),))), INT64)
        there = Access(source.buffer, Affine(source.at.offset, ((along, 1),), ((1, begin),)))
        x.a, x.b = (there if o is operand else o for o in (x.a, x.b))
        x.loaded = None
    begins = Rewrite({rows: Affine(0, ((axis, 1),))}).value(Position(Affine(0, (), source.at.dynamic), INT64))
    return Nest((axis,), [Store(Access(table, Affine(0, ((axis, 1),))), begins)], label="rows")
