"""Writes the loops of a planned contraction (``compiler/contraction.py``).

The finished sums go to an *epilogue*, which adds a bias, applies an activation, updates parameters, stores: whatever
the fused kernel needs. It is called as ``epilogue(e, place, sums)``, once for each register of a register tile;
``sums`` holds ``place.lanes`` neighbouring outputs, and :class:`Place` tells where they are and addresses memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

from chainrule import dtypes
from chainrule.addresses import LINE
from chainrule.compiler.contraction_plan import Pack, Plan, Step, Wide, in_pairs
from chainrule.llvm import ir
from chainrule.llvm.ahead import Ahead, Later, ahead
from chainrule.llvm.emitter import Emitter, Loop, Val
from chainrule.llvm.frame import Part
from chainrule.llvm.half import load_every_other, load_repeated
from chainrule.llvm.lanes import MASKED_BYTES, power_of_two, resize, square, sum_lanes, transpose
from chainrule.llvm.operands import Operands, Span, View, over
from chainrule.llvm.place import Index, Place, Tile, affine, plus, value

Epilogue = Callable[[Emitter, Place, Val], None]
Fetch = Callable[[Emitter, Place], None]


def emit_contraction(
    e: Emitter, plan: Plan, a: ir.Value, b: ir.Value, scratch: ir.Value | None, epilogue: Epilogue,
    part: Part | None = None, packed: Mapping[int, ir.Value] | None = None,
    tables: Mapping[int, ir.Value] | None = None, fetch: Fetch | None = None, later: Sequence[Later] = (),
) -> None:
    """Emit the whole contraction at the end of the current block.

    ``a`` and ``b`` point to the operands' element of index zero; ``scratch`` to ``plan.scratch`` elements (best aligned
    to 64 bytes) that do not overlap anything else, or None if the plan needs none. The epilogue sees each output once.
    ``part`` limits what is computed to some register tiles along an axis of the plan. ``packed``: where operands lie
    that :func:`emit_pack` has packed before. ``tables``: for operands of which the contraction says so, the address of
    the table of rows: int64, in elements from where the operand begins. ``fetch(e, place)``: called when a tile begins
    for each register that the epilogue will see; fetches what it will read from far. ``later``: what others will read,
    and may be fetched meanwhile.
    """
    if all(x.extent for x in plan.contraction.axes if not x.reduce):
        nest = _Nest(e, plan, (a, b), scratch, epilogue, packed or {}, tables or {}, fetch,
                     later)
        nest.descend(0, {} if part is None else {part.axis: nest.tiles_of(part)})


def emit_pack(e: Emitter, plan: Plan, pack: Pack, operand: ir.Value, target: ir.Value) -> None:
    """Pack an operand (one of ``plan.packs_before``) to ``plan.pack_size(pack)`` elements, for later contractions."""
    Operands(e, plan, (operand, operand), target, {p.operand: target for p in plan.packs if p != pack}).pack(pack, {})


@dataclass(frozen=True)
class _Register:
    """One register of a tile: its place relative to the tile's first element; how many of its lanes count."""

    at: dict[int, int]
    lanes: int
    width: int

    @property
    def row(self) -> int:
        """Registers of a row stand together."""
        return next(iter(self.at.values()), 0)


Sums = list[list[Val | None]]  # for each register its chains; None is zero


