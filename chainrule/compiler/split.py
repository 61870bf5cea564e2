"""Long sums with few results become sums of parts, which threads can share out.

Needs: a lowered program. Gives: the program with such reductions in two steps. The parts follow from the shape, so the
result is the same for any number of threads. Before and after, where 4096 = 64·64::

    for c < 16:                                    for p < 64, c < 16:
      acc = add over r < 4096 of x[16·r + c]         acc = add over q < 64 of x[1024·p + 16·q + c]
      m[c] = acc                                     part[16·p + c] = acc
                                                   for c < 16:
                                                     acc = add over p < 64 of part[16·p + c]
                                                     m[c] = acc
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Load,
    Loop,
    Nest,
    Program,
    Reduced,
    Statement,
    Store,
    reads,
)
from chainrule.compiler.rewrite import Rewrite

LEAST = 1 << 17  # elements that are summed
FEW = 256  # results: with more of them, threads share out those
PARTS = range(8, 65)


def split_sums(program: Program) -> Program:
    """Split what is long, in the program and inside of its loops and branches."""
    program.statements = _split_all(program.statements, program.temps)
    return program


def _split_all(statements: Sequence[Statement], temps: list[Buffer]) -> list[Statement]:
    out: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop) and not s.parallel:
            s.body = _split_all(s.body, temps)
        elif isinstance(s, Branch):
            s.bodies = [_split_all(body, temps) for body in s.bodies]
        place = _place(s) if isinstance(s, Nest) and s.combine is not None else None
        out += [s] if place is None or not isinstance(s, Nest) else _split(s, *place, temps)
    return out


def _place(s: Nest) -> tuple[Axis, int] | None:
    """The outermost reduced axis that can be cut into equal parts, and how many."""
    results = prod(a.extent for a in s.axes)
    if not 0 < results < FEW or results * prod(a.extent for a in s.reduce_axes) < LEAST:
        return None
    if any(a.buffer.volatile for a in reads(s)):
        return None
    found = ((axis, max((n for n in PARTS if axis.extent % n == 0), default=0)) for axis in s.reduce_axes)
    return next(((axis, parts) for axis, parts in found if parts), None)


def _split(s: Nest, axis: Axis, parts: int, temps: list[Buffer]) -> list[Statement]:
    outer, inner = Axis(f"{axis}p", parts), Axis(f"{axis}q", axis.extent // parts)
    rest = tuple(inner if a is axis else a for a in s.reduce_axes)
    part = Buffer(f"part{axis}", parts * prod(a.extent for a in s.axes), s.body.dtype, "temp")
    temps.append(part)
    size, terms = 1, []
    for a in reversed((outer, *s.axes)):
        terms.append((a, size))
        size *= a.extent
    at = Access(part, Affine(0, tuple(reversed(terms))))
    body = Rewrite({axis: Affine(0, ((outer, inner.extent), (inner, 1)))}).value(s.body)
    kept = tuple(a for a in rest if a.extent > 1)
    first = Nest((outer, *s.axes), [Store(at, Reduced(s.body.dtype) if kept else body)], kept,
                 s.combine if kept else None, body if kept else None, f"{s.label} in parts")
    return [first, Nest(s.axes, s.stores, (outer,), s.combine, Load(at, s.body.dtype), s.label)]
