"""What a contraction is, and what a plan for it says: axes, register tile, loops, packed operands, scratch memory.

``compiler/contraction.py`` finds the plan; ``llvm/contraction.py`` writes the loops that it describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log2, prod

import numpy as np

from chainrule.dtypes import is_bfloat16

A, B, OUT = 0, 1, 2
FMA_RATE, LOAD_RATE, FMA_LATENCY = 2, 2, 4  # vector instructions a cycle; cycles
PAIRED = 4  # steps of a sum that are worth going by pairs


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
    """``accesses``: further stride vectors over the axes by which the epilogue will address memory.

    ``dtype`` is that of the sums; ``stored`` those of A and B in memory, where they are narrower: half types, which
    are converted as they are loaded or packed. ``by_table``: for A and B the axis along which a table says where each
    row begins, or None; the stride along it only tells rows apart.
    """

    axes: tuple[ContractAxis, ...]
    dtype: np.dtype
    accesses: tuple[tuple[int, ...], ...] = ()
    stored: tuple[np.dtype, ...] = ()
    by_table: tuple[int | None, int | None] = (None, None)

    def memory(self, operand: int) -> np.dtype:
        """The dtype of an operand in memory."""
        return self.stored[operand] if self.stored else self.dtype


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
class Words:
    """Steps of a reduced axis two at a time: each word holds two neighbouring bfloat16 of the sum.

    For processors that multiply and add such pairs. ``direct``: whether an operand's pairs lie together in memory, as
    words that are read like float32; else packing puts them together. The plan's axis counts words, and so do the
    strides of a direct operand; those of another count its elements. ``odd``: the last word has one number and a zero.
    """

    axis: int
    direct: tuple[bool, bool]
    odd: bool


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
    """Copy an operand to scratch, as far as the loops around have settled what is read of it.

    Tile form: one panel for each tile along ``axis``; in it the elements of the tile lie together for each step of the
    reduction. Dot form: rows along ``axis``; in them the lanes' axis is contiguous. Padding is zero.
    """

    operand: int
    axis: int


@dataclass(frozen=True)
class Wide:
    """Make an operand's half numbers float32 in scratch, in the order of memory.

    All those from the first to the last that is read once the loops around have settled where the ``settled`` axes are.
    """

    operand: int
    settled: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How one contraction is computed. ``str(plan)`` shows the loop nest."""

    contraction: Contraction
    axes: tuple[Axis, ...]
    lanes: int  # of a full vector
    vector: int | None  # axis of the lanes; a reduced one in the dot form; None if nothing is left to vectorise
    tile: tuple[int, ...]  # elements of each axis in the register tile (1 for reduced axes)
    nest: tuple[Step | Pack | Wide, ...]  # loops outside of the tile
    inner: tuple[int, ...]  # reduced axes looped over inside the tile, innermost last
    unroll: int  # steps of the innermost one in a turn of its loop
    cycles: float  # the model's estimate
    words: Words | None = None
    fetched: tuple[int, ...] = ()  # operands of which the next block of steps is fetched while one is used

    @property
    def along(self) -> int:
        """The axis of the lanes of a plan that has lanes."""
        assert self.vector is not None
        return self.vector

    @property
    def dot(self) -> bool:
        return self.vector is not None and self.axes[self.vector].reduce

    @cached_property
    def lane_axis(self) -> int | None:
        """The axis (of the plan) along which the accumulators' lanes run when the epilogue sees them."""
        rows = [i for i, t in enumerate(self.tile) if t > 1 and i != self.vector]
        if not self.dot:
            return across(self.axes, self.vector, rows)
        return min(rows, key=lambda i: (self.axes[i].strides[OUT] != 1, -self.tile[i]), default=None)

    @property
    def turned(self) -> bool:
        """Whether the sums of a tile are transposed for the epilogue."""
        return not self.dot and self.lane_axis != self.vector

    @property
    def vector_axis(self) -> int | None:
        """The same as a number of the contraction's axes (None if the epilogue sees scalars only)."""
        return None if self.lane_axis is None else self.axes[self.lane_axis].origin

    @cached_property
    def steps(self) -> int:
        """Elements of the reduction."""
        return prod(x.extent for x in self.contraction.axes if x.reduce)

    def memory(self, operand: int) -> np.dtype:
        """What an operand is read as where it lies."""
        direct = self.words is not None and self.words.direct[operand]
        return self.contraction.dtype if direct else self.contraction.memory(operand)

    def pieces(self, i: int) -> tuple[Piece, ...]:
        """The register tiles along axis ``i``: full ones, then at most one kind of smaller ones."""
        return pieces(self.axes[i].extent, self.tile[i], self.lanes if i == self.vector else 1)

    def chains(self, registers: int) -> int:
        """Independent sums for each of a tile's registers, so that the multiply-adds do not wait for each other."""
        return chains(registers, self.unroll)

    # -- blocks

    @cached_property
    def blocks(self) -> dict[int, int]:
        return self.blocks_around(len(self.nest))

    def blocks_around(self, depth: int) -> dict[int, int]:
        """Block sizes of the axes that are cut outside of step ``depth`` of the nest."""
        return {s.axis: s.size for s in self.nest[:depth] if isinstance(s, Step) and s.block}

    def longest(self, i: int, blocks: dict[int, int]) -> int:
        """The longest block of axis ``i``, padded to full vectors; the last block takes the odd tiles along."""
        extent = self.axes[i].extent
        if i in blocks:
            odd = 0 if self.axes[i].reduce else extent - self.pieces(i)[0].stop
            extent = min(extent, blocks[i] + odd)
        return self.padded(i, extent)

    def padded(self, i: int, extent: int) -> int:
        return ceil(extent / self.lanes) * self.lanes if i == self.vector else extent

    def advance(self, operand: int) -> int:
        """Elements from where one block of steps begins in an operand to where the next one does."""
        last = [s for s in self.nest if isinstance(s, Step) and s.block and self.axes[s.axis].reduce][-1]
        return last.size * self.axes[last.axis].strides[operand]

    # -- scratch memory: the packed operands, then the partial sums

    @cached_property
    def scratch(self) -> int:
        """Elements of scratch memory."""
        copied = sum(self.pack_size(p) for p in self.packs) + sum(self.reach(w)[1] for w in self.wides)
        return copied + self.partial_size

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        return tuple(s for s in self.nest if isinstance(s, Pack))

    @cached_property
    def wides(self) -> tuple[Wide, ...]:
        return tuple(s for s in self.nest if isinstance(s, Wide))

    def reach(self, wide: Wide) -> tuple[int, int]:
        """Where what is made float32 begins, counted from the operand's first element there, and how many they are."""
        return reach(self.axes, wide.operand, wide.settled)

    @cached_property
    def packs_before(self) -> tuple[Pack, ...]:
        """Those of the packed operands that are packed whole, before all loops."""
        first = next((n for n, s in enumerate(self.nest) if isinstance(s, Step)), len(self.nest))
        return tuple(s for s in self.nest[:first] if isinstance(s, Pack))

    @cached_property
    def grouped(self) -> Pack | None:
        """The operand of a matrix product that the outermost loop packs some columns at a time, right before use."""
        if self.dot or self.words or len(self.inner) != 1 or len(self.nest) < 4:
            return None
        block, pack, *tiles = self.nest
        if not isinstance(block, Step) or not isinstance(pack, Pack):
            return None
        over = {s.axis for s in tiles if isinstance(s, Step)}
        plain = len(over) == 2 and self.vector in over and self.inner[0] not in over
        return pack if plain and block.block and block.axis == pack.axis == self.vector else None

    def pack_layout(self, pack: Pack, size: int) -> tuple[tuple[int, ...], int]:
        """Strides inside a panel of ``size`` (or the rows), and how far apart panels are for a step along the axis."""
        blocks = self.blocks_around(self.nest.index(pack))
        lanes = self.vector if self.dot else pack.axis
        assert lanes is not None
        strides, panel = [0] * len(self.axes), 1
        strides[lanes] = 1
        width = self.longest(lanes, {}) if self.dot else self.padded(lanes, size)
        for i in reversed(self.inner):
            if i != lanes:
                strides[i] = width * panel
                panel *= self.longest(i, blocks)
        if self.dot:
            panel *= width
            strides[pack.axis] = panel
        return tuple(strides), panel

    def pack_size(self, pack: Pack) -> int:
        return self.longest(pack.axis, self.blocks_around(self.nest.index(pack))) * self.pack_layout(pack, 1)[1]

    @cached_property
    def cut_depth(self) -> int | None:
        """The outermost loop over blocks of the reduction, if it is cut."""
        cuts = (n for n, s in enumerate(self.nest) if isinstance(s, Step) and self.axes[s.axis].reduce)
        return next(cuts, None)

    @cached_property
    def partial(self) -> dict[int, int]:
        """Strides of the buffer of partial sums: all outputs that the loops inside of the outermost cut sweep over."""
        strides, size = {}, 1
        if self.cut_depth is not None:
            within = {s.axis for s in self.nest[self.cut_depth:] if isinstance(s, Step)}
            for i in sorted(within, key=lambda i: i != self.vector):
                if not self.axes[i].reduce:
                    strides[i] = size
                    size *= self.longest(i, self.blocks_around(self.cut_depth))
        return strides

    @cached_property
    def partial_size(self) -> int:
        if self.cut_depth is None:
            return 0
        return prod(self.longest(i, self.blocks_around(self.cut_depth)) for i in self.partial)

    # -- for the reader

    def name(self, i: int) -> str:
        x = self.axes[i]
        kind = "k" if x.reduce else "m" if not x.strides[B] else "n" if not x.strides[A] else "b"
        return f"{kind}{''.join(map(str, x.parts))}"

    def __str__(self) -> str:
        axes = [f"{self.name(i)}:{x.extent}(a{x.strides[A]},b{x.strides[B]},o{x.strides[OUT]})"
                for i, x in enumerate(self.axes)]
        halves = [o for o in (A, B) if self.contraction.memory(o) != self.contraction.dtype]
        stored = "".join(f", {'AB'[o]} stored as {self.contraction.memory(o)}" for o in halves)
        lines = [f"{' '.join(axes)} {self.contraction.dtype}{stored}"]
        for step in self.nest:
            if isinstance(step, Pack):
                text = f"pack {'AB'[step.operand]} along {self.name(step.axis)}"
            elif isinstance(step, Wide):
                text = f"widen {self.reach(step)[1]} of {'AB'[step.operand]}"
            elif step.block:
                text = f"for {self.name(step.axis)} in blocks of {step.size}"
            else:
                sizes = " + ".join(f"{(p.stop - p.start) // p.size}×{p.size}" for p in self.pieces(step.axis))
                text = f"for {self.name(step.axis)} in {sizes}"
            lines.append("  " * len(lines) + text)
        tile = "×".join(f"{t}{self.name(i)}" for i, t in enumerate(self.tile) if t > 1) or "1"
        lanes = f"{self.lanes} lanes along {self.name(self.vector)}" if self.vector is not None else "scalars"
        lanes += f", pairs of {self.name(self.words.axis)} as words" if self.words is not None else ""
        inner = ", ".join(self.name(i) for i in self.inner) or "nothing"
        lines.append("  " * len(lines)
                     + f"{'dot' if self.dot else 'tile'} {tile}, {lanes}, sum over {inner}, unroll {self.unroll}")
        return "\n".join([*lines, f"scratch {self.scratch}, about {self.cycles:.0f} cycles"])


