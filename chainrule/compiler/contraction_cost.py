"""What a contraction takes by one way or another: a model of the machine's cycles.

``compiler/contraction.py`` tries register tiles against it. All figures were found by measuring the loops that
``llvm/contraction.py`` writes.
"""

from __future__ import annotations

from functools import cached_property
from math import ceil, gcd, inf, prod
from typing import Protocol

from chainrule.addresses import LINE
from chainrule.compiler.contraction_plan import (
    FMA_LATENCY,
    FMA_RATE,
    LOAD_RATE,
    OUT,
    A,
    B,
    Contraction,
    Words,
    across,
    by_words,
    chains,
    distances,
    in_pairs,
    merge,
    reach,
)
from chainrule.compiler.effort import Effort
from chainrule.dtypes import FLOAT16

WIDE_CODE = 30  # instructions that making an operand float32 takes
THIN = 32  # steps of a block for which the sums are worth loading and storing
BRIEF = 128  # steps of a sum that takes no longer than to read another array for the epilogue
TURNING = 0.5  # cycles for each lane of sums that are transposed and stored in parts
STREAMS = 8  # rows read side by side before they get into each other's way
ISSUED = 5  # instructions a cycle, about
SHIFT_RATE = 1  # shifts, shuffles and conversions of vectors in a cycle that is full of multiply-adds
L2_VECTOR = 1.2  # cycles in which the second-level cache gives a vector of a packed panel
SHORT = 4.5  # cycles of arithmetic of a step
SWEPT_SHORT, SWEPT = 0.12, 0.03  # part by which a short step, and a longer one, is longer if lines come from there
L2_CLASH = 8.5  # where they are so far apart that all of them belong to the same place of the first-level cache
TOGETHER = 256  # bytes of memory's rows that are packed at a time
FAR = 4.0  # cycles that a line takes which comes from beyond the second-level cache, and is not fetched ahead
UNALIGNED = 12.0  # cycles that a vector which lies in two lines takes longer when it comes from far
L1_WAY, L2_WAY, MEMORY_PAGE = 4096, 65536, 4096  # bytes; a way is a cache's size over its associativity


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
    @property
    def native_bfloat16(self) -> bool: ...


