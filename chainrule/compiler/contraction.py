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
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import ceil, inf, prod

from chainrule.addresses import LINE
from chainrule.compiler.contraction_cost import FAR, Costs, Machine
from chainrule.compiler.contraction_plan import (
    FMA_LATENCY,
    FMA_RATE,
    OUT,
    A,
    B,
    ContractAxis,
    Contraction,
    Pack,
    Plan,
    Step,
    Wide,
    in_pairs,
    pieces,
    reach,
    words_of,
)
from chainrule.compiler.effort import FAST, Effort

__all__ = ["ContractAxis", "Contraction", "Machine", "Plan", "plan"]

COPY_PRICE = 0.02  # what another copy of the innermost loop, for tiles of another size, must gain
LISTED = 4  # rows of a tile that begin where a table says: each takes two address registers
PACK_CODE = 60  # instructions that packing an operand takes, if nothing is transposed

Packs = tuple[Pack | Wide, ...]


@lru_cache(maxsize=1024)
def plan(c: Contraction, machine: Machine, effort: Effort = FAST, uses: tuple[int, int] = (1, 1)) -> Plan:
    """The cheapest plan by the model. ``uses``: how often A, and B, are used before they change."""
    plain = _Search(c, machine, effort, uses).best()
    assert plain is not None
    words = words_of(c) if machine.native_bfloat16 else None
    paired = _Search(c, machine, effort, uses, words).best() if words else None
    return plain if paired is None or paired.cycles > plain.cycles else paired


