"""The loop-nest IR: what is computed, over which axes, reading and writing which elements.

    statement   Nest | Contract | Custom | Loop | Branch
    Nest        for axes: [reduce over axes:] stores
    Contract    for axes: Σ over axes of load·load, then stores
    Loop        repeat statements along an axis, until a flag is set or while one is
    Branch      one of several lists of statements
    Store       access := expression   (or +=)
    expression  Load | Const | Position | Apply | Reduced
    access      buffer [offset + Σ stride·axis + Σ stride·expression]

A nest says nothing about the order or grouping of iterations: that is the schedule's. This file holds the data and
its printer; ``compiler/interpret.py`` is the meaning. The classes are dataclasses without extras (comparison,
repr, slots), which would be compiled anew at every import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import dtypes


@dataclass(eq=False, repr=False, match_args=False)
class Axis:
    """An iteration axis of a nest or loop."""

    name: str
    extent: int

    def __repr__(self) -> str:
        return self.name


@dataclass(eq=False, repr=False, match_args=False)
class Buffer:
    """Memory of ``size`` elements. ``kind``: input, output, constant (all passed in) or temp (in the arena)."""

    name: str
    size: int
    dtype: np.dtype
    kind: str
    position: int = -1  # among the pointers passed in
    offset: int = -1  # bytes from the start of the arena
    volatile: bool = False  # may change while the program runs
    shares: Buffer | None = None  # the buffer whose memory this one has taken over

    def __repr__(self) -> str:
        return self.home.name

    @property
    def home(self) -> Buffer:
        """The buffer whose memory this is."""
        return self if self.shares is None else self.shares.home


@dataclass(eq=False, repr=False, match_args=False)
class Affine:
    """offset + Σ coefficient·axis + Σ coefficient·expression: an index along one dimension."""

    offset: int = 0
    terms: tuple[tuple[Axis, int], ...] = ()
    dynamic: tuple[tuple[int, Any], ...] = ()

    def affine(self, scale: int, shift: int) -> Affine:
        """scale·self + shift."""
        return Affine(self.offset * scale + shift, tuple((a, c * scale) for a, c in self.terms),
                      tuple((c * scale, e) for c, e in self.dynamic))

    def plus(self, other: Affine) -> Affine:
        terms: dict[Axis, int] = {}
        for a, c in self.terms + other.terms:
            terms[a] = terms.get(a, 0) + c
        return Affine(self.offset + other.offset, tuple((a, c) for a, c in terms.items() if c),
                      self.dynamic + other.dynamic)

    @property
    def key(self) -> Any:
        return (self.offset, frozenset((id(a), c) for a, c in self.terms), tuple((c, id(e)) for c, e in self.dynamic))

    def stride(self, axis: Axis) -> int:
        return next((c for a, c in self.terms if a is axis), 0)

    def __str__(self) -> str:
        parts = [f"{c}·{a}" if c != 1 else f"{a}" for a, c in self.terms]
        parts += [f"{c}·({e})" if c != 1 else f"({e})" for c, e in self.dynamic]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)


@dataclass(eq=False, repr=False, match_args=False)
class Access:
    """One element of a buffer for each index point."""

    buffer: Buffer
    at: Affine

    def __str__(self) -> str:
        return f"{self.buffer}[{self.at}]"


# ---------------------------------------------------------------- expressions


@dataclass(eq=False, repr=False, match_args=False)
class Load:
    access: Access
    dtype: np.dtype

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(e for _, e in self.access.at.dynamic)

    def __str__(self) -> str:
        return str(self.access)


@dataclass(eq=False, repr=False, match_args=False)
class Const:
    value: Any
    dtype: np.dtype
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.value:g}" if dtypes.is_float(self.dtype) else str(self.value)


@dataclass(eq=False, repr=False, match_args=False)
class Position:
    """The index point itself as a number."""

    at: Affine
    dtype: np.dtype

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(e for _, e in self.at.dynamic)

    def __str__(self) -> str:
        return f"position({self.at})"


@dataclass(eq=False, repr=False, match_args=False)
class Apply:
    op: Any
    args: tuple[Any, ...]
    params: dict[str, Any]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.op.name}({', '.join(map(str, self.args))})"


@dataclass(eq=False, repr=False, match_args=False)
class Clamp:
    """An index kept inside an axis: min(max(x, 0), extent - 1), as int64."""

    args: tuple[Any, ...]
    extent: int
    dtype: np.dtype

    def __str__(self) -> str:
        return f"clamp({self.args[0]}, {self.extent})"


@dataclass(eq=False, repr=False, match_args=False)
class Reduced:
    """The result of the nest's reduction (or contraction), for use in its stores."""

    dtype: np.dtype
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return "acc"


