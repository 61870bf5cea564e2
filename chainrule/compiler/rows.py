"""Statements that go over the same rows become one loop over the rows, so that a row stays in the cache between them.

Needs: a lowered program. Gives: the program with such statements in parallel loops, where values that only they use
shrink to one row. A softmax, before and after::

    for i < 4096:                                  repeat i < 4096:  # rows
      acc = max over k < 64 of x[64·i + k]           once:
      m[i] = acc                                       acc = max over k < 64 of x[64·i + k]
    for i < 4096, k < 64:                              m[0] = acc
      e[64·i + k] = exp(x[64·i + k] - m[i])          for k < 64:
    …                                                  e[k] = exp(x[64·i + k] - m[0])
                                                     …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import TypeGuard

from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Loop,
    Nest,
    Program,
    Statement,
    reads,
    writes,
)
from chainrule.compiler.rewrite import Rewrite

SHORTEST, LONGEST = 16, 8192  # elements of a row: enough for vectors, few enough for the first cache
WORTH = 16_384  # elements that a loop must save from being read or written in memory
AHEAD = 24  # statements after the first among which others for the same loop are looked for


def fuse_rows(program: Program) -> Program:
    """Form the loops, in the program and inside of its loops and branches."""
    uses = Counter(a.buffer for s in program.statements for a in (*reads(s), *writes(s)))
    program.statements = _fused(program.statements, uses)
    return program


def _fused(statements: Sequence[Statement], uses: Counter[Buffer]) -> list[Statement]:
    rest, out = list(statements), list[Statement]()
    while rest:
        s = rest.pop(0)
        if isinstance(s, Loop):
            s.body = _fused(s.body, uses)
        elif isinstance(s, Branch):
            s.bodies = [_fused(body, uses) for body in s.bodies]
        elif _fits(s):
            found = [run for n in range(1, len(s.axes) + 1) if (run := _collect(s, s.axes[:n], rest)) is not None]
            best = max(found, key=lambda run: (run.saved(), len(run.axes)), default=None)
            if best is not None and best.saved() >= WORTH:
                rest = [r for r in rest if r not in best.taken and r not in best.before]
                out += best.before
                s = best.loop(uses)
        out.append(s)
    return out


def _fits(s: Statement) -> TypeGuard[Nest]:
    """Whether a statement may stand in a loop over rows: it writes each element once, from memory that stands still."""
    return isinstance(s, Nest) and not any(store.accumulate for store in s.stores) and not any(
        a.buffer.volatile for a in reads(s))


@dataclass(frozen=True)
class _Touched:
    """Every access of a statement with whether it writes, and the buffers."""

    accesses: tuple[tuple[Access, bool], ...]
    seen: frozenset[Buffer]
    read: frozenset[Buffer]
    written: frozenset[Buffer]
    volatile: bool


@lru_cache(maxsize=4096)
def touched_by(s: Statement) -> _Touched:
    """Asked for again and again while a program's statements are compared."""
    read, written = tuple(reads(s)), tuple(writes(s))
    return _Touched((*((a, False) for a in read), *((a, True) for a in written)),
                    frozenset(a.buffer for a in (*read, *written)), frozenset(a.buffer for a in read),
                    frozenset(a.buffer for a in written),
                    any(a.buffer.volatile for a in (*read, *written)))


def _accesses(s: Statement) -> tuple[tuple[Access, bool], ...]:
    return touched_by(s).accesses


@dataclass(eq=False)
class _Run:
    """Statements of one loop over ``axes``, in whose terms they all are written."""

    axes: tuple[Axis, ...]
    taken: list[Statement]
    body: list[Nest]
    before: list[Statement]  # others, which the loop may come after

    @cached_property
    def touched(self) -> dict[Buffer, list[tuple[Access, bool]]]:
        found: dict[Buffer, list[tuple[Access, bool]]] = {}
        for s in self.body:
            for access, written in _accesses(s):
                found.setdefault(access.buffer, []).append((access, written))
        return found

    @cached_property
    def steps(self) -> dict[Axis, set[tuple[Buffer, int]]]:
        """For each axis of the loop, the buffers walked along it, with the steps."""
        return {axis: {(b, k) for b, accesses in self.touched.items() for a, _ in accesses if (k := a.at.stride(axis))}
                for axis in self.axes}

    def saved(self) -> int:
        """Elements that another statement of the loop finds in the cache."""
        often = Counter(b for s in self.body for b in {a.buffer for a, _ in _accesses(s)})
        return sum((often[b] - 1) * b.size for b, accesses in self.touched.items()
                   if all(accesses[0][0].at.stride(axis) for axis in self.axes))

    def loop(self, uses: Counter[Buffer]) -> Statement:
        """The loop, with values that nobody else uses shrunk to a row."""
        low: dict[Buffer, int] = {}
        for buffer, accesses in self.touched.items():
            if buffer.kind == "temp" and accesses and len(accesses) == uses[buffer] and any(w for _, w in accesses):
                first, last = _range(accesses, self.axes)
                low[buffer], buffer.size = first, last - first + 1
        same = {a: Affine(0, ((a, 1),)) for a in self.axes}
        body: list[Statement] = [Rewrite(same, low).nest(s, s.axes) for s in self.body]
        for axis in reversed(self.axes):
            body = [Loop(axis, body, label="rows", parallel=True)]
        return body[0]