class Costs:
    """Cycles of one contraction, tile by tile and operand by operand."""

    def __init__(self, c: Contraction, machine: Machine, effort: Effort, uses: tuple[int, int],
                 words: Words | None = None) -> None:
        self.c, self.machine, self.effort, self.uses, self.words = c, machine, effort, uses, words
        self.axes = merge(c) if words is None else by_words(merge(c), words)
        if not all(x.extent for x in self.axes):  # nothing to add up, or nothing at all
            self.axes = tuple(x for x in self.axes if not x.reduce)
        self.item = c.dtype.itemsize  # of sums and of what is packed
        self.items = [self.item if words else c.memory(o).itemsize for o in (A, B)] + [self.item]
        self.lanes = machine.vector_bytes // self.item
        self.quad = min(4, 16 // self.item)  # elements of the 128 bits that transposing loads take
        self.paged, self.apart = distances(self.axes, self.items, MEMORY_PAGE, LINE)
        self.outer = [i for i, x in enumerate(self.axes) if not x.reduce]
        self.reduced = [i for i, x in enumerate(self.axes) if x.reduce]
        self.steps = prod(self.axes[i].extent for i in self.reduced)
        counts = [prod(x.extent for x in self.axes if x.strides[o]) for o in (A, B, OUT)]
        self.sizes = [n * item for n, item in zip(counts, self.items, strict=True)]  # bytes
        self.roomy = [2 * n * self.item > machine.l2_bytes for n in counts]  # if packed; others use that cache, too
        self.ordered = [any(self.stride(o, i) == 1 for i in self.reduced) for o in (A, B)]  # lie together along the sum

    def stride(self, operand: int, axis: int | None) -> int:
        return 0 if axis is None else self.axes[axis].strides[operand]

    def extent(self, axis: int | None) -> int:
        return 1 if axis is None else self.axes[axis].extent

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
        lanes = across(self.axes, v, [i for i, n in counts.items() if n > 1])
        near = self.sizes[OUT] <= self.machine.l2_bytes  # else lines that are written in parts come from far each time
        lane = TURNING if lanes != v and near else 2
        once = 8 + registers * (1 if self.stride(OUT, v) == 1 else lane * self.lanes)
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
            hidden = prod(counts.values()) / FMA_RATE
            busy = L2_VECTOR * counts[v] * self.from_l2(v, tile, counts) - hidden
            far = self.from_far(operand, v, tile)
            missed = self.miss_cycles(operand, lines, self.block_steps(v, tile), busy)
            if missed and far and self.pitch(operand) % L1_WAY == 0:
                missed = max(missed, L2_CLASH * lines - hidden)
            missed *= 1 - 1 / max(1, sweeps)
            if far:
                across = max(0, self.machine.vector_bytes - gcd(self.pitch(operand), LINE)) / LINE
                missed += (UNALIGNED * across * counts[v] + FAR * lines) / max(1, sweeps)
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

    def held_cycles(self, v: int, tile: dict[int, int], counts: dict[int, int]) -> float:
        """What one step takes longer where the lanes' operand is packed in groups: its sums do not go by blocks."""
        near = 2 * self.steps * counts[v] * self.machine.vector_bytes <= self.machine.l1_bytes
        if near or self.from_l2(v, tile, counts):
            return 0.0
        return max(0.0, L2_VECTOR * counts[v] - prod(counts.values()) / FMA_RATE) + 0.05 * counts[v]

    def from_l2(self, v: int, tile: dict[int, int], counts: dict[int, int]) -> bool:
        """Whether the panels with the lanes come from the second-level cache."""
        return self.block_steps(v, tile) * counts[v] * self.machine.vector_bytes > self.machine.l1_bytes // 2

    def swept_cycles(self, operand: int, v: int, tile: dict[int, int], counts: dict[int, int]) -> float:
        """What one step takes longer if what all lanes repeat comes from the second-level cache in each sweep.

        For an operand that is not packed and along whose lines the innermost loop over tiles goes, for whole sums.
        """
        inner, size = next(reversed(self.tile_order(v, tile)), None), self.items[operand]
        if self.stride(operand, v) or self.stride(operand, inner) != 1 or self.block_steps(v, tile) < self.steps:
            return 0.0
        run = size * self.extent(inner)
        lines = ceil(run / LINE) + (run % LINE != 0 or self.pitch(operand) % LINE != 0)
        if self.steps * LINE * lines <= self.machine.l1_bytes:
            return 0.0
        arithmetic = prod(counts.values()) / FMA_RATE
        return (SWEPT_SHORT if arithmetic < SHORT else SWEPT) * arithmetic

    def pitch(self, operand: int) -> int:
        """Bytes from what one step of the reduction reads to what the next one reads, where they lie farthest apart."""
        return max((abs(self.stride(operand, i)) for i in self.reduced), default=0) * self.items[operand]

    def miss_cycles(self, operand: int, lines: int, steps: int, busy: float) -> float:
        """For ``lines`` cache lines a step, where every step goes to other lines, as far apart as the stride says.

        ``busy``: cycles of a step for which the second-level cache is busy beyond those of the arithmetic.
        """
        apart = self.pitch(operand)
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
        if self.words is not None and not self.words.direct[operand]:  # two numbers are read for a word
            vectors *= 2
            spread += 3 / ISSUED
        if self.stride(operand, axis) == 1:
            return 20 + vectors * spread
        transposable = any(x.strides[operand] == 1 for x in self.axes)
        return 20 + vectors * (spread + 0.25 * width / self.quad if transposable else 1.5 * width)

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

    def from_far(self, operand: int, v: int | None, tile: dict[int, int]) -> bool:
        """Whether panels of an operand come from beyond the second-level cache, and the other one is easily swept.

        That is better swept some steps at a time where it does not lie together along the sum.
        """
        if not self.roomy[operand] or not self.ordered[1 - operand] or self.uses[operand] > 1:
            return False
        if v not in tile or len(tile) < 2 or not self.stride(operand, v):
            return False
        within = [x for i, x in enumerate(self.axes) if x.reduce or i in tile or not x.strides[operand]]
        mine, swept = (self.item * prod([x.extent for x in within if x.strides[o]]) for o in (operand, 1 - operand))
        return 2 * mine > self.machine.l2_bytes and swept <= 2 * self.machine.l2_bytes

    def together(self, operand: int, v: int | None, tile: dict[int, int]) -> int:
        """How many of the lanes' elements are packed at a time, right before they are used; 0: all, or none.

        So what is packed is read from far once, in pieces longer than a line, and stays near until it is used; the
        other operand is swept for each group.
        """
        if v is None or not self.from_far(operand, v, tile):
            return 0
        panel, l2 = self.steps * tile[v] * self.item, self.machine.l2_bytes
        return 0 if 2 * panel > l2 else max(1, min(TOGETHER // self.items[operand] // tile[v], l2 // panel)) * tile[v]

    def block_steps(self, v: int | None, tile: dict[int, int]) -> int:
        """About how many steps of the reduction are done at a time."""
        if v not in tile or len(tile) < 2:
            return self.steps
        if any([self.stride(o, v) not in (0, 1) and self.together(o, v, tile) for o in (A, B)]):
            return self.steps
        l2, panel, read = self.machine.l2_bytes, tile[v] * self.item, self.sizes[A] + self.sizes[B]
        if self.thin and 2 * self.steps * panel > self.machine.l1_bytes:  # else a panel stays while rows are swept
            return self.thin
        if read > l2 and 4 * self.sizes[OUT] <= l2:  # a long sum of few outputs
            return min(self.steps, max(64, l2 * self.steps // (4 * read)))
        return self.steps if 2 * self.steps * panel <= l2 else max(1, l2 // (8 * panel))

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
