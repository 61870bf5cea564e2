"""The operands of a contraction: read where they lie, or copied to scratch memory first, packed or as they are.

Half numbers become float32 on the way: as they are loaded where an operand is read directly, else as it is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.compiler.contraction_plan import Pack, Piece, Plan, Wide, pieces
from chainrule.dtypes import INT64
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.half import pair
from chainrule.llvm.lanes import gather, load_columns, load_first, power_of_two, square, store_first, turned_at_once
from chainrule.llvm.place import Index, affine, plus, value


@dataclass(frozen=True)
class Span:
    """The part of an axis that the loops around have settled on: a block, or a tile of ``size`` in a block."""

    start: Index
    stop: Index
    size: int = 0
    block: Index = 0  # where the block starts
    part: bool = False  # no block of the plan, but what one thread computes
    half: bool = False  # the last word of an odd sum, with one number only

    @property
    def whole(self) -> bool:
        """Whether this is a block."""
        return not self.size


@dataclass(frozen=True)
class Rows:
    """Where the rows of a view begin: a table along an axis.

    Once a tile has settled on some rows, ``begin`` are their addresses, and ``later`` those of the next tile's.
    """

    axis: int
    table: ir.Value
    begin: tuple[ir.Value, ...] = ()
    later: tuple[ir.Value, ...] = ()

    def beyond(self, e: Emitter, offset: Index, dtype: np.dtype) -> Rows:
        """The same rows from so many elements further."""
        begin, later = (tuple(e.at(x, offset, dtype) for x in rows) for rows in (self.begin, self.later))
        return replace(self, begin=begin, later=later)


@dataclass(frozen=True)
class View:
    """How one operand is read inside a tile: the address of the tile's first element, the strides, the dtype there."""

    pointer: ir.Value
    strides: tuple[int, ...]
    dtype: np.dtype
    padded: bool = False  # whole registers may be read
    rows: Rows | None = None

    def move(self, e: Emitter, axis: int, by: Index) -> View:
        """The view from ``by`` places further along an axis."""
        if self.rows is not None and self.rows.axis == axis:
            return replace(self, rows=replace(self.rows, table=e.at(self.rows.table, by, INT64)))
        return self.beyond(e, affine(e, [(by, self.strides[axis])]))

    def beyond(self, e: Emitter, offset: Index) -> View:
        """The view from so many elements further."""
        if isinstance(offset, int) and offset == 0:
            return self
        rows = self.rows and self.rows.beyond(e, offset, self.dtype)
        return replace(self, pointer=e.at(self.pointer, offset, self.dtype), rows=rows)

    def settled(self, e: Emitter, plan: Plan, spans: Mapping[int, Span]) -> View:
        """The view for one tile.

        Its addresses are such that LLVM cannot see through, lest it load whole panels ahead of a loop, and spill.
        """
        rows = self.rows
        if rows is not None and rows.axis in spans and spans[rows.axis].size:
            span = spans[rows.axis]
            begin = tuple(e.b.hidden(self.row(e, e.index(n))) for n in range(span.size))
            left = e.sub(e.index(plan.axes[rows.axis].extent - 1), value(e, span.start))
            ahead = [e.index(span.size + n) for n in range(span.size)]
            later = tuple(self.row(e, e.select(e.lt(n, left), n, left)) for n in ahead)
            rows = replace(rows, begin=begin, later=later)
        return replace(self, pointer=e.b.hidden(self.pointer), rows=rows)

    def row(self, e: Emitter, n: Val) -> ir.Value:
        """Where row ``n`` begins by the table."""
        assert self.rows is not None
        return e.at(self.pointer, e.load(e.at(self.rows.table, n, INT64), INT64), self.dtype)

    def at(self, e: Emitter, place: Mapping[int, int]) -> View:
        """The view from a place of the tile, and of its steps, on."""
        rest = sum(n * self.strides[i] for i, n in place.items() if self.rows is None or i != self.rows.axis)
        if self.rows is None:
            return self.beyond(e, rest)
        n = place.get(self.rows.axis, 0)
        pointer = self.rows.begin[n] if self.rows.begin else self.row(e, e.index(n))
        return replace(self, pointer=pointer, rows=None).beyond(e, rest)


@contextmanager
def over(e: Emitter, piece: Piece, around: Span | None) -> Iterator[Span]:
    """A loop over the tiles of one size that lie in the block ``around``; no loop if there is only one."""
    size = piece.size
    if around is None and piece.stop - piece.start == size:
        yield Span(piece.start, piece.stop, size)
        return
    start: Index = piece.start
    stop: Index = piece.stop
    block: Index = 0
    if around is not None:
        block, low, high = 0 if around.part else around.start, value(e, around.start), value(e, around.stop)
        start, stop = e.index(piece.start), e.index(piece.stop)
        start, stop = e.select(e.gt(low, start), low, start), e.select(e.lt(high, stop), high, stop)
    with e.loop(start, stop, size) as loop:
        yield Span(loop.index, e.add(loop.index, e.index(size)), size, block)