def _collect(first: Nest, axes: tuple[Axis, ...], rest: Sequence[Statement]) -> _Run | None:
    """All that can join ``first`` in a loop over some of its axes."""
    run = _Run(axes, [first], [_inside(first, {a: a for a in axes})], [])
    turns = prod(a.extent for a in axes)
    if turns < 2 or not _keeps_order(run.body[0], axes) or not _apart(run.touched.values(), axes):
        return None
    passed: list[Statement] = []
    for s in rest[:AHEAD]:
        joined = _joined(run, s) if _fits(s) else None
        if joined is not None and not conflict(joined.body[-1], passed):
            run = joined
        elif conflict(s, [*run.body, *passed]):
            passed.append(s)
        else:
            run.before.append(s)
    for s in reversed(run.before):  # what the run had nothing in common with when it came by
        joined = _joined(run, s, 0) if _fits(s) else None
        if joined is not None and not conflict(s, run.before[run.before.index(s) + 1:]):
            run = joined
    longest = max(_row(s) for s in run.body)
    return run if len(run.body) > 1 and SHORTEST <= longest <= LONGEST else None


def _row(s: Nest) -> int:
    return prod(a.extent for a in (*s.axes, *s.reduce_axes))


def _keeps_order(s: Nest, axes: Sequence[Axis]) -> bool:
    """Whether the loop is outside of what lies closest together: else a row would be a column."""
    for access, _ in _accesses(s):
        inner = [abs(c) for a, c in access.at.terms if a not in axes]
        if inner and any(0 < abs(access.at.stride(a)) < min(inner) for a in axes):
            return False
    return True


def _joined(run: _Run, s: Nest, at: int | None = None) -> _Run | None:
    """The run with ``s`` last (or ``at`` a place), if it has the loop's axes and no row needs another one."""
    places = _matched(run, s)
    if places is None:
        return None
    body, nest = list(run.body), _inside(s, places)
    body.insert(len(body) if at is None else at, nest)
    new = _Run(run.axes, [*run.taken, s], body, [b for b in run.before if b is not s])
    ours = {a.buffer for a, _ in _accesses(s)}
    touched = (accesses for buffer, accesses in new.touched.items() if buffer in ours)
    return new if _keeps_order(nest, run.axes) and _apart(touched, run.axes) else None


def _matched(run: _Run, s: Nest) -> dict[Axis, Axis] | None:
    """For each axis of the loop the axis of ``s`` along which a buffer of both is walked in equal steps."""
    found = dict[Axis, Axis]()
    if touched_by(s).seen.isdisjoint(run.touched):
        return None
    for axis, steps in run.steps.items():
        same = [x for a, _ in _accesses(s) for x in s.axes
                if x.extent == axis.extent and x not in found and (a.buffer, a.at.stride(x)) in steps]
        if not same:
            return None
        found[same[0]] = axis
    return found


def conflict(s: Statement, passed: Sequence[Statement]) -> bool:
    """Whether ``s`` may not come before one of the statements that it would pass."""
    mine = touched_by(s)
    if mine.volatile and passed:
        return True
    return any(mine.seen & other.written or mine.written & other.seen for other in map(touched_by, passed))


def _apart(groups: Iterable[Sequence[tuple[Access, bool]]], axes: Sequence[Axis]) -> bool:
    """Whether all accesses to what is written stay in a block of memory that belongs to one turn of the loop."""
    for accesses in groups:
        if not any(written for _, written in accesses):
            continue
        steps = [accesses[0][0].at.stride(a) for a in axes]
        if any(a.at.dynamic or [a.at.stride(x) for x in axes] != steps for a, _ in accesses) or min(steps) <= 0:
            return False
        first, last = _range(accesses, axes)
        width = last - first + 1
        for step, axis in sorted(zip(steps, axes, strict=True), key=lambda pair: pair[0]):
            if step < width:
                return False
            width = step * axis.extent
    return True


def _range(accesses: Sequence[tuple[Access, bool]], axes: Sequence[Axis]) -> tuple[int, int]:
    """The first and last element touched where the axes of the loop are 0."""
    low, high = [], []
    for access, _ in accesses:
        inner = [c * (a.extent - 1) for a, c in access.at.terms if a not in axes]
        low.append(access.at.offset + sum(x for x in inner if x < 0))
        high.append(access.at.offset + sum(x for x in inner if x > 0))
    return min(low), max(high)


def _inside(s: Nest, places: dict[Axis, Axis]) -> Nest:
    """``s`` without the axes that the loop has instead of it."""
    index = {a: Affine(0, ((b, 1),)) for a, b in places.items()}
    return Rewrite(index).nest(s, tuple(a for a in s.axes if a not in places))
