"""Where the outputs in a register lie, and how the epilogue of a contraction addresses memory for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from chainrule.compiler.contraction_plan import Plan
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.lanes import gather, load_first, power_of_two, resize, store_first

Index = Val | int


class Place:
    """The outputs in one register: ``lanes`` of them, along ``plan.vector_axis``.

    Memory is addressed by stride vectors over the axes of the contraction (elements; reduced axes are ignored), which
    must be those of the output or among ``Contraction.accesses``.
    """

    def __init__(self, tile: Tile, at: dict[int, int], lanes: int) -> None:
        self._tile, self._at, self.lanes = tile, at, lanes

    def offset(self, strides: Sequence[int]) -> Val:
        """The offset in elements of the first lane."""
        e, own = self._tile.e, self._tile.own(strides)
        return plus(e, self._tile.offset(own), sum(n * own[i] for i, n in self._at.items()))

    def lane_stride(self, strides: Sequence[int]) -> int:
        """How far apart neighbouring lanes lie."""
        axis = self._tile.plan.lane_axis
        return 0 if axis is None else self._tile.own(strides)[axis]

    def pointer(self, base: ir.Value, strides: Sequence[int], dtype: np.dtype) -> ir.Value:
        """The address of the first lane's element of an array at ``base``."""
        e, own = self._tile.e, self._tile.own(strides)
        return e.at(self._tile.pointer(base, own, dtype), sum(n * own[i] for i, n in self._at.items()), dtype)

    def load(self, base: ir.Value, strides: Sequence[int], dtype: np.dtype) -> Val:
        """The elements of an array at ``base`` that belong to the lanes. What rows have in common is loaded once."""
        own = self._tile.own(strides)
        key = (id(base), own, sum(n * own[i] for i, n in self._at.items()), dtype, self.lanes)
        if key not in self._tile.loads:
            self._tile.loads[key] = self._load(base, strides, dtype)
        return self._tile.loads[key]

    def _load(self, base: ir.Value, strides: Sequence[int], dtype: np.dtype) -> Val:
        e, pointer, stride = self._tile.e, self.pointer(base, strides, dtype), self.lane_stride(strides)
        if self.lanes == 1 or stride == 0:
            return e.load_splat(pointer, dtype, self.lanes)
        if stride == 1:
            return resize(e, load_first(e, pointer, dtype, self.lanes, power_of_two(self.lanes)), self.lanes)
        return gather(e, pointer, 0, stride, dtype, self.lanes, self.lanes)

    def store(self, x: Val, base: ir.Value, strides: Sequence[int]) -> None:
        """Write the lanes of ``x`` to their elements of an array at ``base``."""
        e, pointer, stride = self._tile.e, self.pointer(base, strides, x.dtype), self.lane_stride(strides)
        if self.lanes == 1 or stride == 1:
            return store_first(e, x, pointer, self.lanes)
        for i in range(self.lanes):
            e.store(e.extract(x, i), e.at(pointer, i * stride, x.dtype))


class Tile:
    """What the places of one register tile share: offsets and addresses of its first element."""

    def __init__(self, e: Emitter, plan: Plan, start: dict[int, Index]) -> None:
        self.e, self.plan = e, plan
        self.start = {i: n for i, n in start.items() if not plan.axes[i].reduce}
        self.loads: dict[tuple, Val] = {}
        self._offsets: dict[tuple[int, ...], Index] = {}
        self._pointers: dict[tuple, ir.Value] = {}

    def own(self, strides: Sequence[int]) -> tuple[int, ...]:
        """Strides over the contraction's axes as strides over the plan's."""
        axes = self.plan.contraction.axes
        for x in self.plan.axes:
            for outer, inner in pairwise(x.parts):
                if not x.reduce and strides[outer] != strides[inner] * axes[inner].extent:
                    raise ValueError(f"the contraction was planned without an access by the strides {tuple(strides)}")
        return tuple(0 if x.reduce else strides[x.origin] for x in self.plan.axes)

    def offset(self, own: tuple[int, ...]) -> Index:
        if own not in self._offsets:
            self._offsets[own] = affine(self.e, ((start, own[i]) for i, start in self.start.items()))
        return self._offsets[own]

    def pointer(self, base: ir.Value, own: tuple[int, ...], dtype: np.dtype) -> ir.Value:
        key = (id(base), own, dtype)
        if key not in self._pointers:
            self._pointers[key] = self.e.at(base, self.offset(own), dtype)
        return self._pointers[key]


def value(e: Emitter, x: Index) -> Val:
    return e.index(x) if isinstance(x, int) else x


def plus(e: Emitter, x: Index, n: int) -> Val:
    return e.index(x + n) if isinstance(x, int) else x if n == 0 else e.add(x, e.index(n))


def affine(e: Emitter, terms: Iterable[tuple[Index, int]]) -> Index:
    """Σ index · stride; constants are folded."""
    fixed, total = 0, None
    for index, stride in terms:
        if isinstance(index, int):
            fixed += index * stride
        elif stride:
            term = index if stride == 1 else e.mul(index, e.index(stride))
            total = term if total is None else e.add(total, term)
    return fixed if total is None else plus(e, total, fixed)