# ---------------------------------------------------------------- statements


@dataclass(eq=False, repr=False, match_args=False)
class Store:
    access: Access
    value: Any
    accumulate: bool = False

    def __str__(self) -> str:
        return f"{self.access} {'+=' if self.accumulate else '='} {self.value}"


@dataclass(eq=False, repr=False, match_args=False)
class Nest:
    """``stores`` at every point of ``axes``; with ``combine``, after combining ``body`` over ``reduce_axes``."""

    axes: tuple[Axis, ...]
    stores: list[Store]
    reduce_axes: tuple[Axis, ...] = ()
    combine: str | None = None
    body: Any = None
    label: str = ""
    loaded: tuple[Access, ...] | None = None


@dataclass(eq=False, repr=False, match_args=False)
class Soon:
    """Rows of ``length`` elements that will be read soon: where each begins along ``axis``; one row without an axis.

    The beginnings along an axis are loaded from a table, whose last one is followed by an entry of no matter.
    """

    axis: Axis | None
    begin: Access
    length: int

    def __str__(self) -> str:
        each = "" if self.axis is None else f" for each {self.axis} < {self.axis.extent}"
        return f"soon {self.begin}, {self.length} elements{each}"


@dataclass(eq=False, repr=False, match_args=False)
class Contract:
    """``acc = Σ over reduce_axes of a·b`` in ``dtype``, which a and b are made as they are read; then ``stores``.

    ``soon``: what may be fetched to the caches meanwhile.
    """

    axes: tuple[Axis, ...]
    reduce_axes: tuple[Axis, ...]
    a: Access
    b: Access
    dtype: np.dtype
    stores: list[Store]
    label: str = ""
    loaded: tuple[Access, ...] | None = None
    soon: tuple[Soon, ...] = ()


@dataclass(eq=False, repr=False, match_args=False)
class Whole:
    """A dense array of ``shape`` that begins at an access."""

    access: Access
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.access.buffer.dtype


@dataclass(eq=False, repr=False, match_args=False)
class Custom:
    """A kernel that an operation emits itself, from whole arrays to whole arrays."""

    op: Any
    params: dict[str, Any]
    inputs: list[Whole]
    outputs: list[Whole]
    label: str = ""


@dataclass(eq=False, repr=False, match_args=False)
class Loop:
    """``body`` for every point of ``axis`` in order.

    Ends after a turn that leaves ``until`` True, and before one where ``holds`` is False. Or its turns are independent.
    """

    axis: Axis
    body: list[Any]
    until: Access | None = None
    label: str = ""
    holds: Access | None = None
    parallel: bool = False


@dataclass(eq=False, repr=False, match_args=False)
class Branch:
    """The one of ``bodies`` that ``index`` (int32) names."""

    index: Access
    bodies: list[list[Any]]
    label: str = ""


Statement = Nest | Contract | Custom | Loop | Branch


@dataclass
class Program:
    """Statements and the buffers they use. ``inputs`` and ``outputs`` are in the caller's order."""

    statements: list[Statement]
    inputs: list[Buffer]
    outputs: list[Buffer]
    constants: list[tuple[Buffer, np.ndarray]]
    temps: list[Buffer] = field(default_factory=list)
    arena: int = 0

    def __str__(self) -> str:
        lines = [f"program({_listed(self.inputs)}) -> {_listed(self.outputs)}"]
        if self.arena:
            places = (f"{_declared(b)} at {b.offset}" for b in self.temps)
            lines.append(f"  arena {self.arena} bytes: {', '.join(places)}")
        for s in self.statements:
            lines += _print(s, "  ")
        return "\n".join(lines)


