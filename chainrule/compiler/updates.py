"""The update of a large layer's weights is part of the product that makes their gradient, or follows it block by block.

Needs: a program with results in place. Gives: the program in which such gradients do not go through memory. A cheap
update (SGD, momentum) is computed with the product's sums, register by register, 784 weights of which 10 are a bias::

    for i < 30, j < 26:                              for i < 30, j < 26:
      acc = sum over r < 128 of x[…] * d[…]            acc = sum over r < 128 of x[…] * d[…]
      g[26·i + j] = acc                                w[26·i + j] = w[26·i + j] - 0.1·acc
    …
    for k < 784:                                     for k < 4:
      w[k] = w[k] - 0.1·g[k]                           w[k + 780] = w[k + 780] - 0.1·g[k + 780]

For others (Adam) such products go by blocks of rows in a parallel loop, each block followed by the part of the update
that reads it. So a block of the gradient never leaves the cache near the core, and what the update reads beside it
(weights, moments) is fetched while it is made. Before and after, where 784 = 28·28 and 500 more weights are updated::

    for i < 784, j < 512:                        repeat block < 28:  # update
      acc = sum over r < 128 of x[…] * d[…]        for i < 28, j < 512:
      g[512·i + j] = acc                             soon v[14336·block], 14336 elements
    …                                                acc = sum over r < 128 of x[…] * d[…]
    for k < 401908:                                  part[512·i + j] = acc
      v[k] = 0.9·v[k] + g[k]·g[k]                  for k < 14336:
      …                                              v[14336·block + k] = 0.9·v[…] + part[k]·part[k]
                                                     …
                                                 for k < 500:
                                                   v[k + 401408] = …
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Branch,
    Buffer,
    Const,
    Contract,
    Load,
    Loop,
    Nest,
    Program,
    Soon,
    Statement,
    Store,
    expressions,
    reads,
    roots,
    writes,
)
from chainrule.compiler.order import Uses
from chainrule.compiler.parallel import block_sizes
from chainrule.compiler.rewrite import Rewrite

LEAST_IN_PRODUCT = 1 << 12  # weights of a product from which on it makes a cheap update itself
CHEAP = frozenset(("add", "sub", "mul", "neg"))  # operations of such an update, which are one instruction each
FEW, ARRAYS = 8, 3  # of them, and of the arrays that it reads: the gradient, weights, one moment
VECTOR = 16  # weights of a row from which on it does: vectors of shorter rows are no full ones
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
        if not isinstance(s, Nest) or not _is_update(s):
            out.append(s)
            continue
        cheap = _is_cheap(s)
        parts = _parts(s, out, every, _whole if cheap else _rows)
        if parts:
            _place(out, {p.product: _in_product(s, p) if cheap else _loop(s, p, temps) for p in parts})
            out += _rest(s, parts)
        else:
            out.append(s)
    return out


def _place(out: list[Statement], parts: Mapping[Contract, Statement]) -> None:
    """Put parts of an update where the products are, or as soon behind as nobody waits for what they write over.

    So what the products read is not kept in memory to the end.
    """
    for product, part in parts.items():
        at, uses = out.index(product), Uses.of(part)
        del out[at]
        waits = (k for k in reversed(range(at, len(out))) if uses.waits_for(Uses.of(out[k])))
        out.insert(next(waits, at - 1) + 1, part)


@dataclass(frozen=True)
class _Part:
    """A product that makes the part of a gradient that begins at ``start``, in blocks of so many ``rows``, or all."""

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
    return s.axes[0].extent >= LEAST_IN_PRODUCT and \
        all(w.at.terms == along and not w.at.dynamic for w in writes(s)) and \
        all(not r.buffer.volatile and (r.buffer.home not in written or (r.buffer.home, r.at.key) in places)
            for r in reads(s))


def _is_cheap(s: Nest) -> bool:
    """Whether what an update computes is no more than what a product may do with its sums while they are in registers.

    Few operations of an instruction each, and few arrays.
    """
    values = [e for e in expressions(roots(s)) if not isinstance(e, Load | Const)]
    arrays = {(r.buffer.home, r.at.key) for r in reads(s) if r.at.stride(s.axes[0])}
    return len(values) <= FEW and len(arrays) <= ARRAYS and all(
        isinstance(e, Apply) and e.op.name in CHEAP for e in values)


def _whole(s: Contract) -> int | None:
    """All rows at once, if they are a product's and long."""
    large = prod(a.extent for a in s.axes) >= LEAST_IN_PRODUCT and s.axes[-1].extent >= VECTOR
    return s.axes[0].extent if large else None


def _parts(update: Nest, before: Sequence[Statement], every: Sequence[Buffer],
           rows_of: Callable[[Contract], int | None]) -> list[_Part]:
    """The products before an update whose results nothing else reads."""
    found: list[_Part] = []
    for k, s in enumerate(before):
        rows = rows_of(s) if isinstance(s, Contract) else None
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


def _rest(update: Nest, parts: Sequence[_Part]) -> Iterator[Statement]:
    """What is left of the update before, between and after its parts."""
    axis, done = update.axes[0], 0
    for start, stop in [*((p.start, p.stop) for p in parts), (axis.extent, axis.extent)]:
        if start > done:
            rest = Axis(f"{axis}r", start - done)
            yield Rewrite({axis: Affine(done, ((rest, 1),))}).nest(update, (rest,))
        done = stop


def _in_product(update: Nest, part: _Part) -> Contract:
    """The product, whose sums update the weights at once."""
    s, axis = part.product, update.axes[0]
    work = _Summed({axis: Affine(part.start, _in_order(s.axes))}, s.stores[0])
    return Contract(s.axes, s.reduce_axes, s.a, s.b, s.dtype, work.stores(update), s.label)


class _Summed(Rewrite):
    """Statements written over other axes, where what a product stores stands for what is loaded from there."""

    def __init__(self, index: Mapping[Axis, Affine], made: Store) -> None:
        super().__init__(index)
        self.made = made

    def _value(self, e: Any) -> Any:
        if isinstance(e, Load) and e.access.buffer.home is self.made.access.buffer.home:
            return self.made.value
        return super()._value(e)


def _loop(update: Nest, part: _Part, temps: list[Buffer]) -> Loop:
    """The product in blocks, each followed by its part of the update."""
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
    made.soon = tuple(_fetched(used, kept))
    return Loop(block, [made, used], label="update", parallel=True)


def _fetched(used: Nest, kept: Buffer) -> Iterator[Soon]:
    """What the update of a block reads beside the gradient: weights, moments."""
    weight, = used.axes
    arrays = {(r.buffer.home, r.at.offset): r for r in reads(used) if r.at.stride(weight) == 1 and r.buffer is not kept}
    for r in arrays.values():
        around = tuple((a, c) for a, c in r.at.terms if a is not weight)
        yield Soon(None, Access(r.buffer, Affine(r.at.offset, around)), weight.extent)


class _Kept(Rewrite):
    """Statements written over other axes, with other places ``instead`` of those in some buffers."""

    def __init__(self, index: Mapping[Axis, Affine], instead: Mapping[Buffer, Access]) -> None:
        super().__init__(index)
        self.instead = instead

    def access(self, access: Access) -> Access:
        return self.instead.get(access.buffer.home) or super().access(access)
