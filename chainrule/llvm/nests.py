"""Emits nests: elementwise loops and reductions, vectorised as their schedule says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from chainrule.compiler.loops import Apply, Load, Nest, roots
from chainrule.compiler.schedule import Band, Schedule, depends
from chainrule.cost import COSTLY
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.frame import Evaluator, Frame, Part
from chainrule.llvm.lanes import pick, power_of_two

AHEAD = 2  # rows between the one that is read and the one that is fetched
LONG = 64  # elements of a row
FAR = 256 << 10  # bytes of an array that caches near the core may not hold
COMBINE = {"add": Emitter.add, "mul": Emitter.mul, "max": Emitter.max, "min": Emitter.min}


def identity(combine: str, dtype: np.dtype) -> object:
    """The value that changes nothing when combined."""
    if combine in ("add", "mul"):
        return dtype.type(combine == "mul")
    low, high = (-np.inf, np.inf) if dtype.kind == "f" else (False, True) if dtype.kind == "b" else (
        np.iinfo(dtype).min, np.iinfo(dtype).max)
    return low if combine == "max" else high


def emit_nest(frame: Frame, nest: Nest, plan: Schedule, part: Part | None = None) -> None:
    """Emit the loops of ``nest``, or of a part of it, at the end of the current block."""
    if any(b.extent == 0 for b in plan.outer):
        return
    for band in (*plan.outer, *plan.inner):
        for axis in band.axes:
            frame.axes[axis] = frame.zero
    _Emission(frame, nest, plan, part).run()


class _Emission:
    def __init__(self, frame: Frame, nest: Nest, plan: Schedule, part: Part | None) -> None:
        self.frame, self.e, self.nest, self.plan, self.part = frame, frame.e, nest, plan, part
        self.vector = plan.vector.axis if plan.vector is not None else None
        self.outer = [b for b in plan.outer if b is not plan.vector]
        self.inner = [b for b in plan.inner if b is not plan.vector]
        last = [] if plan.vector is None else [plan.vector]
        order = [*self.outer, *last, *self.inner] if not plan.reduces_lanes else [*self.outer, *self.inner, *last]
        self.bands = order
        self.work = Evaluator(frame, roots(nest), [b.axis for b in order])
        self.cost = max(1, sum(frame.effort.costly if isinstance(x, Apply) and x.op.name in COSTLY else 1
                               for x in self.work.all))
        self.fetched: list[tuple[ir.Value, np.dtype]] = []  # where the rows begin that are read soon
        self.values = [store.value for store in nest.stores] + [x for s in nest.stores for _, x in s.access.at.dynamic]

    def run(self) -> None:
        self.work.enter(0)
        self.loops(self.outer, 1, self.at_output)

    def loops(self, bands: Sequence[Band], level: int, inside: Callable[[], None]) -> None:
        """Nested loops over ``bands``, whose first stands at ``level``."""
        if not bands:
            inside()
            return

        def turn(i: Val, carry: list[Val]) -> list[Val]:
            self.frame.axes[bands[0].axis] = i
            self.work.enter(level)
            before = self.fetched
            self.fetched = [*before, *self.look_ahead(bands[0], i)]
            self.loops(bands[1:], level + 1, inside)
            self.fetched = before
            return carry
        if self.part is not None and self.part.axis == bands[0]:
            with self.e.loop(self.part.begin, self.part.end) as loop:
                turn(loop.index, [])
            return
        rest = int(np.prod([b.extent for b in self.bands[level:]], dtype=np.int64))
        self.frame.repeat(bands[0].extent, self.cost * -(-rest // self.plan.lanes), turn)

    def look_ahead(self, band: Band, i: Val) -> Iterator[tuple[ir.Value, np.dtype]]:
        """Where the rows begin that are looked up (``take``) some turns of ``band`` later.

        Processors foresee what follows in memory, but not which row is next; a large array's come from far away.
        """
        if self.nest.combine is not None or self.vector is None or band.extent <= AHEAD:
            return
        last = self.e.index(band.extent - 1)
        later = self.e.add(i, self.e.index(AHEAD))
        for x in self.work.all:
            if isinstance(x, Load) and self.far_rows(x, band):
                at = self.e.select(self.e.lt(later, last), later, last)
                yield self.work.address(x, band.axis, at, self.vector), x.dtype

    def far_rows(self, x: Load, band: Band) -> bool:
        """Whether a load reads long rows of a large array, another one for each turn of ``band``."""
        assert self.vector is not None and self.plan.vector is not None
        home, at = x.access.buffer.home, x.access.at
        if at.stride(self.vector) != 1 or home.size * x.dtype.itemsize < FAR or self.plan.vector.extent < LONG:
            return False
        return any(band.axis in depends(y) for _, y in at.dynamic) and not any(
            self.vector in depends(y) for _, y in at.dynamic)

    def at_output(self) -> None:
        if self.plan.vector is None:
            self.point(1, 1) if self.nest.combine is None else self.reduce_scalar()
        elif self.plan.reduces_lanes:
            self.reduce_lanes()
        else:
            self.along_outputs()

    # -- lanes along the outputs

    def along_outputs(self) -> None:
        assert self.plan.vector is not None
        extent, lanes, jam = self.plan.vector.extent, self.plan.lanes, self.plan.jam
        full = extent // lanes
        if self.part is not None and self.part.axis == self.plan.vector:
            return self.some_outputs(self.part, full // jam, lanes * jam)
        done = 0
        for count in ([jam, 1] if jam > 1 else [1]):
            end = (full - done) // count * count + done
            if end > done:
                self.frame.repeat(end * lanes, self.cost * count * self.turns(), self.turn(count, lanes, lanes), (),
                                  done * lanes, count * lanes)
            done = end
        if extent % lanes:
            rest = extent % lanes
            self.turn(1, rest, power_of_two(rest))(self.e.index(full * lanes), [])

    def some_outputs(self, part: Part, full: int, unit: int) -> None:
        """The units of a part, of which ``full`` are whole; what is left of the axis is one more, the last."""
        e, lanes, jam = self.e, self.plan.lanes, self.plan.jam
        extent = self.plan.vector.extent  # type: ignore[union-attr]
        whole = e.index(full)
        stop = e.select(e.lt(part.end, whole), part.end, whole)
        with e.loop(e.mul(part.begin, e.index(unit)), e.mul(stop, e.index(unit)), unit) as loop:
            self.turn(jam, lanes, lanes)(loop.index, [])
        if extent % unit:
            with e.b.if_then(e.gt(part.end, whole).ir):
                vectors = extent // lanes * lanes
                self.frame.repeat(vectors, self.cost * self.turns(), self.turn(1, lanes, lanes), (), full * unit, lanes)
                if extent > vectors:
                    self.turn(1, extent - vectors, power_of_two(extent - vectors))(e.index(vectors), [])

    def turns(self) -> int:
        return max(1, int(np.prod([b.extent for b in self.inner], dtype=np.int64)))

    def turn(self, count: int, lanes: int, width: int) -> Callable[[Val, list[Val]], list[Val]]:
        def body(i: Val, carry: list[Val]) -> list[Val]:
            assert self.vector is not None
            starts = [i if k == 0 else self.e.add(i, self.e.index(k * lanes)) for k in range(count)]
            if self.nest.combine is None:
                self.frame.axes[self.vector] = i
                for row, dtype in self.fetched:
                    self.e.b.prefetch(self.e.at(row, i, dtype))
                self.point(lanes, width)
            else:
                self.reduce_columns(starts, lanes, width)
            return carry
        return body

    def point(self, lanes: int, width: int) -> None:
        """One vector (or one element) of an elementwise nest."""
        if self.vector is not None:
            self.work.enter(len(self.bands), None, lanes, self.vector, width)
        for store in self.nest.stores:
            self.work.store(store, lanes, self.vector, width)

    # -- reductions

    def combine(self, x: Val, y: Val) -> Val:
        assert self.nest.combine is not None
        return COMBINE[self.nest.combine](self.e, x, y)

    def start(self, width: int) -> Val:
        assert self.nest.combine is not None
        dtype = self.nest.body.dtype
        return self.e.const(identity(self.nest.combine, dtype), dtype, width)

    def reduce_scalar(self) -> None:
        total = self.reduce_rows(self.inner, len(self.outer) + 1, [self.start(1)], self.add_scalar)
        self.epilogue(total[0], 1, 1)

    def add_scalar(self, totals: list[Val]) -> list[Val]:
        return [self.combine(totals[0], self.work.value(self.nest.body))]

    def reduce_rows(self, bands: Sequence[Band], level: int, totals: list[Val],
                    inside: Callable[[list[Val]], list[Val]]) -> list[Val]:
        """Loops over the reduction's ``bands``, carrying the totals."""
        if not bands:
            return inside(totals)

        def turn(i: Val, carry: list[Val]) -> list[Val]:
            self.frame.axes[bands[0].axis] = i
            self.work.enter(level, [self.nest.body])
            return self.reduce_rows(bands[1:], level + 1, carry, inside)
        rest = int(np.prod([b.extent for b in bands[1:]], dtype=np.int64))
        return self.frame.repeat(bands[0].extent, self.cost * rest * self.plan.jam, turn, totals)

    def reduce_columns(self, starts: list[Val], lanes: int, width: int) -> None:
        """Lanes along the outputs: every lane adds up a column of its own."""
        assert self.vector is not None
        level = len(self.outer) + 1

        def add(totals: list[Val]) -> list[Val]:
            out = []
            for start, total in zip(starts, totals, strict=True):
                self.frame.axes[self.vector] = start  # type: ignore[index]
                for at in range(level, len(self.bands) + 1):
                    self.work.enter(at, [self.nest.body], lanes, self.vector, width)
                out.append(self.combine(total, self.work.value(self.nest.body, width)))
            return out
        totals = self.columns(self.inner, [self.start(width) for _ in starts], add)
        for start, total in zip(starts, totals, strict=True):
            self.frame.axes[self.vector] = start
            self.epilogue(total, lanes, width)

    def columns(self, bands: Sequence[Band], totals: list[Val], inside: Callable[[list[Val]], list[Val]]) -> list[Val]:
        if not bands:
            return inside(totals)

        def turn(i: Val, carry: list[Val]) -> list[Val]:
            self.frame.axes[bands[0].axis] = i
            return self.columns(bands[1:], carry, inside)
        rest = int(np.prod([b.extent for b in bands[1:]], dtype=np.int64))
        return self.frame.repeat(bands[0].extent, self.cost * rest * len(totals), turn, totals)

    def reduce_lanes(self) -> None:
        """Lanes along the reduction: several vectors of partial totals, combined at the end."""
        plan = self.plan
        assert plan.vector is not None
        lanes, jam = plan.lanes, plan.jam
        full = plan.vector.extent // lanes
        totals = [self.start(lanes) for _ in range(jam)] if full else []
        rest = plan.vector.extent % lanes
        if rest:
            totals.append(self.start(power_of_two(rest)))

        def row(totals: list[Val]) -> list[Val]:
            return self.lane_totals(totals, full, rest)
        totals = self.reduce_rows(self.inner, len(self.outer) + 1, totals, row)
        wide = totals[:jam] if full else []
        scalars = []
        while len(wide) > 1:
            wide = [self.combine(*wide[i:i + 2]) if i + 1 < len(wide) else wide[i] for i in range(0, len(wide), 2)]
        scalars += [self.e.reduce(self.combine, x) for x in wide]
        if rest:
            scalars.append(self.e.reduce(self.combine, pick(self.e, totals[-1], range(rest))))
        total = scalars[0] if scalars else self.start(1)
        for x in scalars[1:]:
            total = self.combine(total, x)
        self.epilogue(total, 1, 1)

    def lane_totals(self, totals: list[Val], full: int, rest: int) -> list[Val]:
        """Add one run along the vector axis to the totals."""
        lanes, jam, level = self.plan.lanes, self.plan.jam, len(self.bands)
        assert self.vector is not None

        def vectors(count: int) -> Callable[[Val, list[Val]], list[Val]]:
            def body(i: Val, carry: list[Val]) -> list[Val]:
                out = list(carry)
                for k in range(count):
                    self.frame.axes[self.vector] = i if k == 0 else self.e.add(i, self.e.index(k * lanes))  # type: ignore[index]
                    self.work.enter(level, [self.nest.body], lanes, self.vector, lanes)
                    out[k] = self.combine(out[k], self.work.value(self.nest.body, lanes))
                return out
            return body
        done = full // jam * jam
        if full:
            totals = self.frame.repeat(done * lanes, self.cost * jam, vectors(jam), totals, 0, jam * lanes)
            totals = self.frame.repeat(full * lanes, self.cost, vectors(1), totals, done * lanes, lanes)
        if rest:
            width = power_of_two(rest)
            self.frame.axes[self.vector] = self.e.index(full * lanes)
            self.work.enter(level, [self.nest.body], rest, self.vector, width)
            totals = [*totals[:-1], self.combine(totals[-1], self.work.value(self.nest.body, width))]
        return totals

    def epilogue(self, total: Val, lanes: int, width: int) -> None:
        """What becomes of a finished total."""
        vector = None if self.plan.reduces_lanes else self.vector
        if vector is not None:
            self.work.enter(len(self.outer) + 1, self.values, lanes, vector, width)
        self.work.finish(self.values, total)
        for store in self.nest.stores:
            self.work.store(store, lanes, vector, width)