class _Search(Costs):
    """Tries register tiles against a model of the machine's cycles."""

    def best(self) -> Plan | None:
        """The cheapest; None if pairs cannot be put together where it goes by words."""
        if not self.axes or not all(x.extent for x in self.axes):
            return self.complete(None, {}, (), 1.0)
        cheapest: tuple[float, Packs, int, dict[int, int]] | None = None
        for v, tile in self.tiles():
            priced = self.price(v, tile, cheapest[0] if cheapest else inf)
            if priced is not None:
                cheapest = (*priced, v, tile)
        if cheapest is None:
            return None
        cycles, packs, v, tile = cheapest
        return self.complete(v, tile, packs, cycles)

    # -- register tiles

    def tiles(self) -> Iterator[tuple[int, dict[int, int]]]:
        """The lanes' axis, and the elements of each axis in the tile."""
        free = [i for i in range(len(self.axes)) if not self.listed(i)]
        smooth = [i for i in free if 1 in self.axes[i].strides[:3]] or free
        for v in [i for i in self.outer if i in smooth]:
            extent = self.axes[v].extent
            others: list[int | None] = [i for i in self.outer if i != v]
            for r in others or [None]:
                extents = self.extent(r), ceil(extent / self.lanes)
                for rows, vectors in self.grid((r, None), extents, self.temporaries(v)):
                    yield v, {v: min(extent, vectors * self.lanes)} | ({r: rows} if r is not None else {})
        pairs: list[tuple[int | None, int | None]] = [(i, j) for i in self.outer for j in self.outer if i < j]
        pairs = pairs or [(i, None) for i in self.outer] or [(None, None)]
        for v in self.dotted(smooth):
            for i, j in pairs:
                for rows, columns in self.grid((i, j), (self.extent(i), self.extent(j)), 0):
                    yield v, {axis: n for axis, n in ((i, rows), (j, columns)) if axis is not None}

    def dotted(self, smooth: Sequence[int]) -> list[int]:
        """The axes along which the lanes of the dot form may run."""
        if self.words is not None:  # its lanes are words of both operands as they lie
            return [self.words.axis] if all(self.words.direct) else []
        among = [v for v in self.reduced if v in smooth]
        easy = [v for v in among if all(self.stride(o, v) in (0, 1) for o in (A, B))]
        return easy if self.effort.price and self.outer else among

    def temporaries(self, v: int) -> int:
        """Registers that transposing blocks in registers takes."""
        return self.quad + 2 if any(self.stride(o, v) not in (0, 1) for o in (A, B)) else 0

    def listed(self, i: int | None) -> bool:
        """Whether rows along an axis begin where a table says: no lanes run along it."""
        return i is not None and self.axes[i].origin in self.c.by_table

    def grid(
        self, pair: tuple[int | None, int | None], extents: tuple[int, int], temporaries: int
    ) -> Iterator[tuple[int, int]]:
        """Rows × columns of registers that fit and are worth a trial: the smallest with as many turns."""
        registers = self.machine.vector_registers
        brief = self.effort.price > 0
        limits = [LISTED if self.listed(i) else most
                  for i, most in zip(pair, (self.effort.turn if brief else registers - 2, 8), strict=True)]
        tall, broad = ({ceil(n / ceil(n / size)) for size in range(1, most + 1)}
                       for n, most in zip(extents, limits, strict=True))
        if brief:  # few trials, and tiles of one size
            tall, broad = ({n for n in sizes if n == 4 or extent % n == 0}
                           for sizes, extent in zip((tall, broad), extents, strict=True))
        fitting = [(r, c) for r, c in product(tall, broad)
                   if r * c + max(temporaries, min(r, c) * (max(r, c) > 1) + 1) <= registers]
        if brief:
            yield from ((r, c) for r, c in fitting if r * c <= self.effort.turn)
            return
        enough = min(FMA_RATE * FMA_LATENCY, max(r * c for r, c in fitting))
        yield from ((r, c) for r, c in fitting if r * c >= enough)

    # -- prices

    def price(self, v: int, tile: dict[int, int], most: float = inf) -> tuple[float, Packs] | None:
        """Cycles of the whole contraction, and what is copied of its operands for them; None if ``most`` or more."""
        outside = prod([self.axes[i].extent for i in self.outer if i not in tile])
        cycles, parts = 0.0, []
        combinations = list(product(*(self.pieces(i, n, v) for i, n in tile.items())))
        for combination in combinations:
            sizes = {i: p.size for i, p in zip(tile, combination, strict=True)}
            counts = {i: ceil(n / self.lanes) if i == v else n for i, n in sizes.items()}
            turns = outside * prod([(p.stop - p.start) // p.size for p in combination])
            looped = self.steps * prod(counts.values()) * len(combinations) > self.effort.full
            one = self.tile_cycles(v, tile, counts) + 4 * looped
            cycles += turns * one * (1 + COPY_PRICE * (len(combinations) - 1))
            written, transposing = self.code(v, counts, looped) if self.effort.price else (0, (0, 0))
            cycles += self.effort.price * written
            parts.append((counts, turns, transposing))
        if cycles >= most:  # and what follows only adds to that
            return None
        ways = []
        for o in (A, B):
            direct = swept = widening = 0.0
            for counts, turns, transposing in parts:
                sweeps = prod([self.axes[i].extent // counts.get(i, 1) for i in self.outer if not self.stride(o, i)])
                direct += turns * self.steps * self.direct_cycles(o, v, tile, counts, sweeps)
                direct += self.effort.price * transposing[o]
                swept += turns * self.steps * self.swept_cycles(o, v, tile, counts)
                widening += turns * self.steps * self.widening_cycles(o, v, counts)
            ways.append(self.prepared(o, v, tile, direct, swept, widening))
        cycles += sum([cost for cost, _ in ways])
        copies = [copy for _, copy in ways if copy is not None]
        if self.group(copies, v, tile):
            cycles += sum([turns * self.steps * self.held_cycles(v, tile, counts) for counts, turns, _ in parts])
        order = sorted(copies, key=lambda p: 2 if isinstance(p, Wide) else p.axis != v)
        return (cycles, tuple(order)) if cycles < most else None

    def prepared(
        self, o: int, v: int, tile: dict[int, int], direct: float, swept: float, widening: float
    ) -> tuple[float, Pack | Wide | None]:
        """The cheapest way to have an operand ready, if reading and converting it as it lies take that long.

        ``swept``: what reading takes longer than if it were packed, where it could be.
        """
        apart = self.from_far(o, v, tile) and not self.together(o, v, tile)
        fetched = FAR * self.sizes[o] / LINE if apart else 0.0
        packed = [(self.pack_cycles(o, i, tile[i]) / self.uses[o] + fetched +
                   self.effort.price * PACK_CODE * (1 if self.stride(o, i) == 1 else 2), Pack(o, i))
                  for i in self.packable(o, v, tile)]
        direct += swept if packed else 0.0
        singles = self.words is not None and not self.words.direct[o]  # then packing puts the pairs together
        ways: list[tuple[float, Pack | Wide | None]] = [(inf if singles else direct + widening, None), *packed]
        if widening and self.reduced and not in_pairs(self.c, self.axes[v]):
            cycles, settled = self.wide_cycles(o, tile)
            ways.append((direct + cycles, Wide(o, settled)))
        return min(ways, key=lambda way: way[0])

    def pieces(self, i: int, tile: int, v: int | None) -> tuple:
        return pieces(self.axes[i].extent, tile, self.lanes if i == v else 1)

    def packable(self, operand: int, v: int, tile: dict[int, int]) -> list[int]:
        """The axis along which an operand may be packed: the only one of the tile's by which it varies."""
        if self.steps < 2 or not any(self.stride(operand, i) for i in self.reduced):
            return []
        if self.c.by_table[operand] is not None:
            return []
        inside = [i for i in tile if self.stride(operand, i)]
        if v in self.reduced and (self.stride(operand, v) in (0, 1) or any(
                self.stride(operand, i) for i in self.outer if i not in tile)):
            return []
        return inside if len(inside) == 1 else []

    # -- blocks: of the reduction where a panel outgrows half of the second-level cache, or where the operands outgrow
    #    it and all outputs do not; of rows where those of one sweep do, of panels where all of them outgrow it by far

    def cuts(self, steps: int, inner: Sequence[int]) -> dict[int, int]:
        """Blocks of reduced axes that make about so many steps."""
        cuts: dict[int, int] = {}
        rest = self.steps
        for i in inner if steps < self.steps else ():
            rest //= self.axes[i].extent
            unit = max(8, self.lanes) if i == inner[-1] else 1  # whole lines, where an operand lies along the sum
            size = self.even(i, max(1, steps // rest), unit)
            cuts |= {i: size} if size < self.axes[i].extent else {}
            if size > 1:
                break
        return cuts

    def blocks(
        self, v: int | None, tile: dict[int, int], packs: Sequence[Pack], steps: int, packed: int
    ) -> dict[int, int]:
        """Blocks of the tile's axes, if the reduction goes by so many steps, and panels have so many."""
        if v not in tile or len(tile) < 2 or not self.reduced:
            return {}
        blocks, l2 = {}, self.machine.l2_bytes
        rows = next(i for i in tile if i != v)
        high, wide = l2 // (2 * steps * self.item), 4 * l2 // (packed * self.item)
        if high < 0.8 * self.axes[rows].extent:
            blocks[rows] = self.even(rows, high, tile[rows])
        if any(p.axis == v for p in packs) and wide < 0.8 * self.axes[v].extent:
            blocks[v] = self.even(v, wide, tile[v])
        return blocks

    def group(self, copied: Sequence[Pack | Wide], v: int | None, tile: dict[int, int]) -> int:
        """How many of the lanes' elements are packed at a time, if nothing else is copied."""
        alone = len(copied) == 1 and isinstance(copied[0], Pack) and copied[0].axis == v
        return self.together(copied[0].operand, v, tile) if alone else 0

    def even(self, i: int, size: int, tile: int) -> int:
        """A multiple of ``tile`` up to about ``size`` that cuts the axis into blocks of about equal size."""
        count = ceil(self.axes[i].extent / max(size, tile))
        return ceil(self.axes[i].extent / count / tile) * tile

    # -- the loops around the tile

    def complete(self, v: int | None, tile: dict[int, int], copied: Packs, cycles: float) -> Plan:
        packs = [p for p in copied if isinstance(p, Pack)]
        paired = self.words and self.words.axis  # innermost, where packing puts pairs together
        inner = tuple(sorted(self.reduced, key=lambda i: (
            i == v, i == paired, -max(abs(self.stride(o, i)) for o in (A, B)))))
        group = self.group(copied, v, tile)
        cuts = self.cuts(self.steps if group else self.block_steps(v, tile), inner)
        steps = prod(cuts.get(i, self.axes[i].extent) for i in inner)
        outside = bool(cuts) and self.sizes[OUT] <= self.machine.l2_bytes // 2  # all partial sums are kept at a time
        blocks = self.blocks(v, tile, packs, steps, steps if outside else self.steps)
        if group and v is not None:
            blocks[v] = group
        cut = [Step(i, n, True) for i, n in cuts.items()]
        loops = sorted((i for i in self.outer if i not in tile), key=lambda i: -abs(self.stride(OUT, i)))
        early = [p for p in packs if self.uses[p.operand] > 1 and p.axis not in blocks  # once for all uses
                 and not any(self.stride(p.operand, i) for i in loops)]
        nest: list[Step | Pack | Wide] = [*early, *(cut if outside else [])]
        for pack in (p for p in packs if p not in early):
            needed = [i for i in loops if self.stride(pack.operand, i)]
            loops = [i for i in loops if i not in needed]
            nest += [Step(i, 1) for i in needed]
            nest += [Step(pack.axis, blocks.pop(pack.axis), True)] if pack.axis in blocks else []
            nest.append(pack)
        for wide in (w for w in copied if isinstance(w, Wide)):
            nest += [Step(i, 1) for i in loops if i in wide.settled]
            loops = [i for i in loops if i not in wide.settled]
            nest.append(wide)
        nest += [Step(i, 1) for i in loops]
        nest += [Step(i, n, True) for i, n in blocks.items()]
        nest += [] if outside else cut
        nest += [Step(i, tile[i]) for i in self.tile_order(v, tile)]
        sizes = tuple(tile.get(i, 1) for i in range(len(self.axes)))
        unroll = self.unroll(v, tile, packs, inner, cuts)
        fetched = tuple(o for o in (A, B) if outside and self.uses[o] == 1 and self.follows(o, cuts))
        return Plan(self.c, self.axes, self.lanes, v, sizes, tuple(nest), inner, unroll, cycles, self.words, fetched)

    def follows(self, operand: int, cuts: dict[int, int]) -> bool:
        """Whether an operand comes from far, and a block of steps reads what follows that of the block before."""
        if not self.roomy[operand] or self.c.by_table[operand] is not None or any(
                x.strides[operand] < 0 for x in self.axes):
            return False
        settled = list(cuts)[:-1] if len(cuts) > 1 else []
        last = list(cuts)[-1]
        advance = cuts[last] * self.stride(operand, last)
        within = [replace(x, extent=cuts.get(i, x.extent)) for i, x in enumerate(self.axes)]
        return 0 < reach(within, operand, settled)[1] <= 2 * advance

    def unroll(
        self, v: int | None, tile: dict[int, int], packs: Sequence[Pack], inner: Sequence[int],
        cuts: dict[int, int]
    ) -> int:
        """Steps of the innermost reduced axis that one turn of its loop takes."""
        if not inner:
            return 1
        registers = prod(ceil(n / self.lanes) if i == v else n for i, n in tile.items())
        steps = ceil(self.axes[inner[-1]].extent / (self.lanes if v in self.reduced else 1))
        copies = prod(len(self.pieces(i, n, v)) for i, n in tile.items())
        if steps * registers * copies <= self.effort.full and inner[-1] not in cuts:
            return steps
        packed = [p.operand for p in packs]
        strided = any(self.stride(o, v) not in (0, 1) for o in (A, B) if v in tile and o not in packed)
        most = self.quad if strided else max(1, self.effort.turn // registers)
        fair = next((n for n in (8, 4, 2, 1) if n <= most and steps % n == 0), 1)
        return fair if inner[-1] in cuts or fair > 1 and not strided else min(most, 4)
