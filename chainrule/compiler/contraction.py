"""Planning of contractions: out[i…] = Σ_r A[affine(i, r)] · B[affine(i, r)].

Matrix products in every transposition, batched products, dot and outer products, convolutions and all
their derivatives are contractions: only the strides differ. :func:`plan` decides for one shape and one
machine how the loops run, and ``llvm/contraction.py`` writes them. There are two forms:

* *tile*: the lanes of a vector run along an output axis; a register tile of rows × vectors stays in
  registers over the whole sum. Each step loads a few vectors of one operand and broadcasts elements of
  the other.
* *dot*: the lanes run along a reduced axis that is contiguous in both operands; the lanes of each
  accumulator are summed at the end.

An operand that is read often and lies badly is first copied (*packed*) to scratch memory, transposed if
need be, so that the innermost loop reads it in sequence. Plans are found by trying every sensible tile
against a model of the machine's cycles; they depend on the shape and the machine only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil, gcd, prod
from typing import Protocol

import numpy as np

A, B, OUT = 0, 1, 2
FMA_RATE, LOAD_RATE, FMA_LATENCY = 2, 2, 4  # vector instructions a cycle; cycles
FULL_UNROLL = 128  # multiply-adds of a tile that are written without a loop
TURN = 32  # multiply-adds that one turn of the innermost loop may grow to
LINE, L1_WAY, L2_WAY = 64, 4096, 65536  # bytes: a cache line; a way of the caches (their size over their associativity)
PACK_STEP = 256  # reduction steps of one block when the reduction must be blocked


class Machine(Protocol):
    vector_bytes: int
    vector_registers: int
    l1_bytes: int
    l2_bytes: int


@dataclass(frozen=True)
class ContractAxis:
    """One index of a contraction: its extent and the strides (in elements) of A, B and the output along it."""

    extent: int
    a: int
    b: int
    out: int
    reduce: bool


@dataclass(frozen=True)
class Contraction:
    """``accesses``: further stride vectors over the axes by which the epilogue will address memory."""

    axes: tuple[ContractAxis, ...]
    dtype: np.dtype
    accesses: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis of the plan: one axis of the contraction, or several that every operand sees as one.

    ``parts`` are the numbers of the merged axes, outermost first; the strides are those of the last.
    """

    extent: int
    strides: tuple[int, ...]  # A, B, out, accesses…
    reduce: bool
    parts: tuple[int, ...]

    @property
    def origin(self) -> int:
        return self.parts[-1]


@dataclass(frozen=True)
class Piece:
    """The tiles of ``size`` from ``start`` to ``stop`` along an axis."""

    start: int
    stop: int
    size: int


@dataclass(frozen=True)
class Step:
    """A loop of the nest: over blocks of ``size``, or over the register tiles of ``axis``."""

    axis: int
    size: int
    block: bool = False


@dataclass(frozen=True)
class Pack:
    """Copy an operand to scratch: panels along ``axis`` (tile form), or rows along the lanes (dot form)."""

    operand: int
    axis: int


