"""The function being emitted: where buffers are, what axes stand at, and expressions turned into values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.compiler.effort import FAST, Effort
from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Buffer,
    Clamp,
    Const,
    Load,
    Position,
    Reduced,
    Store,
    expressions,
)
from chainrule.compiler.schedule import depends
from chainrule.dtypes import INT64
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.lanes import gather, load_first, store_first


class Frame:
    """One function: the pointers passed to it and the axes that loops around the statement have set."""

    def __init__(self, e: Emitter, pointers: Callable[[Buffer], ir.Value], axes: dict[Axis, Val],
                 effort: Effort = FAST) -> None:
        self.e, self._pointers, self.axes, self.effort = e, pointers, dict(axes), effort
        self.zero = e.index(0)

    def base(self, access: Access) -> ir.Value:
        return self._pointers(access.buffer.home)

    def index(self, at: Affine, without: Iterable[Axis] = ()) -> Val:
        """The offset plus Σ coefficient·axis over the axes that are set."""
        e = self.e
        total: Val | None = None
        offset = at.offset
        for axis, c in at.terms:
            value = self.axes.get(axis)
            if value is None or axis in without:
                continue
            if isinstance(value.ir, ir.Constant):
                offset += c * value.ir.constant
                continue
            term = value if c == 1 else Val(e.b.mul(value.ir, e.index(c).ir, flags=("nsw",)), INT64)
            total = term if total is None else Val(e.b.add(total.ir, term.ir, flags=("nsw",)), INT64)
        if total is None:
            return e.index(offset)
        return total if offset == 0 else Val(e.b.add(total.ir, e.index(offset).ir, flags=("nsw",)), INT64)

    def repeat(self, extent: int, cost: int, body: Callable[[Val, list[Val]], list[Val]], carry: Sequence[Val] = (),
               start: int = 0, step: int = 1) -> list[Val]:
        """``carry = body(i, carry)`` for i = start, start + step, … below ``extent``; written out if it is short."""
        turns = max(0, -(-(extent - start) // step))
        if turns <= 1 or turns * cost <= self.effort.unroll:
            values = list(carry)
            for i in range(start, extent, step):
                values = body(self.e.index(i), values)
            return values
        with self.e.loop(start, extent, step, carry) as loop:
            loop.next(body(loop.index, loop.carry))
        return loop.carry


@dataclass(frozen=True)
class Part:
    """The units from ``begin`` to before ``end`` along an axis (``compiler/parallel.py``): what one call computes."""

    axis: Any
    begin: Val
    end: Val


class Evaluator:
    """Evaluates the expressions of a nest, each as far out in the loops as it can be.

    ``order`` are the loop axes from the outermost in; an expression belongs to the level of the innermost
    axis that it depends on, the level 0 being outside of all loops.
    """

    def __init__(self, frame: Frame, roots: Sequence[Any], order: Sequence[Axis]) -> None:
        self.frame, self.order = frame, list(order)
        self.all = expressions(roots)
        rank = {axis: i + 1 for i, axis in enumerate(order)}
        self.level = {id(x): max((rank.get(a, 0) for a in depends(x)), default=0) for x in self.all}
        self.after_reduction = self._uses_reduced()
        self.values: dict[int, Val] = {}

    def _uses_reduced(self) -> set[int]:
        found: set[int] = set()
        for x in self.all:
            if isinstance(x, Reduced) or any(id(a) in found for a in x.args):
                found.add(id(x))
        return found

    def enter(self, level: int, roots: Sequence[Any] | None = None, lanes: int = 1, vector: Axis | None = None,
              width: int | None = None) -> None:
        """Evaluate what belongs to ``level``: called once its axis is set, with ``lanes`` lanes along ``vector``.

        ``width`` is the number of lanes in registers, if it is more than the lanes in use.
        """
        for x in self.all if roots is None else expressions(roots):
            if isinstance(x, Const | Reduced) or self.level[id(x)] != level or id(x) in self.after_reduction:
                continue
            self.values[id(x)] = self.compute(x, lanes, vector, width or lanes)

    def finish(self, roots: Sequence[Any], reduced: Val) -> None:
        """Evaluate what needs the reduction's result."""
        for x in expressions(roots):
            if isinstance(x, Reduced):
                self.values[id(x)] = reduced
            elif id(x) in self.after_reduction:
                self.values[id(x)] = self.compute(x, reduced.lanes, None, reduced.lanes)

    def value(self, x: Any, lanes: int = 1) -> Val:
        """The value of an evaluated expression in ``lanes`` lanes."""
        if isinstance(x, Const):
            return self.frame.e.const(x.value, x.dtype, lanes)
        return self.frame.e.splat(self.values[id(x)], lanes)

    def compute(self, x: Any, lanes: int, vector: Axis | None, width: int) -> Val:
        e = self.frame.e
        if isinstance(x, Load):
            return self.load(x.access, x.dtype, lanes, vector, width)
        if isinstance(x, Position):
            return e.cast(self.position(x.at, vector, width), x.dtype)
        widest = max((self.values[id(a)].lanes for a in x.args if not isinstance(a, Const)), default=1)
        args = [self.value(a, widest) for a in x.args]
        if isinstance(x, Clamp):
            at = e.cast(args[0], INT64)
            return e.min(e.max(at, e.like(at, 0)), e.like(at, x.extent - 1))
        assert isinstance(x, Apply)
        return x.op.lower(e, *args, **x.params)

    def position(self, at: Affine, vector: Axis | None, width: int) -> Val:
        e = self.frame.e
        total = self.frame.index(at)
        stride = at.stride(vector) if vector is not None else 0
        if stride and width > 1:
            total = e.lane_numbers(total, width, stride)
        for c, x in at.dynamic:
            value = self.value(x)
            lanes = max(total.lanes, value.lanes)
            total = e.add(e.splat(total, lanes), e.mul(e.splat(value, lanes), e.const(c, INT64, lanes)))
        return total

    def load(self, access: Access, dtype: Any, lanes: int, vector: Axis | None, width: int) -> Val:
        e, base = self.frame.e, self.frame.base(access)
        varying = any(self.values[id(x)].lanes > 1 for _, x in access.at.dynamic if not isinstance(x, Const))
        stride = access.at.stride(vector) if vector is not None else 0
        if varying and width > 1:
            offsets = e.splat(self.position(access.at, vector, width), width)
            value = e.const(0, dtype, width)
            for i in range(lanes):
                value = e.insert(value, e.load(e.at(base, e.extract(offsets, i), dtype), dtype), i)
            return value
        pointer = e.at(
            base, self.position(Affine(access.at.offset, access.at.terms, access.at.dynamic), None, 1), dtype
        )
        if stride == 0 or width == 1:
            return e.load(pointer, dtype, volatile=access.buffer.home.volatile)
        if stride == 1:
            return load_first(e, pointer, dtype, lanes, width)
        return gather(e, pointer, 0, stride, dtype, lanes, width)

    def address(self, x: Load, axis: Axis, at: Val, vector: Axis) -> ir.Value:
        """Where a load will begin once ``axis`` stands at ``at``, with ``vector`` at 0."""
        axes, values = self.frame.axes, self.values
        self.frame.axes, self.values = {**axes, axis: at, vector: self.frame.zero}, dict(values)
        for y in expressions([e for _, e in x.access.at.dynamic]):
            if axis in depends(y):
                self.values[id(y)] = self.compute(y, 1, None, 1)
        pointer = self.frame.e.at(self.frame.base(x.access), self.position(x.access.at, None, 1), x.dtype)
        self.frame.axes, self.values = axes, values
        return pointer

    def store(self, store: Store, lanes: int, vector: Axis | None, width: int) -> None:
        e, access = self.frame.e, store.access
        value = self.value(store.value, width)
        base = self.frame.base(access)
        pointer = e.at(base, self.position(access.at, None, 1), value.dtype)
        if store.accumulate:
            value = e.add(self.load(access, value.dtype, lanes, vector, width), value)
        stride = access.at.stride(vector) if vector is not None else 0
        if width == 1:
            e.store(value, pointer)
        elif stride == 1:
            store_first(e, value, pointer, lanes)
        else:
            for i in range(lanes):
                e.store(e.extract(value, i), e.at(pointer, i * stride, value.dtype))
