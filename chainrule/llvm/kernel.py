"""What operations write their own kernels with: arrays, loops over their rows, branches, working memory.

The lowering of a ``custom`` operation gets a :class:`Kernel`, which is the emitter with these further means, and an
:class:`Array` for each operand. Indices are whole numbers or index values; what is known is computed here and now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.dtypes import INT64
from chainrule.llvm import ir
from chainrule.llvm.builder import Builder
from chainrule.llvm.emitter import Emitter, Loop, Val

ALIGN = 64
Index = Val | int


@dataclass(frozen=True)
class Array:
    """A dense array in memory, the last axis contiguous."""

    pointer: ir.Value
    shape: tuple[int, ...]
    dtype: np.dtype


class Turns:
    """A loop that may be left early: see :meth:`Kernel.turns`."""

    def __init__(self, e: Emitter, after: ir.Block) -> None:
        self._e, self._after = e, after

    def leave(self, condition: Val) -> None:
        """End the loop here if the condition holds."""
        b = self._e.b
        going_on = b.append_basic_block()
        b.cbranch(condition.ir, self._after, going_on)
        b.position_at_end(going_on)


class Kernel(Emitter):
    """The emitter of one function that works on whole arrays.

    Threads share out a kernel whose whole work stands in one :meth:`batch`: ``part`` is the range of it to do, and
    ``batches`` how many there are (1 if that is not so).
    """

    def __init__(self, builder: Builder, math: dict[str, Callable[..., Val]], vector_bytes: int,
                 scratch: ir.Value, part: tuple[Val, Val]) -> None:
        super().__init__(builder, math)
        self.vector_bytes = vector_bytes
        self._scratch, self._part = scratch, part
        self.scratch_bytes, self.batches = 0, 1

    # -- indices

    def plus(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if y == 0 or x == 0:
            return y if x == 0 else x
        return Val(self.b.add(self.position(x).ir, self.position(y).ir, flags=("nsw",)), INT64)

    def minus(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        return Val(self.b.sub(self.position(x).ir, self.position(y).ir, flags=("nsw",)), INT64)

    def times(self, x: Index, n: int) -> Index:
        if isinstance(x, int):
            return x * n
        return x if n == 1 else Val(self.b.mul(x.ir, self.index(n).ir, flags=("nsw",)), INT64)

    def position(self, x: Index) -> Val:
        """An index as a value."""
        return self.index(x) if isinstance(x, int) else x

    # -- memory

    def work(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """Working memory for the duration of the kernel."""
        pointer = self.b.gep(self._scratch, self.index(self.scratch_bytes).ir, ir.integer_type(8))
        self.scratch_bytes += -(-max(prod(shape), 1) * dtype.itemsize // ALIGN) * ALIGN
        return Array(pointer, shape, dtype)

    def part(self, array: Array, *index: Index) -> Array:
        """The array at an index of the leading axes."""
        return Array(self.address(array, *index), array.shape[len(index):], array.dtype)

    def reshaped(self, array: Array, shape: tuple[int, ...]) -> Array:
        """The same elements in another shape."""
        return Array(array.pointer, shape, array.dtype)

    def address(self, array: Array, *index: Index) -> ir.Value:
        offset: Index = 0
        for axis, i in enumerate(index):
            offset = self.plus(offset, self.times(i, prod(array.shape[axis + 1:])))
        return array.pointer if offset == 0 else self.at(array.pointer, offset, array.dtype)

    def read(self, array: Array, *index: Index, lanes: int = 1) -> Val:
        """The element at an index, or ``lanes`` of them from there on."""
        return self.load(self.address(array, *index), array.dtype, lanes)

    def write(self, x: Val, array: Array, *index: Index) -> None:
        self.store(x, self.address(array, *index))

    # -- control

    @contextmanager
    def each(self, start: Index, stop: Index) -> Iterator[Val]:
        """Once for every index from ``start`` to before ``stop``."""
        with self.loop(start, stop) as loop:
            yield loop.index

    @contextmanager
    def down(self, start: Index, stop: Index) -> Iterator[Val]:
        """The same indices from the last one down."""
        with self.loop(0, self.minus(stop, start)) as loop:
            last = self.minus(stop, 1)
            yield self.position(self.minus(last, loop.index))

    @contextmanager
    def when(self, condition: Val) -> Iterator[None]:
        """Only if the condition holds."""
        b = self.b
        inside, after = b.append_basic_block(), b.append_basic_block()
        b.cbranch(condition.ir, inside, after)
        b.position_at_end(inside)
        yield
        b.branch(after)
        b.position_at_end(after)

    @contextmanager
    def turns(self, limit: int) -> Iterator[Turns]:
        """Up to ``limit`` times, until :meth:`Turns.leave` ends it. What turns tell each other goes through memory."""
        b = self.b
        before = b.block
        body, after = b.append_basic_block(), b.append_basic_block()
        b.branch(body)
        b.position_at_end(body)
        count = b.phi(self.index(0).ir.type)
        count.add_incoming(self.index(0).ir, before)
        yield Turns(self, after)
        following = b.add(count, self.index(1).ir)
        count.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, self.index(limit).ir), body, after)
        b.position_at_end(after)

    @contextmanager
    def batch(self, arrays: Sequence[Array], cores: Sequence[int]) -> Iterator[list[Array]]:
        """Once for each of the cores, the last ``cores[k]`` axes of array k, under equal leading axes."""
        split = [len(a.shape) - core for a, core in zip(arrays, cores, strict=True)]
        count = prod(arrays[0].shape[:split[0]])
        stacks = [Array(a.pointer, (count, *a.shape[k:]), a.dtype) for a, k in zip(arrays, split, strict=True)]
        if count == 1:
            yield [self.part(a, 0) for a in stacks]
        else:
            self.batches = count
            with self.each(*self._part) as i:
                yield [self.part(a, i) for a in stacks]

    # -- along contiguous elements

    def lanes(self, dtype: np.dtype, extent: int) -> int:
        """How many elements of a stretch of ``extent`` go into one register."""
        return min(self.vector_bytes // dtype.itemsize, 1 << max(extent, 1).bit_length() - 1)

    def _spans(self, start: Index, stop: Index, dtype: np.dtype, most: int,
               wide: int) -> Iterator[tuple[Index, Index, int]]:
        """The stretch in pieces, ``lanes`` at a time: (start, stop, lanes); ``most`` is as long as it can be."""
        if isinstance(start, int) and isinstance(stop, int):
            width = self.lanes(dtype, stop - start)
            if width * dtype.itemsize == self.vector_bytes:
                width *= wide
            while start < stop:
                known = (stop - start) // width * width
                if known:
                    yield start, start + known, width
                start, width = start + known, width // 2
            return
        width = self.lanes(dtype, max(most // 2, 1))
        for lanes in dict.fromkeys((width, 4 if width > 8 else 1, 1)):
            count = self.minus(stop, start) if lanes == 1 else Val(
                self.b.and_(self.position(self.minus(stop, start)).ir, self.index(-lanes).ir), INT64)
            end = self.plus(start, count)
            yield start, end, lanes
            start = end

    @contextmanager
    def _piece(self, start: Index, stop: Index, lanes: int, carry: Sequence[Val] = ()) -> Iterator[Loop]:
        """A loop over a piece, written out if it is a single turn."""
        if isinstance(start, int) and isinstance(stop, int) and stop - start == lanes:
            once = Loop(self.index(start), list(carry))
            yield once
            once.carry = once.result
        else:
            with self.loop(start, stop, lanes, carry) as loop:
                yield loop

    def along(self, start: Index, stop: Index, dtype: np.dtype, body: Callable[[Val, int], None], most: int = 0,
              wide: int = 1) -> None:
        """``body(j, lanes)`` for stretches of ``lanes`` elements from j on, which make up start … stop - 1.

        ``most`` bounds the length where it is not known; ``wide`` registers together hide the time that chains of
        operations take.
        """
        for low, high, lanes in self._spans(start, stop, dtype, most, wide):
            with self._piece(low, high, lanes) as loop:
                body(loop.index, lanes)

    def totals(self, start: Index, stop: Index, dtype: np.dtype, terms: Callable[[Val, int], Sequence[Val]],
               count: int, most: int = 0) -> list[Val]:
        """The sums of ``count`` terms over start … stop - 1; ``terms(j, lanes)`` gives them for a stretch."""
        sums = [self.const(0, dtype)] * count
        for low, high, lanes in self._spans(start, stop, dtype, most, 1):
            with self._piece(low, high, lanes, [self.const(0, dtype, lanes)] * count) as loop:
                loop.next([self.add(s, t) for s, t in zip(loop.carry, terms(loop.index, lanes), strict=True)])
            sums = [self.add(s, self.reduce(self.add, part)) for s, part in zip(sums, loop.carry, strict=True)]
        return sums

    def swap(self, x: Array, y: Array) -> None:
        """Exchange the elements of two arrays of one axis."""
        def body(j: Val, lanes: int) -> None:
            a, b = self.read(x, j, lanes=lanes), self.read(y, j, lanes=lanes)
            self.write(b, x, j)
            self.write(a, y, j)
        self.along(0, x.shape[0], x.dtype, body)
