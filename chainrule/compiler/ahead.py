"""What the next turn of a loop takes from a large array is fetched to the caches in this one.

Needs: a program whose memory is shared. Gives: loops in which a contraction is told where the rows of the next turn's
minibatch begin, and fetches them while it computes. No processor foresees which rows a shuffled epoch takes next, and a
minibatch comes from as far as the whole of the data lies. Before and after::

    repeat step < 1875:                              repeat step < 1875:
      for i < 32, k < 784:                             for i < 32:
        x[784·i + k] = data[784·order[32·step + i] + k]  next[i] = 784·order[32·min(step + 1, 1874) + i]
      …                                                for i < 32, k < 784:
      for k < 784, j < 10:                               x[784·i + k] = data[784·order[32·step + i] + k]
        acc = sum over i < 32 of x[…] * d[…]           …
                                                       for k < 784, j < 10:
                                                         soon data[next[i]], 784 elements for each i < 32
                                                         acc = sum over i < 32 of x[…] * d[…]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from chainrule.addresses import LINE
from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Clamp,
    Contract,
    Load,
    Loop,
    Nest,
    Position,
    Program,
    Soon,
    Statement,
    Store,
    expressions,
    writes,
)
from chainrule.compiler.rewrite import Rewrite
from chainrule.compiler.taken import rows_of
from chainrule.dtypes import INT64

LARGE = 1 << 20  # bytes of an array that does not stay near
LONG = 256  # bytes of a row at least
MOST = 512 << 10  # bytes of all rows at most: half of a second-level cache, in which they stay until they are read
WHILE = 128  # products for each line that is fetched: in less time it gets in the way


def fetch_ahead(program: Program) -> Program:
    """Tell contractions of loops what to fetch, in the program and inside of its loops and branches."""
    _visit(program.statements, program.temps)
    return program


def _visit(statements: Sequence[Statement], temps: list[Buffer]) -> None:
    for s in statements:
        if isinstance(s, Branch):
            for body in s.bodies:
                _visit(body, temps)
        elif isinstance(s, Loop) and not s.parallel:
            _visit(s.body, temps)
            if s.axis.extent > 1:
                s.body = _fetching(s, temps)


def _fetching(loop: Loop, temps: list[Buffer]) -> list[Statement]:
    """The body of a loop in which what the next turn takes is fetched."""
    changed = {w.buffer.home for w in writes(loop)}
    out: list[Statement] = []
    for k, s in enumerate(loop.body):
        out.append(s)
        source = _source(s) if isinstance(s, Nest) else None
        if not isinstance(s, Nest) or source is None or source.buffer.home in changed:
            continue
        begins = Position(Affine(0, (), source.at.dynamic), INT64)
        following = _Following(loop, _stored(loop.body[:k], loop))
        host = _host(s, loop.body[k + 1:])
        if host is not None and following.foresees(begins):
            out.append(_told(s, following.value(begins), host, temps))
    return out


def _source(s: Nest) -> Access | None:
    """What a nest takes rows of, if it does nothing but copy rows that are worth fetching."""
    taken = rows_of(s)
    if taken is None:
        return None
    access: Access = s.stores[0].value.access
    size = access.buffer.dtype.itemsize
    rows, along = (x.extent for x in taken)
    worth = access.buffer.home.size * size >= LARGE and along * size >= LONG and rows * along * size <= MOST
    return access if worth else None


def _host(s: Nest, after: Sequence[Statement]) -> Contract | None:
    """The last contraction after a statement that takes long enough to fetch the rows."""
    lines = prod(x.extent for x in s.axes) * s.stores[0].access.buffer.dtype.itemsize // LINE
    fit = (x for x in after if isinstance(x, Contract) and not x.soon
           and prod(a.extent for a in (*x.axes, *x.reduce_axes)) >= WHILE * lines)
    return max(fit, key=after.index, default=None)


def _told(s: Nest, begins: Position, host: Contract, temps: list[Buffer]) -> Nest:
    """The table of where the next turn's rows begin; the contraction fetches by it."""
    taken = rows_of(s)
    assert taken is not None
    (rows, along), source = taken, s.stores[0].value.access
    table = Buffer(f"next{rows}", rows.extent + 1, INT64, "temp")  # an entry more, as shares of lines are rounded up
    temps.append(table)
    axis, each = Axis(f"{rows}n", rows.extent), Axis(f"{rows}s", rows.extent)
    begin = Load(Access(table, Affine(0, ((each, 1),))), INT64)
    host.soon = (Soon(each, Access(source.buffer, Affine(source.at.offset, (), ((1, begin),))), along.extent),)
    host.loaded = None
    value = Rewrite({rows: Affine(0, ((axis, 1),))}).value(begins)
    return Nest((axis,), [Store(Access(table, Affine(0, ((axis, 1),))), value)], label="rows")


def _stored(before: Sequence[Statement], loop: Loop) -> dict[Buffer, tuple[Axis, Store]]:
    """What statements of a loop's body have stored element by element, where nobody else in the loop stores."""
    written = [w.buffer.home for w in writes(loop)]
    return {store.access.buffer.home: (s.axes[0], store) for s in before
            if isinstance(s, Nest) and len(s.axes) == 1 and s.combine is None for store in s.stores
            if store.access.at.key == Affine(0, ((s.axes[0], 1),)).key and not store.accumulate
            and written.count(store.access.buffer.home) == 1}


class _Following(Rewrite):
    """What an expression will be in the next turn of a loop; in the last turn, what it is.

    ``stored``: what the loop's body has stored, element by element; it is computed again for the next turn.
    """

    def __init__(self, loop: Loop, stored: Mapping[Buffer, tuple[Axis, Store]],
                 index: Mapping[Axis, Affine] | None = None) -> None:
        turn = Clamp((Position(Affine(1, ((loop.axis, 1),)), INT64),), loop.axis.extent, INT64)
        super().__init__({loop.axis: Affine(0, (), ((1, turn),)), **(index or {})})
        self.loop, self.stored = loop, stored
        self.changed = {w.buffer.home for w in writes(loop)}

    def foresees(self, e: Any) -> bool:
        """Whether what an expression loads is known a turn before."""
        loads = [x.access.buffer for x in expressions([e]) if isinstance(x, Load)]
        return all(not b.volatile and (b.home not in self.changed or (
            b.home in self.stored and self.foresees(self.stored[b.home][1].value))) for b in loads)

    def _value(self, e: Any) -> Any:
        if not isinstance(e, Load) or e.access.buffer.home not in self.changed:
            return super()._value(e)
        axis, store = self.stored[e.access.buffer.home]
        return _Following(self.loop, self.stored, {axis: self.affine(e.access.at)}).value(store.value)