@dataclass(frozen=True)
class Plan:
    """How one contraction is computed. ``str(plan)`` shows the loop nest."""

    contraction: Contraction
    axes: tuple[Axis, ...]
    lanes: int  # of a full vector
    vector: int | None  # axis of the lanes; a reduced one in the dot form; None if nothing is left to vectorise
    tile: tuple[int, ...]  # elements of each axis in the register tile (1 for reduced axes)
    nest: tuple[Step | Pack, ...]  # loops outside of the tile
    inner: tuple[int, ...]  # reduced axes looped over inside the tile, innermost last
    unroll: int  # steps of the innermost one in a turn of its loop
    cycles: float  # the model's estimate

    @property
    def dot(self) -> bool:
        return self.vector is not None and self.axes[self.vector].reduce

    @cached_property
    def lane_axis(self) -> int | None:
        """The axis (of the plan) along which the accumulators' lanes run when the epilogue sees them."""
        if not self.dot:
            return self.vector
        rows = [i for i, t in enumerate(self.tile) if t > 1]
        return min(rows, key=lambda i: (self.axes[i].strides[OUT] != 1, -self.tile[i]), default=None)

    @property
    def vector_axis(self) -> int | None:
        """The same as a number of the contraction's axes (None if the epilogue sees scalars only)."""
        return None if self.lane_axis is None else self.axes[self.lane_axis].origin

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        return tuple(s for s in self.nest if isinstance(s, Pack))

    @cached_property
    def blocks(self) -> dict[int, int]:
        return {s.axis: s.size for s in self.nest if isinstance(s, Step) and s.block}

    @cached_property
    def partial(self) -> tuple[int, ...] | None:
        """Strides of the buffer of partial sums over the axes, if reduced axes are looped over outside of the tile."""
        outside = [n for n, s in enumerate(self.nest) if isinstance(s, Step) and self.axes[s.axis].reduce]
        if not outside:
            return None
        strides, size = [0] * len(self.axes), 1
        within = {s.axis for s in self.nest[outside[0]:] if isinstance(s, Step)}
        for i in sorted(within, key=lambda i: i != self.vector):
            if not self.axes[i].reduce:
                strides[i] = size
                size *= self.padded(i, self._extent_in_block(i))
        return tuple(strides)

    def _extent_in_block(self, i: int) -> int:
        """The longest block of axis ``i``: the last one takes the odd tiles along."""
        extent = self.axes[i].extent
        if i not in self.blocks:
            return extent
        odd = extent - self.pieces(i)[0].stop
        return min(extent, self.blocks[i] + odd)

    def padded(self, i: int, extent: int) -> int:
        return ceil(extent / self.lanes) * self.lanes if i == self.vector else extent

    def pieces(self, i: int) -> tuple[Piece, ...]:
        """The register tiles along axis ``i``: full ones, then at most one kind of smaller ones."""
        return pieces(self.axes[i].extent, self.tile[i], self.lanes if i == self.vector else 1)

    def chains(self, registers: int) -> int:
        """Independent sums for each of a tile's registers, so that the multiply-adds do not wait for each other."""
        return chains(registers, self.unroll)

    @cached_property
    def steps(self) -> int:
        """Elements of the reduction."""
        return prod(x.extent for x in self.contraction.axes if x.reduce)

    def pack_size(self, pack: Pack) -> int:
        if self.dot:
            assert self.vector is not None
            return self.axes[pack.axis].extent * self.padded(self.vector, self.axes[self.vector].extent) * (
                self.steps // self.axes[self.vector].extent)
        return self.padded(pack.axis, self._extent_in_block(pack.axis)) * self.steps + self.lanes

    @cached_property
    def scratch(self) -> int:
        """Elements of scratch memory: the packed operands, then the partial sums."""
        return sum(self.pack_size(p) for p in self.packs) + self.partial_size

    @cached_property
    def partial_size(self) -> int:
        if self.partial is None:
            return 0
        return prod(self.padded(i, self._extent_in_block(i)) for i, s in enumerate(self.partial) if s)

    def name(self, i: int) -> str:
        x = self.axes[i]
        kind = "k" if x.reduce else "m" if not x.strides[B] else "n" if not x.strides[A] else "b"
        return f"{kind}{''.join(map(str, x.parts))}"

    def __str__(self) -> str:
        lines = [" ".join(f"{self.name(i)}:{x.extent}(a{x.strides[A]},b{x.strides[B]},o{x.strides[OUT]})"
                          for i, x in enumerate(self.axes)) + f" {self.contraction.dtype}"]
        for depth, step in enumerate(self.nest):
            if isinstance(step, Pack):
                text = f"pack {'AB'[step.operand]} along {self.name(step.axis)}"
            elif step.block:
                text = f"for {self.name(step.axis)} in blocks of {step.size}"
            else:
                sizes = " + ".join(f"{(p.stop - p.start) // p.size}×{p.size}" for p in self.pieces(step.axis))
                text = f"for {self.name(step.axis)} in {sizes}"
            lines.append("  " * (depth + 1) + text)
        tile = "×".join(f"{t}{self.name(i)}" for i, t in enumerate(self.tile) if t > 1) or "1"
        form = "dot" if self.dot else "tile"
        lanes = f"{self.lanes} lanes along {self.name(self.vector)}" if self.vector is not None else "scalars"
        inner = ", ".join(self.name(i) for i in self.inner)
        lines.append("  " * (len(self.nest) + 1) + f"{form} {tile}, {lanes}, sum over {inner or 'nothing'}, unroll {self.unroll}")
        return "\n".join(lines) + f"\nscratch {self.scratch}, about {self.cycles:.0f} cycles"


# -- axes


def merge(c: Contraction) -> tuple[Axis, ...]:
    """The axes without those of extent 1, and with neighbours joined that every access sees as one axis."""
    axes = [Axis(x.extent, (x.a, x.b, x.out, *(s[i] for s in c.accesses)) if not x.reduce else (x.a, x.b, 0),
                 x.reduce, (i,)) for i, x in enumerate(c.axes) if x.extent != 1]
    pairs = ((o, i) for o in axes for i in axes if o is not i and _mergeable(o, i))
    while (pair := next(pairs, None)) is not None:
        outer, inner = pair
        axes[axes.index(inner)] = Axis(outer.extent * inner.extent, inner.strides, inner.reduce, outer.parts + inner.parts)
        axes.remove(outer)
        pairs = ((o, i) for o in axes for i in axes if o is not i and _mergeable(o, i))
    return tuple(axes)


def _mergeable(outer: Axis, inner: Axis) -> bool:
    return outer.reduce == inner.reduce and all(o == i * inner.extent for o, i in zip(outer.strides, inner.strides, strict=True))


def pieces(extent: int, tile: int, unit: int = 1) -> tuple[Piece, ...]:
    """Tiles of size ``tile``, then at most one kind of smaller tiles, as large and as few as can be.

    >>> pieces(128, 6)
    (Piece(start=0, stop=108, size=6), Piece(start=108, stop=128, size=5))
    """
    if extent <= tile:
        return (Piece(0, extent, extent),)
    if extent % tile == 0:
        return (Piece(0, extent, tile),)
    for small in range(tile - unit, unit - 1, -unit):
        for count in range(1, min(tile // unit, extent // small) + 1):
            if (extent - count * small) % tile == 0 and extent % unit == 0:
                cut = extent - count * small
                return (Piece(0, cut, tile), Piece(cut, extent, small)) if cut else (Piece(0, extent, small),)
    cut = extent // tile * tile
    return Piece(0, cut, tile), Piece(cut, extent, extent - cut)


def chains(registers: int, unroll: int) -> int:
    count = 1
    while registers * count < FMA_RATE * FMA_LATENCY and count * 2 <= unroll and registers * count * 2 <= 12:
        count *= 2
    return count


# -- the search


def plan(c: Contraction, machine: Machine) -> Plan:
    """The cheapest plan by the model."""
    return _Search(c, machine).best()


@dataclass(frozen=True)
class _Choice:
    """A candidate: the lanes' axis, the register tile, and the operands to pack."""

    vector: int | None
    tile: dict[int, int]
    packed: tuple[tuple[int, int], ...]  # operands, and the axes of their panels

    def packs(self, operand: int) -> bool:
        return any(o == operand for o, _ in self.packed)


class _Search:
    def __init__(self, c: Contraction, machine: Machine) -> None:
        self.c, self.machine = c, machine
        self.axes = merge(c)
        if not all(x.extent for x in self.axes):  # nothing to add up, or nothing at all
            self.axes = tuple(x for x in self.axes if not x.reduce)
        self.lanes = machine.vector_bytes // c.dtype.itemsize
        self.quad = min(4, 16 // c.dtype.itemsize)  # elements of the 128 bits that transposing loads take
        self.outer = [i for i, x in enumerate(self.axes) if not x.reduce]
        self.reduced = [i for i, x in enumerate(self.axes) if x.reduce]
        self.steps = prod(self.axes[i].extent for i in self.reduced)

    def stride(self, operand: int, axis: int | None) -> int:
        return 0 if axis is None else self.axes[axis].strides[operand]

    def best(self) -> Plan:
        if not self.outer and not self.reduced or not all(x.extent for x in self.axes):
            return self.complete(_Choice(None, {}, ()), 1.0)
        cycles, _, choice = min(((self.cost(x), n, x) for n, x in enumerate(self.choices())), key=lambda t: t[:2])
        return self.complete(choice, cycles)

    # -- candidates

    def choices(self) -> Iterator[_Choice]:
        for v in self.outer:
            wide = range(1, min(8, ceil(self.axes[v].extent / self.lanes)) + 1)
            for r in [i for i in self.outer if i != v] or [None]:
                for packed in self.packings(v, r):
                    tall = range(1, min(14, self.axes[r].extent) + 1) if r is not None else (1,)
                    for rows, vectors in product(tall, wide):
                        if self.fits(rows, vectors, v, packed):
                            extent = min(self.axes[v].extent, vectors * self.lanes)
                            yield _Choice(v, {v: extent} | ({r: rows} if r is not None else {}), packed)
        for v in self.reduced:
            for packed in self.packings(v, None):
                for rows, columns in self.pairs():
                    tall, wide = (range(1, min(12, self.axes[i].extent) + 1) if i is not None else (1,) for i in (rows, columns))
                    for t, w in product(tall, wide):
                        if t * w + min(t, w) + 1 <= self.machine.vector_registers:
                            yield _Choice(v, {i: n for i, n in ((rows, t), (columns, w)) if i is not None}, packed)

    def pairs(self) -> list[tuple[int | None, int | None]]:
        pairs = [(i, j) for i in self.outer for j in self.outer if i < j]
        return pairs or [(i, None) for i in self.outer] or [(None, None)]

    def packings(self, v: int, r: int | None) -> list[tuple[tuple[int, int], ...]]:
        """Sets of (operand, axis) that may be packed: what varies along the reduction and one axis of the tile."""
        if self.steps < 2:
            return [()]
        varying = [o for o in (A, B) if any(self.stride(o, i) for i in self.reduced)]
        if v in self.reduced:  # rows of lanes: what is not contiguous already and varies along one axis only
            able = [(o, i) for o in varying for i in self.outer if self.stride(o, v) > 1 and self.rows_of(o) == [i]]
            return [(), *((pack,) for pack in able)]
        able = [(o, i) for o in varying for i in (v, r) if i is not None and self.stride(o, i) and not (self.stride(o, v) and i == r)]
        return [(), *((pack,) for pack in able), *([tuple(able)] if len(able) == 2 else [])]

    def rows_of(self, operand: int) -> list[int]:
        return [i for i in self.outer if self.stride(operand, i)]

    def fits(self, rows: int, vectors: int, v: int, packed: tuple[tuple[int, int], ...]) -> bool:
        strided = any(self.stride(o, v) not in (0, 1) and (o, v) not in packed for o in (A, B))
        temporary = self.quad + 2 if strided else min(rows, vectors) * (rows > 1) + 1
        return rows * vectors + temporary <= self.machine.vector_registers

    # -- cost

    def cost(self, x: _Choice) -> float:
        """Cycles of the whole contraction."""
        tiled = [(i, pieces(self.axes[i].extent, t, self.lanes if i == x.vector else 1)) for i, t in x.tile.items()]
        outside = prod(self.axes[i].extent for i in self.outer if i not in x.tile)
        total = 0.0
        for combination in product(*(p for _, p in tiled)):
            sizes = {i: p.size for (i, _), p in zip(tiled, combination, strict=True)}
            turns = prod((p.stop - p.start) // p.size for p in combination)
            total += turns * self.tile_cost(x, sizes) + 3
        return outside * total + sum(self.pack_cost(o, i) for o, i in x.packed)

    def tile_cost(self, x: _Choice, sizes: dict[int, int]) -> float:
        dot = x.vector in self.reduced
        counts = {i: ceil(n / self.lanes) if i == x.vector else n for i, n in sizes.items()}
        registers = prod(counts.values())
        steps = self.steps
        if dot:
            steps = steps // self.axes[x.vector].extent * ceil(self.axes[x.vector].extent / self.lanes)
        loads = extra = 0.0
        for operand in (A, B):
            loads += prod(n for i, n in counts.items() if self.stride(operand, i))
            extra += self.load_cost(x, operand, counts)
        latency = FMA_LATENCY / chains(registers, max(1, min(steps, 8)))
        step = max(registers / FMA_RATE, loads / LOAD_RATE, latency, (registers + loads) / 5) + extra
        return steps * step + self.finish_cost(x, registers)

    def finish_cost(self, x: _Choice, registers: int) -> float:
        out = self.stride(OUT, x.vector)
        if x.vector in self.reduced:
            return 14 + registers * (2.5 if registers > 1 else 0)
        return 8 + registers * (1 if out == 1 else 2 * self.lanes)

    def load_cost(self, x: _Choice, operand: int, counts: dict[int, int]) -> float:
        """Cycles beyond plain loads from the first-level cache for what a step takes of an operand."""
        if x.packs(operand):
            return 0.0
        along, count = self.stride(operand, x.vector), prod(n for i, n in counts.items() if self.stride(operand, i))
        if x.vector in self.reduced:
            return 0.0 if along in (0, 1) else count * float(self.lanes)
        if any(self.stride(operand, i) == 1 for i in self.reduced):
            return 0.0 if along == 0 else count * (self.lanes / self.quad + 1) * 0.75
        if along in (0, 1):
            return self.miss_cost(operand, ceil(count * self.c.dtype.itemsize * (self.lanes if along else 1) / LINE))
        return count * float(self.lanes)

    def miss_cost(self, operand: int, lines: int) -> float:
        """Cycles for ``lines`` cache lines a step where every step goes to other lines, as far apart as the stride says."""
        apart = max((abs(self.stride(operand, i)) for i in self.reduced), default=0) * self.c.dtype.itemsize
        swept = lines * self.steps
        for size, way, price in ((self.machine.l1_bytes, L1_WAY, 0.0), (self.machine.l2_bytes, L2_WAY, 1.0)):
            sets = way // gcd(max(apart, LINE), way)
            if 2 * swept <= size // way * sets * lines and 2 * swept * LINE <= size:
                return price * lines
        return 5.0 * lines

    def footprint(self, operand: int) -> int:
        return self.c.dtype.itemsize * prod(x.extent for x in self.axes if x.strides[operand])

    def pack_cost(self, operand: int, axis: int) -> float:
        vectors = self.footprint(operand) / self.machine.vector_bytes
        spread = 1.0 if self.footprint(operand) <= self.machine.l1_bytes // 2 else 3.0
        if self.stride(operand, axis) == 1:
            return 20 + vectors * spread
        transposable = any(i.strides[operand] == 1 for i in self.axes)
        return 20 + vectors * (spread + 0.25 * self.lanes / self.quad if transposable else 1.5 * self.lanes)

    # -- loops around the tile

    def complete(self, x: _Choice, cycles: float) -> Plan:
        tile = tuple(x.tile.get(i, 1) for i in range(len(self.axes)))
        draft = Plan(self.c, self.axes, self.lanes, x.vector, tile, (), (), 1, cycles)
        inner = sorted(self.reduced, key=lambda i: self.innermost(x, i))
        blocks = self.blocks(draft, x, inner)
        packs = [Pack(*pack) for pack in x.packed]
        nest: list[Step | Pack] = []
        loops = sorted((i for i in self.outer if i not in x.tile), key=lambda i: -abs(self.stride(OUT, i)))
        for pack in packs:
            needed = [i for i in loops if self.stride(pack.operand, i)]
            nest += [Step(i, 1) for i in needed]
            loops = [i for i in loops if i not in needed]
            nest += [Step(pack.axis, blocks.pop(pack.axis), True)] if pack.axis in blocks else []
            nest.append(pack)
        nest += [Step(i, 1) for i in loops]
        nest += [Step(i, blocks[i], True) for i in (*self.outer, *self.reduced) if i in blocks]
        nest += [Step(i, x.tile[i]) for i in self.tile_order(x)]
        return replace(draft, nest=tuple(nest), inner=tuple(inner), unroll=self.unroll(draft, x, inner))

    def innermost(self, x: _Choice, i: int) -> tuple[bool, int]:
        """Sorts reduced axes: the lanes' axis last, then by stride."""
        return i == x.vector, -max(abs(self.stride(A, i)), abs(self.stride(B, i)))

    def tile_order(self, x: _Choice) -> list[int]:
        """Tile loops, outermost first: the larger operand's panel is kept while the smaller one is swept."""
        order = sorted(x.tile, key=lambda i: i != x.vector)
        vector_operand = next((o for o in (A, B) if self.stride(o, x.vector)), None)
        if vector_operand is not None and self.footprint(vector_operand) <= self.machine.l1_bytes // 2:
            order.reverse()
        return order

    def blocks(self, draft: Plan, x: _Choice, inner: Sequence[int]) -> dict[int, int]:
        """Block sizes of axes, for operands that outgrow the second-level cache."""
        if draft.vector is None or draft.dot or len(self.axes) < 3 or not self.reduced:
            return {}
        item, l2 = self.c.dtype.itemsize, self.machine.l2_bytes
        blocks: dict[int, int] = {}
        k = max(inner, key=lambda i: self.axes[i].extent)
        steps = self.steps
        rows = next((i for i in x.tile if i != x.vector), None)
        if len(inner) == 1 and self.axes[k].extent > 4 * PACK_STEP and rows is not None and len(x.tile) == len(self.outer):
            count = round(self.axes[k].extent / PACK_STEP)
            steps = blocks[k] = ceil(self.axes[k].extent / count)
        if rows is not None:
            high = max(1, int(0.6 * l2 / (steps * item)) // x.tile[rows]) * x.tile[rows]
            if high < 0.8 * self.axes[rows].extent:
                blocks[rows] = self.even(rows, high, x.tile[rows])
        if any(i == x.vector for _, i in x.packed):
            wide = max(1, int(4 * l2 / (self.steps * item)) // x.tile[x.vector]) * x.tile[x.vector]
            if wide < 0.8 * self.axes[x.vector].extent:
                blocks[x.vector] = self.even(x.vector, wide, x.tile[x.vector])
        return blocks

    def even(self, i: int, size: int, tile: int) -> int:
        """A multiple of ``tile`` near ``size`` that cuts the axis into blocks of about equal size."""
        count = ceil(self.axes[i].extent / size)
        return ceil(self.axes[i].extent / count / tile) * tile

    def unroll(self, draft: Plan, x: _Choice, inner: Sequence[int]) -> int:
        """Steps of the innermost reduced axis that one turn of its loop takes."""
        if not inner:
            return 1
        registers = prod(ceil(t / self.lanes) if i == draft.vector else t for i, t in enumerate(draft.tile) if not self.axes[i].reduce)
        steps = ceil(self.axes[inner[-1]].extent / (self.lanes if draft.dot else 1))
        if steps * registers <= FULL_UNROLL:
            return steps
        most = max(1, TURN // registers)
        if any(self.transposing(o, x.vector, inner[-1]) and not x.packs(o) for o in (A, B)):
            return self.quad
        return next((n for n in (8, 4, 2) if n <= most and steps % n == 0), 4 if most > 4 else most)

    def transposing(self, operand: int, v: int | None, inner: int) -> bool:
        """Whether registers of an operand are made by transposing blocks: lanes lie apart, steps side by side."""
        return v not in self.reduced and self.stride(operand, v) not in (0, 1) and self.stride(operand, inner) == 1
