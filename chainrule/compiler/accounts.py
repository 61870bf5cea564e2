"""What a compiled program needs and moves: bytes of memory, and bytes loaded and stored by its loop nests.

Counted, not measured. A statement reads each element of an operand once, however often it uses it, and keeps sums in
registers: what a program moves if its caches hold the operands of one statement, and nothing from one to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from chainrule.compiler.loops import (
    Access,
    Axis,
    Branch,
    Buffer,
    Contract,
    Custom,
    Load,
    Loop,
    Nest,
    Position,
    Program,
    Statement,
    expressions,
    reads,
    writes,
)
from chainrule.cost import Cost
from chainrule.lazy import lazy

consoles, tables = lazy("rich.console"), lazy("rich.table")

_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


@dataclass(frozen=True, repr=False)
class Memory:
    """The bytes that one call of a compiled function needs; its print is a table.

    Attributes:
        arguments: of the arrays passed in.
        results: of the arrays returned, without those that take over the memory of a donated argument.
        constants: of arrays that are part of the program.
        arena: of all temporaries: values that are never alive at the same time share their place.
        scratch: of working memory inside single statements, of all threads: packed operands and partial sums of
            contractions.
        unshared: what the temporaries would take if each had a place of its own.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> x, w = np.ones((100, 32), np.float32), np.ones((32, 32), np.float32)
        >>> cr.jit(lambda x, w: np.sum(np.tanh(np.tanh(x @ w) @ w))).memory(x, w)
        arguments     16.5 KiB
        results            4 B
        constants          0 B
        temporaries   25.0 KiB   37.5 KiB without sharing
        scratch            0 B
        total         41.5 KiB
    """

    arguments: int
    results: int
    constants: int
    arena: int
    scratch: int
    unshared: int

    @property
    def total(self) -> int:
        """All of it: the peak while the function runs."""
        return self.arguments + self.results + self.constants + self.arena + self.scratch

    def __repr__(self) -> str:
        rows = [("arguments", self.arguments), ("results", self.results), ("constants", self.constants),
                ("temporaries", self.arena), ("scratch", self.scratch), ("total", self.total)]
        lines = [f"{name:12}{size(n):>10}" for name, n in rows]
        lines[3] += f"   {size(self.unshared)} without sharing"
        return "\n".join(lines)


def memory_of(program: Program, work: int, workers: int) -> Memory:
    """The memory of a planned program that works in ``work`` bytes, the arena and the scratch memory behind it.

    ``workers``: bytes of scratch memory that further threads need.
    """
    inputs = {b.home for b in program.inputs}
    results = {b.home for b in program.outputs} - inputs
    return Memory(_bytes(program.inputs), _bytes(results), sum(int(v.nbytes) for _, v in program.constants),
                  program.arena, max(0, work - program.arena) + workers, _bytes(program.temps))


def size(count: int) -> str:
    """Bytes in a unit that fits.

    >>> size(1536), size(12)
    ('1.5 KiB', '12 B')
    """
    return next((f"{count / scale:.1f} {unit}" for unit, scale in _UNITS if count >= scale), f"{count} B")


def _bytes(buffers: Iterator[Buffer] | Sequence[Buffer] | set[Buffer]) -> int:
    return sum(b.size * b.dtype.itemsize for b in buffers)


# ---------------------------------------------------------------- traffic


@dataclass
class Moved:
    """The sums over the statements of one family."""

    statements: int = 0
    loaded: int = 0
    stored: int = 0

    def add(self, other: Moved, times: int = 1) -> None:
        """Add ``other``, with what it moves that many times."""
        self.statements += other.statements
        self.loaded += times * other.loaded
        self.stored += times * other.stored


@dataclass(repr=False)
class Traffic:
    """The bytes that a program's statements load and store, by family, beside :meth:`chainrule.Graph.cost`.

    Loops count as in ``cost``: as often as their length says, one of unknown length as one turn, and of several
    branches the one that moves most.
    """

    cost: Cost
    families: dict[str, Moved] = field(default_factory=dict)

    @property
    def total(self) -> Moved:
        """The sums over all families."""
        total = Moved()
        for moved in self.families.values():
            total.add(moved)
        return total

    def __str__(self) -> str:
        table = tables.Table(box=None, pad_edge=False)
        table.add_column("")
        for name in ("operations", "bytes, unfused", "statements", "loaded", "stored", "moved"):
            table.add_column(name, justify="right")
        for name in dict.fromkeys((*self.cost.families, *self.families)):
            row, moved = self.cost.families.get(name), self.families.get(name, Moved())
            table.add_row(name, *((f"{row.operations:,}", f"{row.bytes:,}") if row else ("", "")), *_cells(moved))
        table.add_row("total", f"{self.cost.total.operations:,}", f"{self.cost.bytes:,}", *_cells(self.total))
        console = consoles.Console(width=110, highlight=False, no_color=True)
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines()]
        total, unfused = self.total.loaded + self.total.stored, self.cost.bytes
        return "\n".join([*lines, f"moved: {total / max(unfused, 1):.0%} of what the operations would move one by one"])

    __repr__ = __str__


def _cells(moved: Moved) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in (moved.statements, moved.loaded, moved.stored, moved.loaded + moved.stored))


def traffic_of(program: Program, cost: Cost) -> Traffic:
    """What a program moves, beside the cost of the graph that it was made from."""
    found = _families(program.statements)
    order = ("contractions", "reductions", "elementwise", "data movement")
    return Traffic(cost, {name: found[name] for name in order if name in found})


def _families(statements: Sequence[Statement]) -> dict[str, Moved]:
    rows: dict[str, Moved] = {}

    def add(families: dict[str, Moved], times: int = 1) -> None:
        for name, moved in families.items():
            rows.setdefault(name, Moved()).add(moved, times)
    for s in statements:
        if isinstance(s, Loop):
            add(_families(s.body), 1 if s.holds is not None else s.axis.extent)
        elif isinstance(s, Branch):
            add(max(map(_families, s.bodies), key=lambda f: sum(m.loaded + m.stored for m in f.values())))
        else:
            add({_family(s): _alone(s)})
    return rows


def _family(s: Statement) -> str:
    if isinstance(s, Contract):
        return "contractions"
    if isinstance(s, Nest) and s.combine:
        return "reductions"
    return "data movement" if isinstance(s, Custom) or _only_moves(s) else "elementwise"


def _only_moves(s: Statement) -> bool:
    return isinstance(s, Nest) and all(isinstance(store.value, Load) or not store.value.args for store in s.stores)


def _alone(s: Statement) -> Moved:
    if isinstance(s, Custom):
        return Moved(1, *(sum(prod(w.shape) * w.dtype.itemsize for w in wholes) for wholes in (s.inputs, s.outputs)))
    own = {*s.axes, *s.reduce_axes} if isinstance(s, Nest | Contract) else set()
    return Moved(1, _footprint(reads(s), own), _footprint(writes(s), own))


def _footprint(accesses: Iterator[Access], own: set[Axis]) -> int:
    """Bytes of the elements that accesses touch along a statement's own axes, each once; no more than a buffer has."""
    touched: dict[Buffer, int] = {}
    for access in {(a.buffer.home, a.at.key): a for a in accesses}.values():
        n = prod(axis.extent for axis in _axes(access) & own)
        touched[access.buffer.home] = touched.get(access.buffer.home, 0) + n
    return sum(min(n, b.size) * b.dtype.itemsize for b, n in touched.items())


def _axes(access: Access) -> set[Axis]:
    """The axes that an access moves along, also by way of an index that is an expression."""
    found = {axis for axis, c in access.at.terms if c}
    for e in expressions([e for _, e in access.at.dynamic]):
        if isinstance(e, Load):
            found |= _axes(e.access)
        elif isinstance(e, Position):
            found |= {axis for axis, c in e.at.terms if c}
    return found


__all__ = ["Memory", "Moved", "Traffic", "memory_of", "size", "traffic_of"]
