"""A statement in terms of its own axes and of addresses that are passed to it: equal statements are compiled once.

Needs: a statement of a planned program. Gives: the same statement in which every place of memory is a *base* of
its own, and a key that is equal for statements of equal code. A layer that occurs twice, before::

    for i < 64, j < 512: t3[512·i + j + 4096·step] = relu(t1[512·i + j])
    for i < 64, j < 512: t9[512·i + j] = relu(t3[512·i + j + 4096·step])

and both of them after, where base 0 and base 1 are the addresses of t3[4096·step] and t1, or of t9 and t3[4096·step]::

    for a < 64, b < 512: base0[512·a + b] = relu(base1[512·a + b])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Buffer,
    Clamp,
    Const,
    Contract,
    Custom,
    Load,
    Loop,
    Nest,
    Position,
    Reduced,
    Soon,
    Statement,
    Store,
    Whole,
)
from chainrule.graph import params_key


@dataclass
class Shared:
    """A statement, the key of its code, and what stands for its bases and for the positions that are passed to it."""

    statement: Statement
    key: Any
    bases: list[tuple[Buffer, Access]]
    positions: list[tuple[Axis, Affine]]
    own: list[Buffer]


def shared(s: Statement, own: Sequence[Buffer] = ()) -> Shared:
    """``own``: buffers that are no place in memory to the statement, but working memory."""
    return _Sharing(own).run(s)


class _Sharing:
    def __init__(self, own: Sequence[Buffer]) -> None:
        self.axes: dict[Axis, Axis] = {}
        self.bases: dict[Any, Buffer] = {}
        self.places: list[tuple[Buffer, Access]] = []
        self.positions: list[tuple[Axis, Affine]] = []
        self.own = {b: Buffer(f"own{k}", b.size, b.dtype, "temp") for k, b in enumerate(own)}
        self.known: dict[int, tuple[int, Any]] = {}
        self.facts: list[Any] = [(b.size, b.dtype.str) for b in self.own.values()]

    def run(self, s: Statement) -> Shared:
        new = self.statement(s)
        return Shared(new, tuple(self.facts), self.places, self.positions, list(self.own.values()))

    def note(self, *facts: Any) -> None:
        self.facts.append(facts)

    def statement(self, s: Statement) -> Statement:
        if isinstance(s, Loop):
            axis = self.axis(s.axis)
            self.note("loop", s.parallel, len(s.body))
            assert s.until is None and s.holds is None
            return Loop(axis, [self.statement(inner) for inner in s.body], None, s.label, None, s.parallel)
        if isinstance(s, Custom):
            self.note("custom", s.op.name, params_key(s.params), *(whole.shape for whole in (*s.inputs, *s.outputs)))
            inputs, outputs = ([Whole(self.access(w.access), w.shape) for w in wholes]
                               for wholes in (s.inputs, s.outputs))
            return Custom(s.op, s.params, inputs, outputs, s.label)
        assert isinstance(s, Nest | Contract)
        axes, over = tuple(map(self.axis, s.axes)), tuple(map(self.axis, s.reduce_axes))
        self.note(type(s).__name__, len(axes), len(over), len(s.stores))
        if isinstance(s, Contract):
            a, b = self.access(s.a), self.access(s.b)
            self.note(s.dtype.str, *(x.length for x in s.soon))
            stores = [self.store(store) for store in s.stores]
            soon = tuple(Soon(x.axis and self.axis(x.axis), self.access(x.begin), x.length) for x in s.soon)
            return Contract(axes, over, a, b, s.dtype, stores, s.label, soon=soon)
        self.note(s.combine)
        body = None if s.body is None else self.value(s.body)[1]
        return Nest(axes, [self.store(store) for store in s.stores], over, s.combine, body, s.label)

    def axis(self, axis: Axis) -> Axis:
        if axis not in self.axes:  # nests one after another may have it in common
            self.axes[axis] = Axis(f"a{len(self.axes)}", axis.extent)
        self.note("axis", self.axes[axis].name, axis.extent)
        return self.axes[axis]

    def store(self, store: Store) -> Store:
        number, value = self.value(store.value)
        self.note("store", store.accumulate, number)
        return Store(self.access(store.access), value, store.accumulate)

    def access(self, access: Access) -> Access:
        """The same element, counted from a base: what is left are the statement's own axes and what is looked up."""
        home, at = access.buffer.home, access.at
        inner = tuple((self.axes[a], c) for a, c in at.terms if a in self.axes)
        dynamic = tuple((c, *self.value(e)) for c, e in at.dynamic)
        offset = at.offset if home in self.own else 0
        base = self.own[home] if home in self.own else self.base(home, at)
        self.note("at", base.name, base.dtype.str, home.volatile, offset, _named(inner),
                  tuple((c, number) for c, number, _ in dynamic))
        return Access(base, Affine(offset, inner, tuple((c, e) for c, _, e in dynamic)))

    def base(self, home: Buffer, at: Affine) -> Buffer:
        around = Affine(at.offset, tuple((a, c) for a, c in at.terms if a not in self.axes))
        key = (home, around.key)
        if key not in self.bases:
            base = Buffer(f"base{len(self.bases)}", home.size, home.dtype, "temp", volatile=home.volatile)
            self.bases[key] = base
            self.places.append((base, Access(home, around)))
        return self.bases[key]

    def value(self, e: Any) -> tuple[int, Any]:
        """The expression, and its number among all of the statement."""
        if id(e) not in self.known:
            new = self._value(e)
            self.known[id(e)] = len(self.known), new
        return self.known[id(e)]

    def _value(self, e: Any) -> Any:
        if isinstance(e, Load):
            access = self.access(e.access)
            self.note("load", e.dtype.str)
            return Load(access, e.dtype)
        if isinstance(e, Position):
            self.note("position", e.dtype.str)
            return Position(self.position(e.at), e.dtype)
        args = [self.value(a) for a in e.args]
        numbers, values = tuple(n for n, _ in args), tuple(v for _, v in args)
        if isinstance(e, Apply):
            self.note(e.op.name, params_key(e.params), e.dtype.str, numbers)
            return Apply(e.op, values, e.params, e.dtype)
        if isinstance(e, Clamp):
            self.note("clamp", e.extent, numbers)
            return Clamp(values, e.extent, e.dtype)
        assert isinstance(e, Const | Reduced)
        self.note("acc" if isinstance(e, Reduced) else e.dtype.type(e.value).tobytes(), e.dtype.str)
        return e

    def position(self, at: Affine) -> Affine:
        """A position; what it owes to the axes around is passed to the statement."""
        inner = tuple((self.axes[a], c) for a, c in at.terms if a in self.axes)
        around = tuple((a, c) for a, c in at.terms if a not in self.axes)
        dynamic = tuple((c, *self.value(e)) for c, e in at.dynamic)
        self.note(at.offset, bool(around), _named(inner), tuple((c, number) for c, number, _ in dynamic))
        if around:
            passed = Axis(f"p{len(self.positions)}", 1)
            self.positions.append((passed, Affine(0, around)))
            inner = (*inner, (passed, 1))
        return Affine(at.offset, inner, tuple((c, e) for c, _, e in dynamic))


def _named(terms: Sequence[tuple[Axis, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((a.name, c) for a, c in terms)
