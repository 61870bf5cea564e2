"""A loop over a sequence takes some rows of its batch from the first turn to the last, then the next ones.

Needs: a program whose carries are updated in place. Gives: the program with such loops in a parallel loop over blocks
of rows, which threads share out. What a turn makes of a block is in the first cache for the next one. Before and
after, where 32 = 2·16::

    for s < 64, i < 32, j < 256:                      repeat block < 2:  # batch
      y[8192·s + 256·i + j] = relu(x[…])                repeat step < 64:
    repeat step < 64:                                     for i < 16, j < 256:
      for i < 32, j < 256:                                  y[4096·block + 256·i + j] = relu(x[…])
        acc = sum over k < 64 of h[64·i + k] * …          for i < 16, j < 256:
        t[256·i + j] = y[8192·step + 256·i + j] + acc       acc = sum over k < 64 of h[1024·block + 64·i + k] * …
      for i < 32, j < 64:                                   t[4096·block + 256·i + j] = y[4096·block + 256·i + j] + acc
        h[64·i + j] = …                                   …

What only the loop reads, each turn its own part (``y``), is computed in that turn, and memory holds one turn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Contract,
    Loop,
    Nest,
    Program,
    Statement,
    reads,
    writes,
)
from chainrule.compiler.parallel import block_sizes
from chainrule.compiler.rewrite import Rewrite

LEAST = 1 << 17  # index points of a loop from which on it is worth the code
ROWS, FEWEST = 16, 8  # of a block, and of a small batch's: several register tiles of a contraction
TURN = 4096  # index points of a block's turn at least
BLOCKS = 16  # at most: enough for threads, few enough to begin a loop that often
KERNELS = 256 << 10  # bytes that each block reads anew in each turn, at most: a part of the second cache


def block_batches(program: Program) -> Program:
    """Form the loops, in the program and inside of its loops and branches."""
    uses = Counter(a.buffer.home for s in program.statements for a in _accesses(s))
    program.statements = _blocked(program.statements, uses)
    return program


def _blocked(statements: Sequence[Statement], uses: Counter[Buffer]) -> list[Statement]:
    out: list[Statement] = []
    for s in statements:
        if isinstance(s, Branch):
            s.bodies = [_blocked(body, uses) for body in s.bodies]
        elif isinstance(s, Loop) and not s.parallel:
            batch = _batch(s)
            if batch is None or batch.size is None:
                s.body = _blocked(s.body, uses)
            else:
                s = _with_sources(batch, out, uses).blocked()
        out.append(s)
    return out


def _accesses(s: Statement) -> list[Access]:
    return [*reads(s), *writes(s)]


# ---------------------------------------------------------------- rows


class _Dimension(NamedTuple):
    """One dimension of an array: its places are ``step`` elements apart, and there are ``extent`` of them.

    Or the array is one of several that lie behind one another, such as the states of all turns.
    """

    step: int
    extent: int

    def split(self, at: Affine, axis: Axis) -> tuple[Affine, Affine] | None:
        """Which of several arrays an index is in, and where within its place, if the place is where ``axis`` stands.

        ``index = (step·extent)·array + step·axis + within``. None if it is not so, wherever other axes stand.
        """
        if at.dynamic or at.stride(axis) != self.step or self.step < 1:
            return None
        whole = self.step * self.extent
        number, low = divmod(at.offset, whole)
        arrays, inner, high = [], [], low
        for a, c in at.terms:
            if a is axis:
                continue
            if c % whole == 0:
                arrays.append((a, c // whole))
            else:
                inner.append((a, c))
                low, high = low + min(0, c * (a.extent - 1)), high + max(0, c * (a.extent - 1))
        if low < 0 or high >= self.step:
            return None
        return Affine(number, tuple(arrays)), Affine(at.offset - number * whole, tuple(inner))

    def places(self, accesses: Iterable[Access], axis: Axis, backwards: bool = False) -> dict[int, Affine] | None:
        """Where accesses, by their identity, go if memory holds only the place at which ``axis`` stands."""
        found = {}
        for a in accesses:
            split = self.split(_backwards(a.at, axis) if backwards else a.at, axis)
            if split is None:
                return None
            found[id(a)] = split[0].affine(self.step, 0).plus(split[1])
        return found


def _backwards(at: Affine, axis: Axis) -> Affine:
    """An index in terms of how far ``axis`` is from its end."""
    last = at.stride(axis) * (axis.extent - 1)
    return Affine(at.offset + last, tuple((a, -c if a is axis else c) for a, c in at.terms), at.dynamic)


@dataclass(frozen=True)
class _Batch:
    """A loop whose statements all go over the same rows; along which axis each of them does."""

    loop: Loop
    axes: dict[Statement, Axis]

    @property
    def extent(self) -> int:
        return self.axes[self.loop.body[0]].extent

    @property
    def size(self) -> int | None:
        """The rows of a block; None where the loop had better stay as it is."""
        turn, kernels = sum(map(_points, self.loop.body)), sum(map(self.kernel, self.loop.body))
        if turn * self.loop.axis.extent < LEAST or kernels > KERNELS:
            return None
        least = max(min(ROWS, max(self.extent // 2, FEWEST)), -(-self.extent // BLOCKS), -(-TURN * self.extent // turn))
        return next(iter(block_sizes(self.extent, least, self.extent)), None)

    def kernel(self, s: Statement) -> int:
        """Bytes of the operands of a contraction that are the same for all rows."""
        if not isinstance(s, Contract):
            return 0
        own = (*s.axes, *s.reduce_axes)
        return sum(x.buffer.dtype.itemsize * prod(a.extent for a in own if x.at.stride(a))
                   for x in (s.a, s.b) if not x.at.stride(self.axes[s]))

    def blocked(self) -> Loop:
        """A loop over blocks of rows around the loop."""
        assert self.size is not None
        block = Axis(f"{self.axes[self.loop.body[0]]}b", self.extent // self.size)
        body = []
        for s, axis in self.axes.items():
            rows = Axis(f"{axis}k", self.size)
            body.append(_Placed({axis: Affine(0, ((block, self.size), (rows, 1)))}, {axis: rows}, {}).statement(s))
        return Loop(block, [Loop(self.loop.axis, body, label=self.loop.label)], label="batch", parallel=True)


def _points(s: Statement) -> int:
    if isinstance(s, Loop):
        return s.axis.extent * sum(map(_points, s.body))
    assert isinstance(s, Nest | Contract)
    return prod(a.extent for a in (*s.axes, *s.reduce_axes))


def _batch(loop: Loop) -> _Batch | None:
    """The rows of a loop, if no turn needs of a row what another row has made."""
    if loop.until is not None or loop.holds is not None or not loop.body or not all(map(_fits, loop.body)):
        return None
    return next((found for axis in _axes(loop.body[0]) if (found := _along(loop, axis)) is not None), None)


def _fits(s: Statement) -> bool:
    if isinstance(s, Loop):
        return s.parallel and all(map(_fits, s.body))
    return isinstance(s, Nest | Contract) and not any(a.buffer.volatile for a in reads(s))


def _axes(s: Statement) -> tuple[Axis, ...]:
    return (s.axis,) if isinstance(s, Loop) else s.axes if isinstance(s, Nest | Contract) else ()


def _along(loop: Loop, axis: Axis) -> _Batch | None:
    """The rows, if they are what the first statement has along ``axis``."""
    written = {w.buffer.home for w in writes(loop)}
    steps: dict[Buffer, int] = {}  # from row to row of what the loop writes
    axes: dict[Statement, Axis] = {}
    todo = list(loop.body)
    while todo:
        matched = ((s, _same(s, axis.extent, steps)) for s in todo) if axes else iter([(todo[0], axis)])
        s, own = next(((s, a) for s, a in matched if a is not None), (None, None))
        if s is None or own is None:
            return None
        for access in _shared(s, loop, written):
            rows = _Dimension(steps.setdefault(access.buffer.home, access.at.stride(own)), axis.extent)
            if rows.split(access.at, own) is None:
                return None
        axes[s] = own
        todo.remove(s)
    return _Batch(loop, {s: axes[s] for s in loop.body})


def _same(s: Statement, extent: int, steps: dict[Buffer, int]) -> Axis | None:
    """The axis along which a statement walks through known rows."""
    return next((axis for access in _accesses(s) if access.buffer.home in steps for axis in _axes(s)
                 if axis.extent == extent and access.at.stride(axis) == steps[access.buffer.home]), None)


def _shared(s: Statement, loop: Loop, written: set[Buffer]) -> Iterator[Access]:
    """The accesses to what the loop writes, but for memory in which a loop over rows keeps what it needs of one row."""
    accesses = _accesses(s)
    own = set[Buffer]()
    if isinstance(s, Loop):
        seen = {a.buffer.home for other in loop.body if other is not s for a in _accesses(other)}
        own = {a.buffer.home for a in accesses if a.buffer.home.kind == "temp"} - seen
        own -= {a.buffer.home for a in accesses if a.at.stride(s.axis)}
    return (a for a in accesses if a.buffer.home in written - own)


# ---------------------------------------------------------------- what only the loop reads


def _with_sources(batch: _Batch, before: list[Statement], uses: Counter[Buffer]) -> _Batch:
    """The loop with those of the statements ``before`` it, which it takes away, whose results only its turns read."""
    for k in reversed(range(len(before))):
        s, passed = before[k], [*before[k + 1:], batch.loop]
        if not isinstance(s, Nest | Contract) or not _fits(s) or _written(passed) & {a.buffer.home for a in reads(s)}:
            continue
        new = _with_source(batch, s, uses)
        if new is not None:
            batch = new
            del before[k]
    return batch


def _written(statements: Sequence[Statement]) -> set[Buffer]:
    return {w.buffer.home for s in statements for w in writes(s)}


def _with_source(batch: _Batch, s: Nest | Contract, uses: Counter[Buffer]) -> _Batch | None:
    """The loop with ``s`` in it, which computes in each turn what the turn reads of it; None if that cannot be."""
    loop, results = batch.loop, _written([s])
    seen = Counter(a.buffer.home for inner in (s, loop) for a in _accesses(inner))
    if any(store.accumulate for store in s.stores) or not results & {a.buffer.home for a in reads(loop)} or any(
            b.kind != "temp" or seen[b] != uses[b] for b in results):
        return None
    inside = [a for a in _accesses(loop) if a.buffer.home in results]
    for axis in (a for a in s.axes if a.extent == loop.axis.extent):
        turns = _Dimension(s.stores[0].access.at.stride(axis), axis.extent)
        theirs = turns.places(writes(s), axis)
        for backwards in (False, True):
            ours = turns.places(inside, loop.axis, backwards)
            if theirs is None or ours is None:
                continue
            at = Affine(axis.extent - 1, ((loop.axis, -1),)) if backwards else Affine(0, ((loop.axis, 1),))
            first = _Placed({axis: at}, {axis: None}, theirs).statement(s)
            body = [first, *(_Placed({}, {}, ours).statement(inner) for inner in loop.body)]
            new = _batch(Loop(loop.axis, body, label=loop.label))
            if new is not None and new.size is not None:
                for b in results:
                    b.size //= turns.extent
                return new
    return None


class _Placed(Rewrite):
    """Statements written over other axes.

    ``exchanged``: the axes that come in the place of others, if any. ``places``: where accesses, by their identity, go.
    """

    def __init__(self, index: dict[Axis, Affine], exchanged: dict[Axis, Axis | None],
                 places: dict[int, Affine]) -> None:
        super().__init__(index)
        self.exchanged, self.places = exchanged, places

    def statement(self, s: Statement) -> Statement:
        """``s``, which is a nest, a contraction or a loop over rows."""
        if isinstance(s, Loop):
            axis = self.exchanged.get(s.axis, s.axis)
            assert axis is not None
            return Loop(axis, [*map(self.statement, s.body)], label=s.label, parallel=True)
        assert isinstance(s, Nest | Contract)
        axes = tuple(a for axis in s.axes if (a := self.exchanged.get(axis, axis)) is not None)
        return self.contract(s, axes) if isinstance(s, Contract) else self.nest(s, axes)

    def access(self, access: Access) -> Access:
        at = self.places.get(id(access))
        return super().access(access) if at is None else Access(access.buffer, at)