def _listed(buffers: Sequence[Buffer]) -> str:
    return ", ".join(_declared(b) for b in buffers)


def _declared(b: Buffer) -> str:
    return f"{b.name}: {b.dtype.name}[{b.size}]"


def _print(s: Statement, indent: str) -> list[str]:
    label = f"  # {s.label}" if s.label else ""
    if isinstance(s, Loop):
        head = f"while {s.holds}" if s.holds else f"repeat {s.axis} < {s.axis.extent}"
        until = f" until {s.until}" if s.until else ""
        return [f"{indent}{head}{until}:{label}"] + [line for inner in s.body for line in _print(inner, indent + "  ")]
    if isinstance(s, Branch):
        lines = [f"{indent}switch {s.index}:{label}"]
        for k, body in enumerate(s.bodies):
            lines += [f"{indent}  case {k}:", *(line for inner in body for line in _print(inner, indent + "    "))]
        return lines
    if isinstance(s, Custom):
        results, arguments = (", ".join(str(w.access) for w in wholes) for wholes in (s.outputs, s.inputs))
        return [f"{indent}{results} = {s.op.name}({arguments}){label}"]
    head = "for " + ", ".join(f"{a} < {a.extent}" for a in s.axes) + ":" if s.axes else "once:"
    lines = [indent + head + label]
    over = ", ".join(f"{a} < {a.extent}" for a in s.reduce_axes)
    if isinstance(s, Contract):
        lines += [f"{indent}  {soon}" for soon in s.soon]
        lines.append(f"{indent}  acc = sum over {over} of {s.a} * {s.b}")
    elif s.combine:
        lines.append(f"{indent}  acc = {s.combine} over {over} of {s.body}")
    return lines + [f"{indent}  {store}" for store in s.stores]


# ---------------------------------------------------------------- what a statement touches


def expressions(roots: Sequence[Any]) -> list[Any]:
    """Every expression under ``roots``, arguments first, each once."""
    seen: set[int] = set()
    order: list[Any] = []
    stack = [(r, False) for r in reversed(roots)]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
        elif id(e) not in seen:
            seen.add(id(e))
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args))
    return order


def roots(s: Nest | Contract) -> list[Any]:
    """The expressions that a nest evaluates."""
    out = [store.value for store in s.stores]
    out += [e for store in s.stores for _, e in store.access.at.dynamic]
    if isinstance(s, Nest) and s.body is not None:
        out.append(s.body)
    return out


def reads(s: Statement) -> Iterator[Access]:
    """Every access that a statement loads from."""
    if isinstance(s, Loop):
        yield from (a for a in (s.until, s.holds) if a)
        for inner in s.body:
            yield from reads(inner)
    elif isinstance(s, Branch):
        yield s.index
        for body in s.bodies:
            for inner in body:
                yield from reads(inner)
    elif isinstance(s, Custom):
        yield from (whole.access for whole in s.inputs)
    else:
        if s.loaded is None:  # asked for again and again, and no pass changes a nest in place
            both = (s.a, s.b, *(x.begin for x in s.soon)) if isinstance(s, Contract) else ()
            values = [*roots(s), *(e for x in both for _, e in x.at.dynamic)]
            found = [e.access for e in expressions(values) if isinstance(e, Load)]
            s.loaded = (*both, *found, *(store.access for store in s.stores if store.accumulate))
        yield from s.loaded


def writes(s: Statement) -> Iterator[Access]:
    """Every access that a statement stores to."""
    if isinstance(s, Loop):
        for inner in s.body:
            yield from writes(inner)
    elif isinstance(s, Branch):
        for body in s.bodies:
            for inner in body:
                yield from writes(inner)
    elif isinstance(s, Custom):
        yield from (whole.access for whole in s.outputs)
    else:
        for store in s.stores:
            yield store.access
