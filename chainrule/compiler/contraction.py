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
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, gcd, inf, prod
from typing import Protocol

import numpy as np

A, B, OUT = 0, 1, 2
FMA_RATE, LOAD_RATE, FMA_LATENCY = 2, 2, 4  # vector instructions a cycle; cycles
FULL_UNROLL = 160  # multiply-adds of all tiles that are written without a loop
COPY_PRICE = 0.02  # what another copy of the innermost loop, for tiles of another size, must gain
TURN = 32  # multiply-adds that one turn of the innermost loop may grow to
LINE, L1_WAY, L2_WAY = 64, 4096, 65536  # bytes: a cache line; a way of the caches (their size over their associativity)


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
        return self.padded(pack.axis, self._extent_in_block(pack.axis)) * self.steps

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


Packs = tuple[Pack, ...]


class _Search:
    """Tries register tiles against a model of the machine's cycles."""

    def __init__(self, c: Contraction, machine: Machine) -> None:
        self.c, self.machine = c, machine
        self.axes = merge(c)
        if not all(x.extent for x in self.axes):  # nothing to add up, or nothing at all
            self.axes = tuple(x for x in self.axes if not x.reduce)
        self.item = c.dtype.itemsize
        self.lanes = machine.vector_bytes // self.item
        self.quad = min(4, 16 // self.item)  # elements of the 128 bits that transposing loads take
        self.outer = [i for i, x in enumerate(self.axes) if not x.reduce]
        self.reduced = [i for i, x in enumerate(self.axes) if x.reduce]
        self.steps = prod(self.axes[i].extent for i in self.reduced)
        self.sizes = [self.item * prod(x.extent for x in self.axes if x.strides[o]) for o in (A, B)]  # bytes

    def stride(self, operand: int, axis: int | None) -> int:
        return 0 if axis is None else self.axes[axis].strides[operand]

    def best(self) -> Plan:
        if not self.axes or not all(x.extent for x in self.axes):
            return self.complete(None, {}, (), 1.0)
        priced = ((*self.price(v, tile), v, tile) for v, tile in self.tiles())
        cycles, packs, v, tile = min(priced, key=lambda t: t[0])
        return self.complete(v, tile, packs, cycles)

    # -- register tiles

    def tiles(self) -> Iterator[tuple[int, dict[int, int]]]:
        """The lanes' axis, and the elements of each axis in the tile."""
        for v in self.outer:
            extent = self.axes[v].extent
            for r in [i for i in self.outer if i != v] or [None]:
                for rows, vectors in self.grid(self.extent(r), ceil(extent / self.lanes), self.temporaries(v)):
                    yield v, {v: min(extent, vectors * self.lanes)} | ({r: rows} if r is not None else {})
        for v in self.reduced:
            for i, j in [(i, j) for i in self.outer for j in self.outer if i < j] or [(i, None) for i in self.outer] or [(None, None)]:
                for rows, columns in self.grid(self.extent(i), self.extent(j), 0):
                    yield v, {axis: n for axis, n in ((i, rows), (j, columns)) if axis is not None}

    def extent(self, axis: int | None) -> int:
        return 1 if axis is None else self.axes[axis].extent

    def temporaries(self, v: int) -> int:
        """Registers that transposing blocks in registers takes."""
        return self.quad + 2 if any(self.stride(o, v) not in (0, 1) for o in (A, B)) else 0

    def grid(self, high: int, wide: int, temporaries: int) -> Iterator[tuple[int, int]]:
        """Rows × columns of registers that fit and are worth a trial: no smaller ones with as many turns."""
        sides = [{ceil(n / ceil(n / size)) for size in range(1, most + 1)} if n else {1} for n, most in ((high, self.machine.vector_registers - 2), (wide, 8))]
        fitting = [(r, c) for r, c in product(*sides)
                   if r * c + max(temporaries, min(r, c) * (max(r, c) > 1) + 1) <= self.machine.vector_registers]
        most = max(r * c for r, c in fitting)
        yield from ((r, c) for r, c in fitting if 2 * r * c >= most)

    # -- the model

    def price(self, v: int, tile: dict[int, int]) -> tuple[float, Packs]:
        """Cycles of the whole contraction, and the operands to pack for them."""
        outside = prod(self.axes[i].extent for i in self.outer if i not in tile)
        cycles, direct = 0.0, [0.0, 0.0]
        combinations = list(product(*(pieces(self.axes[i].extent, t, self.lanes if i == v else 1) for i, t in tile.items())))
        for combination in combinations:
            counts = {i: ceil(p.size / self.lanes) if i == v else p.size for i, p in zip(tile, combination, strict=True)}
            turns = outside * prod((p.stop - p.start) // p.size for p in combination)
            cycles += turns * self.tile_cycles(v, counts) * (1 + COPY_PRICE * (len(combinations) - 1))
            for o in (A, B):
                sweeps = prod(self.axes[i].extent // counts.get(i, 1) for i in self.outer if not self.stride(o, i))
                direct[o] += turns * self.steps * self.direct_cycles(o, v, counts, sweeps)
        packs = []
        for o in (A, B):
            options = [(self.pack_cycles(o, i, tile[i]), i) for i in self.packable(o, v, tile)]
            cost, axis = min(options, default=(inf, 0))
            cycles += min(cost, direct[o])
            packs += [Pack(o, axis)] if cost < direct[o] else []
        return cycles, tuple(sorted(packs, key=lambda p: p.axis != v))

    def packable(self, operand: int, v: int, tile: dict[int, int]) -> list[int]:
        """Axes along which panels of an operand may be packed: it must vary along the reduction, too."""
        if self.steps < 2 or not any(self.stride(operand, i) for i in self.reduced):
            return []
        rows = [i for i in self.outer if self.stride(operand, i)]
        if v in self.reduced:
            return rows if len(rows) == 1 and rows[0] in tile and self.stride(operand, v) not in (0, 1) else []
        inside = [i for i in tile if self.stride(operand, i)]
        return inside if len(inside) == 1 else []

    def tile_cycles(self, v: int, counts: dict[int, int]) -> float:
        """One tile, if all it reads is in the first-level cache in good order."""
        registers, steps, dot = prod(counts.values()), self.steps, v in self.reduced
        if dot:
            steps = steps // self.axes[v].extent * ceil(self.axes[v].extent / self.lanes)
        loads = sum(prod(n for i, n in counts.items() if self.stride(o, i)) for o in (A, B))
        latency = FMA_LATENCY / chains(registers, max(1, min(steps, 8)))
        finish = 14 + registers * (2.5 if registers > 1 else 0) if dot else 8 + registers * (1 if self.stride(OUT, v) == 1 else 2 * self.lanes)
        step = max(registers / FMA_RATE, loads / LOAD_RATE, latency, (registers + loads) / 5) + 0.03 * loads
        if not dot and self.steps * counts[v] * self.machine.vector_bytes > self.machine.l1_bytes // 2:
            step = max(step, 1.2 * counts[v]) + 0.05 * counts[v]  # panels come from the second-level cache
        return steps * step + finish

    def direct_cycles(self, operand: int, v: int, counts: dict[int, int], sweeps: int) -> float:
        """What one step takes beyond that if the operand is not packed, on the average of all sweeps over it."""
        along, count = self.stride(operand, v), prod(n for i, n in counts.items() if self.stride(operand, i))
        if v in self.reduced:
            return 0.0 if along in (0, 1) else count * float(self.lanes)
        if any(self.stride(operand, i) == 1 for i in self.reduced):
            return 0.0 if along == 0 else count * (self.lanes / self.quad + 1) * 0.75
        if along in (0, 1):
            lines = ceil(count * self.item * (self.lanes if along else 1) / LINE)
            return self.miss_cycles(operand, lines) * (1 - 1 / max(1, sweeps))
        return count * float(self.lanes)

    def miss_cycles(self, operand: int, lines: int) -> float:
        """For ``lines`` cache lines a step, where every step goes to other lines, as far apart as the stride says."""
        apart = max((abs(self.stride(operand, i)) for i in self.reduced), default=0) * self.item
        swept = lines * self.steps
        for size, way, price in ((self.machine.l1_bytes, L1_WAY, 0.0), (self.machine.l2_bytes, L2_WAY, 1.0)):
            sets = way // gcd(max(apart, LINE), way)
            if 2 * swept <= size // way * sets * lines and 2 * swept * LINE <= size:
                return price * lines
        return 5.0 * lines

    def pack_cycles(self, operand: int, axis: int, width: int) -> float:
        width = min(width, self.lanes)
        vectors = self.sizes[operand] / self.item / width
        spread = 1.0 if self.sizes[operand] <= self.machine.l1_bytes // 2 else 3.0
        if self.stride(operand, axis) == 1:
            return 20 + vectors * spread
        transposable = any(x.strides[operand] == 1 for x in self.axes)
        return 20 + vectors * (spread + 0.25 * width / self.quad if transposable else 1.5 * width)

    # -- loops around the tile

    def complete(self, v: int | None, tile: dict[int, int], packs: Packs, cycles: float) -> Plan:
        inner = tuple(sorted(self.reduced, key=lambda i: (i == v, -max(abs(self.stride(A, i)), abs(self.stride(B, i))))))
        blocks = self.blocks(v, tile, packs, inner)
        unroll = self.unroll(v, tile, packs, inner, inner[-1] in blocks if inner else False)
        nest: list[Step | Pack] = []
        loops = sorted((i for i in self.outer if i not in tile), key=lambda i: -abs(self.stride(OUT, i)))
        for pack in packs:
            needed = [i for i in loops if self.stride(pack.operand, i)]
            nest += [Step(i, 1) for i in needed]
            loops = [i for i in loops if i not in needed]
            nest += [Step(pack.axis, blocks.pop(pack.axis), True)] if pack.axis in blocks else []
            nest.append(pack)
        nest += [Step(i, 1) for i in loops]
        nest += [Step(i, blocks[i], True) for i in (*self.outer, *self.reduced) if i in blocks]
        nest += [Step(i, tile[i]) for i in self.tile_order(v, tile)]
        sizes = tuple(tile.get(i, 1) for i in range(len(self.axes)))
        return Plan(self.c, self.axes, self.lanes, v, sizes, tuple(nest), inner, unroll, cycles)

    def tile_order(self, v: int | None, tile: dict[int, int]) -> list[int]:
        """Tile loops, outermost first: panels of the operand with the lanes are kept while the other is swept, if it is large."""
        order = sorted(tile, key=lambda i: i != v)
        small = all(self.sizes[o] <= self.machine.l1_bytes // 2 for o in (A, B) if self.stride(o, v))
        return order[::-1] if small else order

    def blocks(self, v: int | None, tile: dict[int, int], packs: Packs, inner: Sequence[int]) -> dict[int, int]:
        """Block sizes of axes, for operands that outgrow the second-level cache."""
        if v not in tile or len(tile) < 2 or not inner:
            return {}
        l2, blocks, steps = self.machine.l2_bytes, {}, self.steps
        rows, panel = next(i for i in tile if i != v), tile[v] * self.item
        if 2 * steps * panel > l2 and self.axes[inner[0]].extent > 1:
            rest = steps // self.axes[inner[0]].extent
            blocks[inner[0]] = self.even(inner[0], max(1, l2 // (8 * panel * rest)), 8 if rest == 1 else 1)
            steps = blocks[inner[0]] * rest
        high = l2 // (2 * steps * self.item)
        if high < 0.8 * self.axes[rows].extent:
            blocks[rows] = self.even(rows, high, tile[rows])
        wide = int(4 * l2 / (self.steps * self.item))
        if any(p.axis == v for p in packs) and wide < 0.8 * self.axes[v].extent:
            blocks[v] = self.even(v, wide, tile[v])
        return blocks

    def even(self, i: int, size: int, tile: int) -> int:
        """A multiple of ``tile`` up to about ``size`` that cuts the axis into blocks of about equal size."""
        count = ceil(self.axes[i].extent / max(size, tile))
        return ceil(self.axes[i].extent / count / tile) * tile

    def unroll(self, v: int | None, tile: dict[int, int], packs: Packs, inner: Sequence[int], blocked: bool) -> int:
        """Steps of the innermost reduced axis that one turn of its loop takes."""
        if not inner:
            return 1
        registers = prod(ceil(n / self.lanes) if i == v else n for i, n in tile.items())
        steps = ceil(self.axes[inner[-1]].extent / (self.lanes if v in self.reduced else 1))
        copies = prod(len(pieces(self.axes[i].extent, n, self.lanes if i == v else 1)) for i, n in tile.items())
        if steps * registers * copies <= FULL_UNROLL:
            return steps
        packed = [p.operand for p in packs]
        strided = [o for o in (A, B) if v in tile and self.stride(o, v) not in (0, 1) and o not in packed]
        most = self.quad if strided else max(1, TURN // registers)
        fair = next((n for n in (8, 4, 2, 1) if n <= most and steps % n == 0), 1)
        return fair if blocked or fair > 1 and not strided else min(most, 4)