class _Nest:
    """Writes one contraction, from the outermost loop to the epilogue."""

    def __init__(self, e: Emitter, plan: Plan, operands: tuple, scratch: ir.Value | None, epilogue: Epilogue,
                 packed: Mapping[int, ir.Value], tables: Mapping[int, ir.Value], fetch: Fetch | None,
                 later: Sequence[Later]) -> None:
        self.e, self.plan, self.epilogue, self.epilogue_fetch, self.later = e, plan, epilogue, fetch, later
        self.axes, self.dtype = plan.axes, plan.contraction.dtype
        self.operands = Operands(e, plan, operands, scratch, packed, tables)
        self.by_pairs = plan.dot and plan.words is None and in_pairs(plan.contraction, plan.axes[plan.along])
        memory: Any = scratch  # there is some if anything needs it
        self.ahead: Ahead | None = None  # what the present tile fetches
        self.partial: Any = e.at(memory, self.operands.scratch, self.dtype) if plan.partial_size else None

    def tiles_of(self, part: Part) -> Span:
        """The register tiles that are a part's units."""
        e, (full, *odd) = self.e, self.plan.pieces(part.axis)

        def position(n: Val) -> Val:
            at = e.mul(n, e.index(full.size))
            if not odd:
                return at
            count = full.stop // full.size
            beyond = plus(e, e.mul(e.sub(n, e.index(count)), e.index(odd[0].size)), full.stop)
            return e.select(e.gt(n, e.index(count)), beyond, at)
        return Span(position(part.begin), position(part.end), part=True)

    # -- the loops outside of the tile

    def descend(self, depth: int, spans: dict[int, Span]) -> None:
        """Emit the nest from ``depth`` on."""
        if depth == len(self.plan.nest):
            return self.tile(spans)
        step = self.plan.nest[depth]
        if isinstance(step, Pack):
            self.operands.pack(step, spans)
            self.descend(depth + 1, spans)
        elif isinstance(step, Wide):
            self.operands.widen(step, spans)
            self.descend(depth + 1, spans)
        elif step.block:
            self.block(step, depth, spans)
        else:
            self.tiles(step, depth, spans)

    def block(self, step: Step, depth: int, spans: dict[int, Span]) -> None:
        """Blocks of an axis; the last one takes the odd tiles along."""
        e, extent, around = self.e, self.axes[step.axis].extent, spans.get(step.axis)
        full = self.plan.pieces(step.axis)[0].stop if not self.axes[step.axis].reduce else extent
        first: Index = 0
        limit, last = e.index(full), e.index(extent)
        if around is not None:  # of the part, which may consist of odd tiles only
            first, last = around.start, value(e, around.stop)
            low = plus(e, first, 1)
            limit = e.select(e.lt(last, limit), last, limit)
            limit = e.select(e.gt(low, limit), low, limit)
        with e.loop(first, limit if around is not None else full, step.size) as loop:
            end = e.add(loop.index, e.index(step.size))
            stop = e.select(e.ge(end, limit), last, end)
            self.descend(depth + 1, spans | {step.axis: Span(loop.index, stop)})

    def tiles(self, step: Step, depth: int, spans: dict[int, Span]) -> None:
        for piece in self.plan.pieces(step.axis):
            with over(self.e, piece, spans.get(step.axis)) as span:
                self.descend(depth + 1, spans | {step.axis: span})

    # -- the register tile

    def tile(self, spans: dict[int, Span]) -> None:
        """One register tile: all its sums, then the epilogue (or memory, if more blocks of the reduction follow)."""
        self.ahead = ahead(self.e, self.plan, self.operands, spans, self.later)
        registers = list(self.registers({i: s.size for i, s in spans.items() if s.size and not self.axes[i].reduce}))
        views = [self.operands.view(o, spans).settled(self.e, self.plan, spans) for o in (0, 1)]
        seen = not (self.plan.dot or self.plan.turned) and self.plan.cut_depth is None  # by the epilogue, as they are
        if self.epilogue_fetch is not None and seen:
            place = self.place(spans)
            for r in registers:
                self.epilogue_fetch(self.e, Place(place, r.at, r.lanes))
        if not self.plan.steps:
            return self.finish(spans, registers, self.zeros(registers))
        if self.plan.cut_depth is None:
            return self.finish(spans, registers, self.accumulate(0, views, registers, self.zeros(registers), spans))
        e, memory = self.e, self.partial_view(spans)
        blocks = [(s, self.axes[i].extent) for i, s in spans.items() if self.axes[i].reduce]
        first = _all(e, [e.eq(value(e, s.start), e.index(0)) for s, _ in blocks])
        last = _all(e, [e.eq(value(e, s.stop), e.index(extent)) for s, extent in blocks])
        sums = self.accumulate(0, views, registers, self.resume(first, memory, registers), spans)
        with e.b.if_else(last.ir) as (then, otherwise):
            with then:
                self.finish(spans, registers, sums)
            with otherwise:
                for r, x in zip(registers, self.totals(sums), strict=True):
                    e.store(x, self.address(memory, r))

    def registers(self, size: dict[int, int]) -> Iterator[_Register]:
        """The registers of a tile, row by row; rows are short, as what a row multiplies with stays in registers."""
        plan, v = self.plan, self.plan.vector
        steps = {i: range(0, n, plan.lanes if i == v else 1) for i, n in size.items()}
        order = sorted(size, key=lambda i: (-len(steps[i]), i == v))
        for at in product(*(steps[i] for i in order)):
            place = dict(zip(order, at, strict=True))
            if plan.dot:
                lanes = power_of_two(min(plan.lanes, self.axes[plan.along].extent))
                yield _Register(place, lanes, lanes)
            else:  # all of one width: LLVM spills where they are mixed
                most = 1 if v is None else min(plan.lanes, size[v])
                yield _Register(place, 1 if v is None else min(most, size[v] - place[v]), power_of_two(most))

    def zeros(self, registers: list[_Register]) -> Sums:
        return [[None] * self.plan.chains(len(registers)) for _ in registers]

    # -- sums

    def accumulate(
        self, depth: int, views: list[View], registers: list[_Register], sums: Sums, spans: dict[int, Span],
        done: Index = 0,
    ) -> Sums:
        """Emit the reduced loops inside the tile from ``depth`` on; returns the sums after them.

        ``done``: turns of the loops around, if something is fetched in some of them.
        """
        e, plan = self.e, self.plan
        if depth == len(plan.inner):  # nothing is reduced: one product
            return self.turn(views, registers, sums, 1)
        axis = plan.inner[depth]
        count: Index = self.axes[axis].extent
        if axis in spans:
            count = e.sub(value(e, spans[axis].stop), value(e, spans[axis].start))
        if depth == len(plan.inner) - 1:
            return self.innermost(views, registers, sums, count, done)
        with self.carrying(registers, sums, count, 1) as loop:
            moved, done = [v.move(e, axis, loop.index) for v in views], self.steps_done(axis, done, loop.index)
            loop.next(_flat(self.accumulate(depth + 1, moved, registers, _like(sums, loop.carry), spans, done)))
        return _like(sums, loop.carry)

    def steps_done(self, axis: int, around: Index, index: Index) -> Index:
        """How many turns along an axis are done, those of turns around it among them."""
        extent = self.plan.blocks.get(axis, self.axes[axis].extent)
        return 0 if self.ahead is None else affine(self.e, [(around, extent), (index, 1)])

    def innermost(
        self, views: list[View], registers: list[_Register], sums: Sums, count: Index, done: Index
    ) -> Sums:
        """The innermost reduced loop, unrolled; what is left of its last turn follows it."""
        e, plan = self.e, self.plan
        axis, turn = plan.inner[-1], plan.unroll * (plan.lanes if plan.dot else 1)
        rest = 0
        if isinstance(count, int):
            if count <= turn:
                if self.ahead is not None:
                    self.ahead.fetch(e, value(e, self.steps_done(axis, done, 0)), count)
                return self.turn(views, registers, sums, count)
            count, rest = count // turn * turn, count % turn
        with self.carrying(registers, sums, count, turn) as loop:
            moved = [v.move(e, axis, loop.index) for v in views]
            if self.ahead is not None:
                self.ahead.fetch(e, value(e, self.steps_done(axis, done, loop.index)), turn)
            loop.next(_flat(self.turn(moved, registers, _like(sums, loop.carry), turn)))
        sums = _like(sums, loop.carry)
        return self.turn([v.move(e, axis, count) for v in views], registers, sums, rest) if rest else sums

    def carrying(self, registers: list[_Register], sums: Sums, count: Index, step: int) -> AbstractContextManager[Loop]:
        """A loop that carries the sums."""
        start = [self.sum_of(x, r) for r, chain in zip(registers, sums, strict=True) for x in chain]
        return self.e.loop(0, count, step, start)

    def sum_of(self, x: Val | None, r: _Register) -> Val:
        return self.e.const(0, self.dtype, r.width) if x is None else x

    def turn(self, views: list[View], registers: list[_Register], sums: Sums, count: int) -> Sums:
        """``count`` elements of the innermost reduced axis, without a loop."""
        sums = [list(chain) for chain in sums]
        unit = self.plan.lanes if self.plan.dot else 1
        columns: dict[tuple, list[Val]] = {}
        once = self.used_once(views, registers)
        for view in views:
            self.fetch(view, count)
        for step, first in enumerate(range(0, count, unit)):
            values: dict[tuple, Val] = {}
            for n, (r, chain) in enumerate(zip(registers, sums, strict=True)):
                if n and r.row != registers[n - 1].row:  # no instruction; LLVM would load all rows first, and spill
                    self.e.b.fence("acq_rel", "singlethread")
                x, y = (self.read(o, v, r, first, count, values, columns) for o, v in enumerate(views))
                place = step % len(chain)
                chain[place] = self.multiply_add(x, y, chain[place])
                for o in once:  # else LLVM adds the sum to a register of these, which moves sums about, and spills
                    self.e.b.kept((x, y)[o].ir)
        return sums

    def fetch(self, view: View, count: int) -> None:
        """Fetch what the next tile reads of its rows at these ``count`` steps: no processor foresees it."""
        size = view.dtype.itemsize
        if view.rows is None or view.strides[self.plan.inner[-1]] != 1 or 4 * count * size < LINE:
            return
        for row in view.rows.later:
            for n in range(0, count, LINE // size):
                self.e.b.prefetch(self.e.at(row, n, view.dtype))

    def used_once(self, views: list[View], registers: list[_Register]) -> list[int]:
        """The operands of which each register multiplies with another value, where registers are few."""
        if self.dtype.kind != "f" or self.plan.dot or len({r.row for r in registers}) < max(2, len(registers)):
            return []
        if registers[0].width != self.plan.lanes or self.plan.lanes * self.dtype.itemsize == MASKED_BYTES:
            return []  # parts of registers are no matter, nor are tiles of processors with many
        return [o for o, view in enumerate(views) if view.strides[next(iter(registers[0].at))]]

    def multiply_add(self, x: Val, y: Val, total: Val | None) -> Val:
        if self.plan.words is not None:
            return self.e.math("add_products_of_pairs", x, y, self.e.like(x, 0) if total is None else total)
        if total is None:
            return self.e.mul(x, y)
        return self.e.fma(x, y, total) if self.dtype.kind == "f" else self.e.add(self.e.mul(x, y), total)

    def read(self, operand: int, view: View, r: _Register, first: int, count: int,
             values: dict[tuple, Val], columns: dict[tuple, list[Val]]) -> Val:
        """What register ``r`` multiplies at element ``first`` of a turn of ``count``; each value is loaded once."""
        e, plan = self.e, self.plan
        inner = plan.inner[-1] if plan.inner else None
        step = 0 if inner is None else view.strides[inner]
        along = 0 if plan.vector is None else view.strides[plan.vector]
        at = sum(n * view.strides[i] for i, n in r.at.items())
        key = operand, at, r.lanes if along else r.width
        if key in values:
            return values[key]
        lanes = r.width if view.padded else min(plan.lanes, count - first) if plan.dot else r.lanes
        here = view.at(e, r.at | ({} if inner is None else {inner: first}))
        if along == 0 and not plan.dot and dtypes.is_half(view.dtype):
            beside = 0 if step != 1 else 1 if first + 1 < count else -1 if first else 0
            x = load_repeated(e, here.pointer, view.dtype, beside, r.width)
        elif self.by_pairs and first - first % (2 * plan.lanes) + 2 * plan.lanes <= count:  # in what order they add up
            odd = first % (2 * plan.lanes)  # is all the same, if it is for both operands
            x = load_every_other(e, here.beyond(e, -odd).pointer, view.dtype, bool(odd), r.width)
        elif along == 0:  # zero beyond the end only if lanes are added up
            wide = lanes if plan.dot else r.width
            x = resize(e, e.load_splat(here.pointer, view.dtype, wide) if view.dtype == self.dtype else e.splat(
                e.cast(e.load(here.pointer, view.dtype), self.dtype), wide), r.width)
        elif along == 1 or plan.dot or step != 1:
            x = self.operands.columns(here, plan.along, plan.along, lanes, 1, r.width)[0]
        else:
            turn = square(self.dtype)
            block = (*key, first // turn)
            if block not in columns:
                taken = min(turn, count - first)
                columns[block] = self.operands.columns(here, plan.along, plan.inner[-1], lanes, taken, r.width)
            x = columns[block][first % turn]
        values[key] = x
        return x

    # -- the end of a tile

    def totals(self, sums: Sums) -> list[Val]:
        """The chains of each register added up in pairs."""
        def total(chain: Sequence[Val | None]) -> Val | None:
            if len(chain) == 1:
                return chain[0]
            low, high = total(chain[:len(chain) // 2]), total(chain[len(chain) // 2:])
            return low if low is None or high is None else self.e.add(low, high)
        return [total(chain) for chain in sums]  # type: ignore[misc]  # a chain that began has a sum

    def finish(self, spans: dict[int, Span], registers: list[_Register], sums: Sums) -> None:
        tile = self.place(spans)
        totals = [self.sum_of(x, r) for r, x in zip(registers, self.totals(sums), strict=True)]
        finished = (self.across(registers, totals) if self.plan.dot else self.turned(registers, totals)
                    if self.plan.turned else zip(registers, totals, strict=True))
        for r, x in finished:
            self.epilogue(self.e, Place(tile, r.at, r.lanes), resize(self.e, x, r.lanes))

    def place(self, spans: dict[int, Span]) -> Tile:
        return Tile(self.e, self.plan, {i: s.start for i, s in spans.items()})

    def turned(self, registers: list[_Register], totals: list[Val]) -> Iterator[tuple[_Register, Val]]:
        """The sums with lanes along the axis along which they lie together, as many at a time as a register has."""
        plan = self.plan
        v, axis = plan.along, plan.lane_axis
        assert axis is not None
        rows: dict[int, list[tuple[_Register, Val]]] = {}
        for r, x in zip(registers, totals, strict=True):
            rows.setdefault(r.at[v], []).append((r, x))
        for start, row in rows.items():
            for group in _groups(row, plan.lanes):
                first, columns = group[0][0], transpose(self.e, [x for _, x in group])
                for lane in range(first.lanes):
                    yield _Register({**first.at, v: start + lane}, len(group), len(group)), columns[lane]

    def across(self, registers: list[_Register], totals: list[Val]) -> Iterator[tuple[_Register, Val]]:
        """Dot form: sum the lanes of each register, for as many neighbours at a time as a register has lanes."""
        axis = self.plan.lane_axis
        rows: dict[tuple, list[tuple[_Register, Val]]] = {}
        for r, x in zip(registers, totals, strict=True):
            rows.setdefault(tuple(n for i, n in r.at.items() if i != axis), []).append((r, x))
        for row in rows.values():
            for group in _groups(row, row[0][1].lanes):
                yield _Register(group[0][0].at, len(group), len(group)), sum_lanes(self.e, [x for _, x in group])

    # -- partial sums in memory, where the reduction is cut into blocks

    def partial_view(self, spans: dict[int, Span]) -> View:
        e, plan = self.e, self.plan
        terms = [(spans[i].start, stride) for i, stride in plan.partial.items()]
        assert plan.cut_depth is not None
        around = plan.blocks_around(plan.cut_depth)
        terms += [(spans[i].block, -stride) for i, stride in plan.partial.items() if i in around]
        strides = tuple(plan.partial.get(i, 0) for i in range(len(self.axes)))
        return View(e.at(self.partial, affine(e, terms), self.dtype), strides, self.dtype)

    def address(self, memory: View, r: _Register) -> ir.Value:
        return self.e.at(memory.pointer, sum(n * memory.strides[i] for i, n in r.at.items()), self.dtype)

    def resume(self, first: Val, memory: View, registers: list[_Register]) -> Sums:
        """Zero in the first block of the reduction, else what the block before left."""
        e, before = self.e, self.e.b.block
        zeros = [self.sum_of(None, r) for r in registers]
        with e.b.if_then(e.b.not_(first.ir)):
            loads = [e.load(self.address(memory, r), self.dtype, r.width) for r in registers]
            loaded = e.b.block
        sums = []
        for zero, load in zip(zeros, loads, strict=True):
            phi = e.b.phi(zero.ir.type)
            phi.add_incoming(zero.ir, before)
            phi.add_incoming(load.ir, loaded)
            sums.append([Val(phi, self.dtype), *[None] * (self.plan.chains(len(registers)) - 1)])
        return sums


# -- small things


def _groups(row: Sequence[tuple[_Register, Val]], most: int) -> Iterator[Sequence[tuple[_Register, Val]]]:
    """Neighbours, as many at a time as a register has lanes: powers of two."""
    first = 0
    while first < len(row):
        size = min(1 << ((len(row) - first).bit_length() - 1), most)
        yield row[first:first + size]
        first += size


def _all(e: Emitter, conditions: list[Val]) -> Val:
    return reduce(e.and_, conditions)


def _flat(sums: Sums) -> list[Val]:
    return [x for chain in sums for x in chain]  # type: ignore[misc]  # only sums that began are carried


def _like(sums: Sums, flat: Sequence[Val]) -> Sums:
    values = iter(flat)
    return [[next(values) for _ in chain] for chain in sums]
