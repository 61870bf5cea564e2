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
from functools import cached_property, lru_cache
from itertools import product
from math import ceil, gcd, inf, prod
from typing import Protocol

from chainrule.compiler.contraction_plan import (
    FMA_LATENCY,
    FMA_RATE,
    LOAD_RATE,
    OUT,
    A,
    B,
    ContractAxis,
    Contraction,
    Pack,
    Plan,
    Step,
    Wide,
    chains,
    distances,
    in_pairs,
    merge,
    pieces,
    reach,
)
from chainrule.compiler.effort import FAST, Effort
from chainrule.dtypes import FLOAT16

__all__ = ["ContractAxis", "Contraction", "Machine", "Plan", "plan"]

COPY_PRICE = 0.02  # what another copy of the innermost loop, for tiles of another size, must gain
PACK_CODE = 60  # instructions that packing an operand takes, if nothing is transposed
WIDE_CODE = 30  # instructions that making one float32 takes
THIN = 32  # steps of a block for which the sums are worth loading and storing
BRIEF = 128  # steps of a sum that takes no longer than to read another array for the epilogue
STREAMS = 8  # rows read side by side before they get into each other's way
ISSUED = 5  # instructions a cycle, about
SHIFT_RATE = 1  # shifts, shuffles and conversions of vectors in a cycle that is full of multiply-adds
L2_VECTOR = 1.2  # cycles in which the second-level cache gives a vector
LINE, L1_WAY, L2_WAY, MEMORY_PAGE = 64, 4096, 65536, 4096  # bytes; a way is a cache's size over its associativity

Packs = tuple[Pack | Wide, ...]


class Machine(Protocol):
    """What a plan depends on."""

    @property
    def vector_bytes(self) -> int: ...
    @property
    def vector_registers(self) -> int: ...
    @property
    def l1_bytes(self) -> int: ...
    @property
    def l2_bytes(self) -> int: ...
    @property
    def native_half(self) -> bool: ...


@lru_cache(maxsize=1024)
def plan(c: Contraction, machine: Machine, effort: Effort = FAST, uses: tuple[int, int] = (1, 1)) -> Plan:
    """The cheapest plan by the model. ``uses``: how often A, and B, are used before they change."""
    return _Search(c, machine, effort, uses).best()