def merge(c: Contraction) -> tuple[Axis, ...]:
    """The axes without those of extent 1, and with neighbours joined that every access sees as one axis."""
    axes: list[Axis] = []
    for i, x in enumerate(c.axes):
        extra = () if x.reduce else tuple(s[i] for s in c.accesses)
        axes += [Axis(x.extent, (x.a, x.b, 0 if x.reduce else x.out, *extra), x.reduce, (i,))] if x.extent != 1 else []
    while (pair := next(((o, i) for o in axes for i in axes if o is not i and _mergeable(o, i)), None)) is not None:
        outer, inner = pair
        merged = Axis(outer.extent * inner.extent, inner.strides, inner.reduce, outer.parts + inner.parts)
        axes[axes.index(inner)] = merged
        axes.remove(outer)
    return tuple(axes)


def _mergeable(outer: Axis, inner: Axis) -> bool:
    if outer.reduce != inner.reduce:
        return False
    return all(o == i * inner.extent for o, i in zip(outer.strides, inner.strides, strict=True))


def reach(axes: Sequence[Axis], operand: int, settled: Sequence[int]) -> tuple[int, int]:
    """The first of an operand's elements, and their number to the last one, where the ``settled`` axes stand still."""
    ends = [(x.extent - 1) * x.strides[operand] for i, x in enumerate(axes) if i not in settled]
    return sum(min(0, n) for n in ends), 1 + sum(map(abs, ends))


