"""The update of a large layer's weights follows, block by block, the product that makes their gradient.

Needs: a program with results in place. Gives: the program in which such products go by blocks of rows in a parallel
loop, each block followed by the part of the update that reads it. So a block of the gradient never leaves the cache
near the core. Before and after, where 784 = 28·28 and 500 more weights are updated::

    for i < 784, j < 512:                        repeat block < 28:  # update
      acc = sum over r < 128 of x[…] * d[…]        for i < 28, j < 512:
      g[512·i + j] = acc                             acc = sum over r < 128 of x[…] * d[…]
    …                                                part[512·i + j] = acc
    for k < 401908:                                for k < 14336:
      w[k] = w[k] - 0.1·g[k]                         w[14336·block + k] = w[14336·block + k] - 0.1·part[k]
                                                 for k < 500:
                                                   w[k + 401408] = w[k + 401408] - 0.1·g[k + 401408]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

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

LEAST = 1 << 16  # weights of a product from which on it is worth the code
BLOCK = 1 << 15  # weights of a block at most: a quarter of the second-level cache, or less
SHORTEST = 16  # rows of a block at least
OPERAND = 256 << 10  # bytes that each block reads anew, at most: a part of that cache too


def block_updates(program: Program) -> Program:
    """Form the loops, in the program and inside of its loops and branches."""
    every = [a.buffer.home for s in program.statements for a in (*reads(s), *writes(s))]
    program.statements = _blocked(program.statements, every, program.temps)
    return program


def _blocked(statements: Sequence[Statement], every: Sequence[Buffer], temps: list[Buffer]) -> list[Statement]:
    out: list[Statement] = []
    for s in statements:
        if isinstance(s, Branch):
            s.bodies = [_blocked(body, every, temps) for body in s.bodies]
        elif isinstance(s, Loop) and not s.parallel:
            s.body = _blocked(s.body, every, temps)
        parts = _parts(s, out, every) if isinstance(s, Nest) and _is_update(s) else []
        if isinstance(s, Nest) and parts:
            taken = [part.product for part in parts]
            out = [x for x in out if x not in taken]
            out += _divided(s, parts, temps)
        else:
            out.append(s)
    return out


@dataclass(frozen=True)
class _Part:
    """A product that makes the part of a gradient that begins at ``start``, in blocks of so many ``rows``."""

    product: Contract
    start: int
    rows: int

    @property
    def block(self) -> int:
        """Weights of a block."""
        return self.rows * prod(a.extent for a in self.product.axes[1:])

    @property
    def stop(self) -> int:
        return self.start + prod(a.extent for a in self.product.axes)


def _is_update(s: Nest) -> bool:
    """Whether a nest writes one element after another, each from what stands at its own place in the same arrays."""
    if len(s.axes) != 1 or s.combine is not None or any(store.accumulate for store in s.stores):
        return False
    along = ((s.axes[0], 1),)
    places = {(w.buffer.home, w.at.key) for w in writes(s)}
    written = {home for home, _ in places}
    return s.axes[0].extent >= LEAST and all(w.at.terms == along and not w.at.dynamic for w in writes(s)) and all(
        not r.buffer.volatile and (r.buffer.home not in written or (r.buffer.home, r.at.key) in places)
        for r in reads(s))


def _parts(update: Nest, before: Sequence[Statement], every: Sequence[Buffer]) -> list[_Part]:
    """The products before an update whose results nothing else reads."""
    found: list[_Part] = []
    for k, s in enumerate(before):
        rows = _rows(s) if isinstance(s, Contract) else None
        start = _start(s, update, before, every) if isinstance(s, Contract) and rows else None
        if not isinstance(s, Contract) or not rows or start is None:
            continue
        changed = {w.buffer.home for x in (*before[k + 1:], update) for w in writes(x)}
        if not changed & {r.buffer.home for r in reads(s)}:
            found.append(_Part(s, start, rows))
    return sorted(found, key=lambda part: part.start)


def _start(s: Contract, update: Nest, before: Sequence[Statement], every: Sequence[Buffer]) -> int | None:
    """Where in the update the results of ``s`` are read, one after another, if they are read nowhere else."""
    made, axis = s.stores[0].access, update.axes[0]
    home = made.buffer.home
    used = [r.at for r in reads(update) if r.buffer.home is home]
    others = [(x, w) for x in before for w in writes(x) if w.buffer.home is home]
    if len(s.stores) != 1 or s.stores[0].accumulate or home.kind != "temp" or not used or \
            every.count(home) != len(used) + len(others) or made.at.terms != _in_order(s.axes):
        return None
    if any(at.terms != ((axis, 1),) or at.dynamic or at.offset != used[0].offset for at in used):
        return None
    first, stop = made.at.offset, made.at.offset + prod(a.extent for a in s.axes)
    if any(x is not s and not _outside(w.at, first, stop) for x, w in others):
        return None
    start = first - used[0].offset
    return start if start >= 0 and stop - used[0].offset <= axis.extent else None


def _in_order(axes: Sequence[Axis]) -> tuple[tuple[Axis, int], ...]:
    """The steps of an array of these axes that lies in memory without gaps."""
    terms, size = [], 1
    for a in reversed(axes):
        terms.append((a, size))
        size *= a.extent
    return tuple(reversed(terms))


def _outside(at: Affine, first: int, stop: int) -> bool:
    """Whether an index is never one from ``first`` to before ``stop``."""
    reach = [c * (a.extent - 1) for a, c in at.terms]
    low, high = at.offset + sum(x for x in reach if x < 0), at.offset + sum(x for x in reach if x > 0)
    return not at.dynamic and (high < first or low >= stop)


def _rows(s: Contract) -> int | None:
    """The rows of a block; None where the product had better be made as a whole."""
    rows, own = s.axes[0], (*s.axes, *s.reduce_axes)
    width = prod(a.extent for a in s.axes[1:])
    again = sum(x.buffer.dtype.itemsize * prod(a.extent for a in own if x.at.stride(a))
                for x in (s.a, s.b) if not x.at.stride(rows))
    if rows.extent * width < LEAST or again > OPERAND:
        return None
    return max(block_sizes(rows.extent, SHORTEST, BLOCK // width), default=None)


# ---------------------------------------------------------------- the loops


def _divided(update: Nest, parts: Sequence[_Part], temps: list[Buffer]) -> Iterator[Statement]:
    """The update in parts, those after a product in a loop with it."""
    axis, done = update.axes[0], 0
    for start, stop, part in [*((p.start, p.stop, p) for p in parts), (axis.extent, axis.extent, None)]:
        if start > done:
            rest = Axis(f"{axis}r", start - done)
            yield Rewrite({axis: Affine(done, ((rest, 1),))}).nest(update, (rest,))
        if part is not None:
            yield _loop(update, part, temps)
        done = stop


def _loop(update: Nest, part: _Part, temps: list[Buffer]) -> Loop:
    s, axis = part.product, update.axes[0]
    rows, gradient = s.axes[0], s.stores[0].access.buffer.home
    block = Axis(f"{rows}b", rows.extent // part.rows)
    row, weight = Axis(f"{rows}k", part.rows), Axis(f"{axis}k", part.block)
    kept = Buffer(f"part{rows}", part.block, gradient.dtype, "temp")
    temps.append(kept)
    axes = (row, *s.axes[1:])
    place = {gradient: Access(kept, Affine(0, _in_order(axes)))}
    made = _Kept({rows: Affine(0, ((block, part.rows), (row, 1)))}, place).contract(s, axes)
    place = {gradient: Access(kept, Affine(0, ((weight, 1),)))}
    used = _Kept({axis: Affine(part.start, ((block, part.block), (weight, 1)))}, place).nest(update, (weight,))
    return Loop(block, [made, used], label="update", parallel=True)


class _Kept(Rewrite):
    """Statements written over other axes, with other places ``instead`` of those in some buffers."""

    def __init__(self, index: Mapping[Axis, Affine], instead: Mapping[Buffer, Access]) -> None:
        super().__init__(index)
        self.instead = instead

    def access(self, access: Access) -> Access:
        return self.instead.get(access.buffer.home) or super().access(access)