class _Search:
    """Tries register tiles against a model of the machine's cycles."""

    def __init__(self, c: Contraction, machine: Machine, effort: Effort, uses: tuple[int, int]) -> None:
        self.c, self.machine, self.effort, self.uses = c, machine, effort, uses
        self.axes = merge(c)
        if not all(x.extent for x in self.axes):  # nothing to add up, or nothing at all
            self.axes = tuple(x for x in self.axes if not x.reduce)
        self.item = c.dtype.itemsize  # of sums and of what is packed
        self.items = [c.memory(A).itemsize, c.memory(B).itemsize, self.item]
        self.lanes = machine.vector_bytes // self.item
        self.quad = min(4, 16 // self.item)  # elements of the 128 bits that transposing loads take
        self.paged, self.apart = distances(self.axes, self.items, MEMORY_PAGE, LINE)
        self.outer = [i for i, x in enumerate(self.axes) if not x.reduce]
        self.reduced = [i for i, x in enumerate(self.axes) if x.reduce]
        self.steps = prod(self.axes[i].extent for i in self.reduced)
        self.sizes = [self.items[o] * prod(x.extent for x in self.axes if x.strides[o]) for o in (A, B, OUT)]  # bytes

    def stride(self, operand: int, axis: int | None) -> int:
        return 0 if axis is None else self.axes[axis].strides[operand]

    def extent(self, axis: int | None) -> int:
        return 1 if axis is None else self.axes[axis].extent

    def best(self) -> Plan:
        if not self.axes or not all(x.extent for x in self.axes):
            return self.complete(None, {}, (), 1.0)
        cheapest: tuple[float, Packs, int, dict[int, int]] | None = None
        for v, tile in self.tiles():
            priced = self.price(v, tile, cheapest[0] if cheapest else inf)
            if priced is not None:
                cheapest = (*priced, v, tile)
        cycles, packs, v, tile = cheapest  # type: ignore[misc]  # there is a tile, and it has a price
        return self.complete(v, tile, packs, cycles)

    # -- register tiles

    def tiles(self) -> Iterator[tuple[int, dict[int, int]]]:
        """The lanes' axis, and the elements of each axis in the tile."""
        smooth = [i for i, x in enumerate(self.axes) if 1 in x.strides[:3]] or range(len(self.axes))
        for v in [i for i in self.outer if i in smooth]:
            extent = self.axes[v].extent
            others: list[int | None] = [i for i in self.outer if i != v]
            for r in others or [None]:
                for rows, vectors in self.grid(self.extent(r), ceil(extent / self.lanes), self.temporaries(v)):
                    yield v, {v: min(extent, vectors * self.lanes)} | ({r: rows} if r is not None else {})
        pairs: list[tuple[int | None, int | None]] = [(i, j) for i in self.outer for j in self.outer if i < j]
        pairs = pairs or [(i, None) for i in self.outer] or [(None, None)]
        easy = [v for v in self.reduced if v in smooth and all(self.stride(o, v) in (0, 1) for o in (A, B))]
        for v in easy if self.effort.price and self.outer else [i for i in self.reduced if i in smooth]:
            for i, j in pairs:
                for rows, columns in self.grid(self.extent(i), self.extent(j), 0):
                    yield v, {axis: n for axis, n in ((i, rows), (j, columns)) if axis is not None}

    def temporaries(self, v: int) -> int:
        """Registers that transposing blocks in registers takes."""
        return self.quad + 2 if any(self.stride(o, v) not in (0, 1) for o in (A, B)) else 0

    def grid(self, high: int, wide: int, temporaries: int) -> Iterator[tuple[int, int]]:
        """Rows × columns of registers that fit and are worth a trial: the smallest with as many turns."""
        registers = self.machine.vector_registers
        brief = self.effort.price > 0
        tall, broad = ({ceil(n / ceil(n / size)) for size in range(1, most + 1)}
                       for n, most in ((high, self.effort.turn if brief else registers - 2), (wide, 8)))
        if brief:  # few trials, and tiles of one size
            tall, broad = ({n for n in sizes if n == 4 or extent % n == 0}
                           for sizes, extent in ((tall, high), (broad, wide)))
        fitting = [(r, c) for r, c in product(tall, broad)
                   if r * c + max(temporaries, min(r, c) * (max(r, c) > 1) + 1) <= registers]
        if brief:
            yield from ((r, c) for r, c in fitting if r * c <= self.effort.turn)
            return
        enough = min(FMA_RATE * FMA_LATENCY, max(r * c for r, c in fitting))
        yield from ((r, c) for r, c in fitting if r * c >= enough)

    # -- the model

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
            direct = widening = 0.0
            for counts, turns, transposing in parts:
                sweeps = prod([self.axes[i].extent // counts.get(i, 1) for i in self.outer if not self.stride(o, i)])
                direct += turns * self.steps * self.direct_cycles(o, v, tile, counts, sweeps)
                direct += self.effort.price * transposing[o]
                widening += turns * self.steps * self.widening_cycles(o, v, counts)
            ways.append(self.prepared(o, v, tile, direct, widening))
        cycles += sum([cost for cost, _ in ways])
        copies = [copy for _, copy in ways if copy is not None]
        order = sorted(copies, key=lambda p: 2 if isinstance(p, Wide) else p.axis != v)
        return (cycles, tuple(order)) if cycles < most else None

    def prepared(
        self, o: int, v: int, tile: dict[int, int], direct: float, widening: float
    ) -> tuple[float, Pack | Wide | None]:
        """The cheapest way to have an operand ready, if reading and converting it as it lies take that long."""
        packed = [(self.pack_cycles(o, i, tile[i]) / self.uses[o] +
                   self.effort.price * PACK_CODE * (1 if self.stride(o, i) == 1 else 2), Pack(o, i))
                  for i in self.packable(o, v, tile)]
        ways: list[tuple[float, Pack | Wide | None]] = [(direct + widening, None), *packed]
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
        inside = [i for i in tile if self.stride(operand, i)]
        if v in self.reduced and (self.stride(operand, v) in (0, 1) or any(
                self.stride(operand, i) for i in self.outer if i not in tile)):
            return []
        return inside if len(inside) == 1 else []

    def tile_cycles(self, v: int, tile: dict[int, int], counts: dict[int, int]) -> float:
        """One tile, if all it reads is in the first-level cache in good order."""
        registers, steps, dot = prod(counts.values()), self.steps, v in self.reduced
        if dot:
            steps = steps // self.axes[v].extent * ceil(self.axes[v].extent / self.lanes)
        each = self.loads(counts)
        loads = sum(each)
        latency = FMA_LATENCY / chains(registers, max(1, min(steps, 8)))
        step = max(registers / FMA_RATE, loads / LOAD_RATE, latency, (registers + loads) / ISSUED) + 0.03 * loads
        if dot:  # without blocks: an operand that is swept for each row of the other comes from where it fits
            step += max(0, loads - STREAMS) + sum(n * (self.far(o, v, tile) + self.alone(o, tile))
                                                  for n, o in zip(each, (A, B), strict=True))
            return 14 + registers * (2.5 if registers > 1 else 0) + steps * step
        if self.from_l2(v, tile, counts):
            step = max(step, L2_VECTOR * counts[v]) + 0.05 * counts[v]
        step += 0.02 * sum([n * self.paged[i] for i, n in counts.items()])
        apart = sum([self.apart[i] for i in counts if i != v])  # rows that lie together are fetched together
        once = 8 + registers * (1 if self.stride(OUT, v) == 1 else 2 * self.lanes)
        return (once + steps * step) * (1 + 0.004 * apart)

    def code(self, v: int, counts: dict[int, int], looped: bool) -> tuple[float, list[float]]:
        """About how many instructions one tile is written in; and by how many more if A, or B, is transposed."""
        registers, dot = prod(counts.values()), v in self.reduced
        steps = max(1, self.effort.turn // registers) if looped else self.steps
        along = [self.stride(o, v) for o in (A, B)]
        loads = self.loads(counts)
        step = registers + sum(n * (2 if a else 4) for n, a in zip(loads, along, strict=True))
        transposing = [0.0 if dot or a in (0, 1) else max(0, self.quad - steps) * step + n * (3 * self.lanes + 6)
                       for n, a in zip(loads, along, strict=True)]
        return steps * step + registers * (9 if dot else 6), transposing

    def loads(self, counts: dict[int, int]) -> list[int]:
        """Vectors, or repeated elements, that a step of a tile takes of A and of B."""
        return [prod([n for i, n in counts.items() if self.axes[i].strides[o]]) for o in (A, B)]

    def far(self, operand: int, v: int, tile: dict[int, int]) -> float:
        """Cycles that a vector takes longer to load for the size of what the innermost loop over tiles sweeps."""
        inner = next(reversed(self.tile_order(v, tile)), None)
        swept = self.stride(operand, inner) != 0
        within = [i for i in range(len(self.axes)) if i in self.reduced or i == inner or not swept]
        elements = prod(self.axes[i].extent for i in within if self.stride(operand, i))
        spread = reach(self.axes, operand, [i for i in range(len(self.axes)) if i not in within])[1]
        fresh = min(elements, spread) / elements  # windows overlap
        half = 2 * self.items[operand] * fresh * elements
        price = 0.0 if half <= self.machine.l1_bytes else 0.2 if half <= self.machine.l2_bytes else 1.0
        return price if swept or inner is None else price * max(fresh, 0.2) * tile[inner] / self.axes[inner].extent

    def alone(self, operand: int, tile: dict[int, int]) -> float:
        """Cycles that a vector takes longer to load where windows overlap, but not those of one tile."""
        window = reach(self.axes, operand, self.outer)[1]
        overlap = any(0 < abs(self.stride(operand, i)) < window for i in self.outer)
        return 0.3 if overlap and any(abs(self.stride(operand, i)) >= window for i in tile) else 0.0

    def direct_cycles(
        self, operand: int, v: int, tile: dict[int, int], counts: dict[int, int], sweeps: int
    ) -> float:
        """What one step takes beyond that if the operand is not packed, on the average of all sweeps over it."""
        along, count = self.stride(operand, v), prod(n for i, n in counts.items() if self.stride(operand, i))
        if v in self.reduced:
            return 0.0 if along in (0, 1) else count * float(self.lanes)
        if along != 1 and any(self.stride(operand, i) == 1 for i in self.reduced):
            return 0.0 if along == 0 else count * (self.lanes / self.quad + 1) * 0.75
        if along in (0, 1):
            item = self.items[operand]
            bytes_ = {i: abs(self.stride(operand, i)) * item * (self.lanes if i == v else 1) for i in counts}
            lines = prod(ceil(n * min(bytes_[i] / LINE, 1)) for i, n in counts.items() if bytes_[i])
            busy = L2_VECTOR * counts[v] * self.from_l2(v, tile, counts) - prod(counts.values()) / FMA_RATE
            missed = self.miss_cycles(operand, lines, self.block_steps(v, tile), busy) * (1 - 1 / max(1, sweeps))
            return missed + (along and self.spill_cycles(v, tile, counts))
        return count * float(self.lanes)

    def spill_cycles(self, v: int, tile: dict[int, int], counts: dict[int, int]) -> float:
        """What one step takes longer if a mask for the last lanes leaves too few registers for the sums."""
        rest, registers, have = tile[v] % self.lanes, prod(counts.values()), self.machine.vector_registers
        masked = rest & (rest - 1) and counts[v] == ceil(tile[v] / self.lanes)
        if not masked or have > 16:  # such machines keep masks elsewhere
            return 0.0
        return registers / FMA_RATE if registers + min(counts.values()) + 2 > have else 0.0

    def widening(self, operand: int, v: int | None) -> tuple[float, int]:
        """Instructions that make a vector of half numbers float32, and the constants that they take.

        Of what the tile reads; if ``v`` is None, of what is packed.
        """
        if self.items[operand] == self.item:
            return 0.0, 0
        plain = self.c.memory(operand) != FLOAT16
        once, constants = (2.0, 0) if plain or self.machine.native_half else (10.0, 5)
        if v is not None and in_pairs(self.c, self.axes[v]):
            return 1.0, 1
        if v is None or v in self.reduced or self.stride(operand, v):
            return once, constants
        follow = any(self.stride(operand, i) == 1 for i in self.reduced)  # then it is loaded with its neighbour
        return (1.0, 1) if plain and follow else (once + 1, constants)

    def widening_cycles(self, operand: int, v: int, counts: dict[int, int]) -> float:
        """What one step takes longer for that if the operand is not packed."""
        if self.items[operand] == self.item:
            return 0.0
        once, constants = self.widening(operand, v)
        each = self.loads(counts)
        registers, loads, more = prod(counts.values()), sum(each), each[operand] * once
        free = max(registers / FMA_RATE, loads / LOAD_RATE)
        cycles = max(0.0, (registers + loads + more) / ISSUED - free, more / SHIFT_RATE - free) + 0.08 * more
        if constants and registers + min(each) + 1 + constants > self.machine.vector_registers:
            cycles += 2 * registers  # sums go to memory in every step
        return cycles / self.lanes if v in self.reduced else cycles  # a step is an element, there

    def wide_cycles(self, operand: int, tile: dict[int, int]) -> tuple[float, tuple[int, ...]]:
        """What it takes to make the operand float32 as it lies, part by part, and the loops that settle on a part.

        A part fits half of the second-level cache, and as far as that allows none is made twice.
        """
        settled: list[int] = []
        loops = sorted((i for i in self.outer if i not in tile and self.stride(operand, i)),
                       key=lambda i: -abs(self.stride(operand, i)))
        most = self.machine.l2_bytes // (2 * self.item)
        for i in loops:
            if abs(self.stride(operand, i)) >= reach(self.axes, operand, (*settled, i))[1] or \
                    reach(self.axes, operand, settled)[1] > most:
                settled.append(i)
        count = reach(self.axes, operand, settled)[1]
        if count > most:
            return inf, ()
        each = 20 + count / self.lanes * (1.5 + self.widening(operand, None)[0] / ISSUED)
        return prod(self.axes[i].extent for i in settled) * each + self.effort.price * WIDE_CODE, tuple(settled)

    def from_l2(self, v: int, tile: dict[int, int], counts: dict[int, int]) -> bool:
        """Whether the panels with the lanes come from the second-level cache."""
        return self.block_steps(v, tile) * counts[v] * self.machine.vector_bytes > self.machine.l1_bytes // 2

    def miss_cycles(self, operand: int, lines: int, steps: int, busy: float) -> float:
        """For ``lines`` cache lines a step, where every step goes to other lines, as far apart as the stride says.

        ``busy``: cycles of a step for which the second-level cache is busy beyond those of the arithmetic.
        """
        apart = max((abs(self.stride(operand, i)) for i in self.reduced), default=0) * self.items[operand]
        line = L2_VECTOR * LINE / self.machine.vector_bytes
        for size, way, price in ((self.machine.l1_bytes, L1_WAY, 0.0),
                                 (self.machine.l2_bytes, L2_WAY, max(0.0, line * lines + busy) + 0.3 * lines)):
            sets = way // gcd(max(apart, LINE), way)
            if 2 * steps <= size // way * sets and 2 * steps * lines * LINE <= size:
                return price
        return 5.0 * lines

    def pack_cycles(self, operand: int, axis: int, width: int) -> float:
        width = min(width, self.lanes)
        vectors = self.sizes[operand] / self.items[operand] / width
        spread = 1.0 if self.sizes[operand] <= self.machine.l1_bytes // 2 else 3.0
        spread += self.widening(operand, None)[0] / ISSUED
        if self.stride(operand, axis) == 1:
            return 20 + vectors * spread
        transposable = any(x.strides[operand] == 1 for x in self.axes)
        return 20 + vectors * (spread + 0.25 * width / self.quad if transposable else 1.5 * width)

    # -- blocks: of the reduction where a panel outgrows half of the second-level cache, or where the operands outgrow
    #    it and all outputs do not; of rows where those of one sweep do, of panels where all of them outgrow it by far

    @cached_property
    def thin(self) -> int:
        """So many steps are done at a time where all sums, and what these steps read, fit the first-level cache.

        0 where they do not. So are two long and narrow matrices multiplied along their length, as for the gradient of
        a small layer's weights: neither has to be packed, and each is read once.
        """
        l1 = self.machine.l1_bytes
        read = self.sizes[A] + self.sizes[B]
        if len(self.reduced) != 1 or 2 * self.sizes[OUT] > l1 or read <= l1:
            return 0
        steps = self.steps * l1 // read
        return steps if steps >= THIN else 0

    def block_steps(self, v: int | None, tile: dict[int, int]) -> int:
        """About how many steps of the reduction are done at a time."""
        if v not in tile or len(tile) < 2:
            return self.steps
        if self.thin:
            return self.thin
        l2, panel, read = self.machine.l2_bytes, tile[v] * self.item, self.sizes[A] + self.sizes[B]
        if read > l2 and 4 * self.sizes[OUT] <= l2:  # a long sum of few outputs
            return min(self.steps, max(64, l2 * self.steps // (4 * read)))
        return self.steps if 2 * self.steps * panel <= l2 else max(1, l2 // (8 * panel))

    def cuts(self, steps: int, inner: Sequence[int]) -> dict[int, int]:
        """Blocks of reduced axes that make about so many steps."""
        cuts: dict[int, int] = {}
        rest = self.steps
        for i in inner if steps < self.steps else ():
            rest //= self.axes[i].extent
            size = self.even(i, max(1, steps // rest), 8 if i == inner[-1] else 1)
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

    def even(self, i: int, size: int, tile: int) -> int:
        """A multiple of ``tile`` up to about ``size`` that cuts the axis into blocks of about equal size."""
        count = ceil(self.axes[i].extent / max(size, tile))
        return ceil(self.axes[i].extent / count / tile) * tile

    # -- the loops around the tile

    def complete(self, v: int | None, tile: dict[int, int], copied: Packs, cycles: float) -> Plan:
        packs = [p for p in copied if isinstance(p, Pack)]
        inner = tuple(sorted(self.reduced, key=lambda i: (i == v, -max(abs(self.stride(o, i)) for o in (A, B)))))
        cuts = self.cuts(self.block_steps(v, tile), inner)
        steps = prod(cuts.get(i, self.axes[i].extent) for i in inner)
        outside = bool(cuts) and self.sizes[OUT] <= self.machine.l2_bytes // 2  # all partial sums are kept at a time
        blocks = self.blocks(v, tile, packs, steps, steps if outside else self.steps)
        cut = [Step(i, n, True) for i, n in cuts.items()]
        nest: list[Step | Pack | Wide] = [*cut] if outside else []
        loops = sorted((i for i in self.outer if i not in tile), key=lambda i: -abs(self.stride(OUT, i)))
        for pack in packs:
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
        return Plan(self.c, self.axes, self.lanes, v, sizes, tuple(nest), inner, unroll, cycles)

    def tile_order(self, v: int | None, tile: dict[int, int]) -> list[int]:
        """Tile loops, outermost first: a panel with the lanes is kept while rows are swept, unless all are small.

        Where the epilogue reads arrays as large as the outputs, panels may be as large as a part of the second-level
        cache: rows are then finished one after the other, and what the epilogue touches is used in memory's order.
        """
        order = sorted(tile, key=lambda i: i != v)
        panels = max((self.sizes[o] for o in (A, B) if self.stride(o, v)), default=0)
        small = 2 * panels <= self.machine.l1_bytes
        if v in tile and self.reads_much and self.steps <= BRIEF:
            small |= 4 * panels <= self.machine.l2_bytes < self.sizes[OUT]
        return order[::-1] if small else order

    @cached_property
    def reads_much(self) -> bool:
        """Whether the epilogue touches another array of as many elements as the outputs."""
        each = zip(*(self.axes[i].strides[OUT + 1:] for i in self.outer), strict=True)
        return sum(map(all, each)) > 1

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