def distances(axes: Sequence[Axis], items: Sequence[int], page: int, line: int) -> tuple[list[int], list[float]]:
    """For each axis: how many operands' neighbours lie a page apart; the doublings of a line between all arrays'."""
    far = [[abs(x.strides[o]) * items[o] for o in (A, B, OUT)] for x in axes]
    return ([sum(d >= page for d in each[:2]) for each in far],
            [sum(log2(max(1.0, d / line)) for d in each) for each in far])


def across(axes: Sequence[Axis], v: int | None, rows: Sequence[int]) -> int | None:
    """The axis of a tile (``v``, or one of ``rows``) along which finished sums lie together in memory."""
    if v is None or axes[v].strides[OUT] == 1:
        return v
    return next((i for i in rows if axes[i].strides[OUT] == 1), v)


def in_pairs(c: Contraction, lanes: Axis) -> bool:
    """Whether the dot form reads the even and the odd ones of both operands in turn: bfloat16 one after another."""
    return lanes.reduce and all(is_bfloat16(c.memory(o)) and lanes.strides[o] == 1 for o in (A, B))


def words_of(c: Contraction) -> Words | None:
    """How a contraction goes by words: pairs along the reduced axis along which most operands' lie together."""
    axes = merge(c)
    if not all(is_bfloat16(c.memory(o)) for o in (A, B)) or not all(x.extent for x in axes):
        return None

    def direct(operand: int, along: int) -> bool:
        others = (x.strides[operand] for i, x in enumerate(axes) if i != along)
        return axes[along].strides[operand] == 1 and axes[along].extent % 2 == 0 and not any(s % 2 for s in others)
    found = [Words(i, (direct(A, i), direct(B, i)), x.extent % 2 == 1)
             for i, x in enumerate(axes) if x.reduce and x.extent >= PAIRED]
    return max(found, key=lambda w: (sum(w.direct), axes[w.axis].extent), default=None)


def by_words(axes: Sequence[Axis], words: Words) -> tuple[Axis, ...]:
    """The axes of a plan that goes by words."""
    def stride(i: int, operand: int, s: int) -> int:
        if operand not in (A, B):
            return s
        if words.direct[operand]:
            return s if i == words.axis else s // 2
        return 2 * s if i == words.axis else s
    return tuple(replace(x, extent=ceil(x.extent / 2) if i == words.axis else x.extent,
                         strides=tuple(stride(i, o, s) for o, s in enumerate(x.strides)))
                 for i, x in enumerate(axes))


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
    """Independent sums a register needs to hide the latency of multiply-adds."""
    count = 1
    while registers * count < FMA_RATE * FMA_LATENCY and count * 2 <= unroll and registers * count * 2 <= 12:
        count *= 2
    return count
