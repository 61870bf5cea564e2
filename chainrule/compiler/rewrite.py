"""Nests and contractions written over other axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Buffer,
    Clamp,
    Contract,
    Load,
    Nest,
    Position,
    Reduced,
    Soon,
    Store,
)


class Rewrite:
    """Puts an index in the place of an axis, wherever a nest has it.

    Args:
        index: for an axis what stands for it.
        rows: buffers that shrink to one row, with the element that this row begins at: accesses to them lose the axes
            in ``index``.
        total: what stands for the result of the reduction.
    """

    def __init__(self, index: Mapping[Axis, Affine], rows: Mapping[Buffer, int] | None = None,
                 total: Any = None) -> None:
        self.index, self.rows, self.total = index, rows or {}, total
        self.known: dict[int, Any] = {}

    def nest(self, s: Nest, axes: tuple[Axis, ...], reduce_axes: tuple[Axis, ...] | None = None) -> Nest:
        """``s`` over ``axes``; the axes of its reduction stay unless others are given."""
        stores = self.stores(s)
        body = None if s.body is None else self.value(s.body)
        return Nest(axes, stores, s.reduce_axes if reduce_axes is None else reduce_axes, s.combine, body, s.label)

    def contract(self, s: Contract, axes: tuple[Axis, ...]) -> Contract:
        """``s`` over ``axes``; those that are summed over stay."""
        soon = tuple(Soon(x.axis, self.access(x.begin), x.length) for x in s.soon)
        return Contract(axes, s.reduce_axes, self.access(s.a), self.access(s.b), s.dtype, self.stores(s), s.label,
                        soon=soon)

    def stores(self, s: Nest | Contract) -> list[Store]:
        """What ``s`` stores."""
        return [Store(self.access(store.access), self.value(store.value), store.accumulate) for store in s.stores]

    def access(self, access: Access) -> Access:
        """An access with its axes exchanged."""
        first = self.rows.get(access.buffer)
        if first is None:
            return Access(access.buffer, self.affine(access.at))
        terms = tuple((a, c) for a, c in access.at.terms if a not in self.index)
        return Access(access.buffer, Affine(access.at.offset - first, terms))

    def affine(self, at: Affine) -> Affine:
        """An index with its axes exchanged."""
        out = Affine(at.offset, tuple((a, c) for a, c in at.terms if a not in self.index),
                     tuple((c, self.value(e)) for c, e in at.dynamic))
        for a, c in at.terms:
            if a in self.index:
                out = out.plus(self.index[a].affine(c, 0))
        return out

    def value(self, e: Any) -> Any:
        """An expression with its axes exchanged; what was one expression stays one."""
        if id(e) not in self.known:
            self.known[id(e)] = self._value(e)
        return self.known[id(e)]

    def _value(self, e: Any) -> Any:
        if isinstance(e, Load):
            return Load(self.access(e.access), e.dtype)
        if isinstance(e, Position):
            return Position(self.affine(e.at), e.dtype)
        if isinstance(e, Apply):
            return Apply(e.op, tuple(map(self.value, e.args)), e.params, e.dtype)
        if isinstance(e, Clamp):
            return Clamp(tuple(map(self.value, e.args)), e.extent, e.dtype)
        return self.total if isinstance(e, Reduced) and self.total is not None else e