class Operands:
    """Copies and finds the operands of one contraction. ``done``: where those lie that are packed already."""

    def __init__(self, e: Emitter, plan: Plan, pointers: Sequence[ir.Value], scratch: ir.Value | None,
                 done: Mapping[int, ir.Value], tables: Mapping[int, ir.Value] | None = None) -> None:
        self.e, self.plan, self.pointers, self.done, self.tables = e, plan, pointers, done, tables or {}
        self.axes, self.dtype = plan.axes, plan.contraction.dtype
        self.scratch = 0  # elements in use
        memory: Any = scratch  # there is some if anything needs it
        self.packed: dict[int, tuple[Pack, ir.Value]] = {}
        self.wide: dict[int, tuple[Wide, ir.Value]] = {}
        for pack in plan.packs:
            if pack.operand in done:
                self.packed[pack.operand] = pack, done[pack.operand]
            else:
                self.packed[pack.operand] = pack, e.at(memory, self.scratch, self.dtype)
                self.scratch += plan.pack_size(pack)
        for wide in plan.wides:
            self.wide[wide.operand] = wide, e.at(memory, self.scratch, self.dtype)
            self.scratch += plan.reach(wide)[1]

    # -- packing

    def pack(self, pack: Pack, around: dict[int, Span]) -> None:
        """Copy the part of an operand that lies in the block to scratch memory, reading it in the order of memory."""
        if pack.operand in self.done:
            return
        if self.plan.dot:  # rows are copied some at a time, whatever the tiles
            around = {i: s for i, s in around.items() if i != pack.axis}
        contiguous = self.axes[pack.axis].strides[pack.operand] == 1
        order = (*self.plan.inner, pack.axis) if contiguous else (pack.axis, *self.plan.inner)
        self.copy(order, pack, around, {})

    def copy(self, order: Sequence[int], pack: Pack, around: dict[int, Span], spans: dict[int, Span],
             lanes: tuple[Index, int] | None = None) -> None:
        """Loop over the axes in ``order``, then copy a block: all of a panel, or as many ``lanes`` from a first one."""
        if not order:
            return self.copy_block(pack, around, spans, lanes)
        words = self.plan.words
        for piece in self.copied(pack, order[0]):
            with over(self.e, piece, around.get(order[0])) as span:
                if words and words.odd and order[0] == words.axis:
                    span = replace(span, half=piece.start == self.axes[words.axis].extent - 1)
                within = spans | {order[0]: span}
                if order[0] == pack.axis and self.across(pack):
                    for some in self.lanes_of(span.size):
                        self.copy(order[1:], pack, around, within, some)
                else:
                    self.copy(order[1:], pack, around, within, lanes)

    def across(self, pack: Pack) -> bool:
        """Whether what lies together in a panel lies apart in memory: then a vector's rows are read to their ends."""
        return not self.plan.dot and self.axes[pack.axis].strides[pack.operand] != 1

    def lanes_of(self, size: int) -> Iterator[tuple[Index, int]]:
        """The vectors of a panel: their first element, and how many; a loop where they are several."""
        lanes, done = self.plan.lanes, 0
        if size >= 2 * lanes:
            done = size - size % lanes
            with self.e.loop(0, done, lanes) as loop:
                yield loop.index, lanes
        yield from ((first, min(lanes, size - first)) for first in range(done, size, lanes))

    def copied(self, pack: Pack, axis: int) -> Sequence[Piece]:
        """The pieces of an axis in which it is copied."""
        plan, extent = self.plan, self.axes[axis].extent
        if axis == pack.axis:
            return pieces(extent, square(self.dtype)) if plan.dot else plan.pieces(axis)
        turn = 1 if axis != plan.inner[-1] else plan.lanes if plan.dot else square(self.dtype)
        if turn > 1 and self.across(pack) and self.axes[axis].strides[pack.operand] == 1:
            line = turned_at_once(self.dtype, plan.lanes)
            turn = line if plan.blocks.get(axis, 0) % line == 0 else turn  # else it would reach into the next block
        if plan.words and axis == plan.words.axis and not plan.words.direct[pack.operand]:
            whole, turn = extent - plan.words.odd, square(self.dtype) // 2
            return *pieces(whole, turn, turn), *([Piece(whole, extent, 1)] if plan.words.odd else [])
        return pieces(extent, turn, turn)

    def copy_block(self, pack: Pack, around: dict[int, Span], spans: dict[int, Span],
                   lanes: tuple[Index, int] | None) -> None:
        """Vectors along one axis, for each place of another one."""
        plan, operand = self.plan, pack.operand
        along, across = (plan.along, pack.axis) if plan.dot else (pack.axis, plan.inner[-1])
        source = self.direct(operand, around | spans)
        target = self.packed_view(pack, spans[pack.axis], spans)
        size = spans[along].size
        whole = ((first, min(plan.lanes, size - first)) for first in range(0, size, plan.lanes))
        for first, used in whole if lanes is None else [lanes]:
            here, there = (v.move(self.e, along, first) for v in (source, target))
            width = plan.lanes if along == plan.vector else power_of_two(used)
            kept = plan.lanes if along == plan.vector else used
            for n, x in enumerate(self.taken(operand, here, along, across, used, spans[across], width)):
                store_first(self.e, x, there.move(self.e, across, n).pointer, kept)

    def taken(self, operand: int, view: View, along: int, across: int, lanes: int, span: Span, width: int) -> list[Val]:
        """What is packed at a span of the axis ``across``: numbers, or words of two of them."""
        if self.plan.words is None or self.plan.words.direct[operand]:
            return self.columns(view, along, across, lanes, span.size, width)
        single = replace(view, strides=tuple(s // 2 if i == across else s for i, s in enumerate(view.strides)))
        singles = self.columns(single, along, across, lanes, 2 * span.size - span.half, width)
        singles += [self.e.const(0, self.dtype, width)] * span.half
        return [pair(self.e, low, high) for low, high in zip(singles[::2], singles[1::2], strict=True)]

    def columns(self, view: View, along: int, across: int, lanes: int, count: int, width: int) -> list[Val]:
        """Registers with lanes along one axis, for ``count`` places of another one."""
        e, dtype, s, t = self.e, view.dtype, view.strides[along], view.strides[across]
        if t == 1 and s != 1:
            return load_columns(e, view.pointer, s, dtype, lanes, count, width, self.dtype)
        stored = [load_first(e, e.at(view.pointer, n * t, dtype), dtype, lanes, width) if s == 1 else
                  gather(e, view.pointer, n * t, s, dtype, lanes, width) for n in range(count)]
        return [e.cast(x, self.dtype) for x in stored]

    def packed_view(self, pack: Pack, span: Span, spans: dict[int, Span]) -> View:
        """The panel, or the rows, of a packed operand at ``span`` of the packed axis."""
        e, plan = self.e, self.plan
        strides, panel = plan.pack_layout(pack, span.size)
        around = plan.blocks_around(plan.nest.index(pack))
        terms = [(span.start, panel), (span.block, -panel)]
        for i in plan.inner:
            if i in spans and not (i in around and spans[i].whole):  # only the block that the loops are in is packed
                terms += [(spans[i].start, strides[i]), (spans[i].block, -strides[i])]
        return View(e.at(self.packed[pack.operand][1], affine(e, terms), self.dtype), strides, self.dtype, True)

    # -- half numbers made float32 in the order of memory

    def widen(self, wide: Wide, spans: dict[int, Span]) -> None:
        e, lanes, (first, count) = self.e, self.plan.lanes, self.plan.reach(wide)
        source = self.direct(wide.operand, {i: spans[i] for i in wide.settled}).beyond(e, first)
        target = View(self.wide[wide.operand][1], (), self.dtype)
        done = 0
        for step in (4 * lanes, lanes):
            stop = count - count % step
            if stop > done:
                with e.loop(done, stop, step) as loop:
                    for n in range(0, step, lanes):
                        here, there = (v.beyond(e, plus(e, loop.index, n)) for v in (source, target))
                        e.store(e.cast(e.load(here.pointer, here.dtype, lanes), self.dtype), there.pointer)
            done = stop
        if count > done:
            here, there = (v.beyond(e, done) for v in (source, target))
            rest = load_first(e, here.pointer, here.dtype, count - done, power_of_two(count - done))
            store_first(e, e.cast(rest, self.dtype), there.pointer, count - done)

    def widened(self, operand: int, spans: dict[int, Span]) -> View:
        """How a tile reads what :meth:`widen` has left."""
        wide, pointer = self.wide[operand]
        strides = tuple(x.strides[operand] for x in self.axes)
        start = affine(self.e, [(s.start, strides[i]) for i, s in spans.items() if i not in wide.settled])
        return View(pointer, strides, self.dtype).beyond(self.e, start).beyond(self.e, -self.plan.reach(wide)[0])

    def direct(self, operand: int, spans: dict[int, Span]) -> View:
        """An operand where it lies in memory, from the start of all spans on."""
        strides = tuple(x.strides[operand] for x in self.axes)
        view = View(self.pointers[operand], strides, self.plan.memory(operand))
        if operand in self.tables:
            along = next(i for i, x in enumerate(self.axes) if x.origin == self.plan.contraction.by_table[operand])
            view = replace(view, rows=Rows(along, self.tables[operand]))
            view = view.move(self.e, along, spans[along].start if along in spans else 0)
            spans = {i: s for i, s in spans.items() if i != along}
        return view.beyond(self.e, affine(self.e, [(s.start, strides[i]) for i, s in spans.items()]))

    def view(self, operand: int, spans: dict[int, Span]) -> View:
        """How the tile at ``spans`` reads an operand."""
        if operand in self.packed:
            pack = self.packed[operand][0]
            return self.packed_view(pack, spans[pack.axis], spans)
        return self.widened(operand, spans) if operand in self.wide else self.direct(operand, spans)
