"""What a graph costs: floating-point operations, bytes moved, parameters. Counted, not measured.

The conventions:

* an elementwise operation is 1 flop per element; those of many instructions (``COSTLY``: exp, log, tanh, …) are counted
  apart, as *special*: one of them is worth some 5 to 20 flops. Copies and conversions are none.
* a reduction is 1 flop per element that it reads, a contraction 2·M·N·K: a multiply and an add.
* views (transpose, slice, broadcast, reshape) cost nothing, neither flops nor bytes.
* bytes are those that would move without fusion: every operation reads its operands and writes its result. An operand
  seen through a view counts as often as it lies in memory. Fusion saves a good part of that.
* a ``scan`` counts as often as its length (where it can end earlier, that is the most), a loop of unknown length as one
  turn, a choice between graphs as the dearest of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from chainrule.lazy import lazy

consoles, tables = lazy("rich.console"), lazy("rich.table")

# Operations of many instructions: worth a vector loop of their own rather than a place in every register tile.
COSTLY = frozenset((
    "exp exp2 expm1 log log2 log10 log1p pow sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh "
    "arctanh sigmoid softplus erf threefry floor_divide remainder").split())
_FREE = frozenset("input constant project view iota".split())  # kinds
_NO_WORK = frozenset("copy stop_gradient cast poll".split())  # names
_FAMILIES = {"elementwise": "elementwise", "reduce": "reductions", "contract": "contractions"}  # by kind
_MOVEMENT = "data movement"


@dataclass
class Row:
    """The sums over the operations of one family."""

    operations: int = 0
    flops: int = 0
    special: int = 0
    bytes: int = 0

    def add(self, other: Row, times: int = 1) -> None:
        """Add ``other`` that many times."""
        self.operations += times * other.operations
        self.flops += times * other.flops
        self.special += times * other.special
        self.bytes += times * other.bytes


@dataclass(repr=False)
class Cost:
    """What :meth:`chainrule.Graph.cost` gives; its print is a table.

    Attributes:
        flops: additions, multiplications and the like.
        special: evaluations of functions that take many instructions (exp, log, tanh, …), not among ``flops``.
        bytes: read and written by all operations one by one, without fusion.
        parameters: elements of the inputs that are parameters.
        families: the same by kind of operation: ``contractions``, ``reductions``, ``elementwise``, ``data movement``.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> w, x = np.ones((4, 3), np.float32), np.ones((5, 4), np.float32)
        >>> print(cr.trace(lambda w, x: np.sum(np.tanh(x @ w)), w, x).cost())
                      operations  flops  special  bytes
        contractions           1    120        0    188
        reductions             1     15        0     64
        elementwise            1      0       15    120
        total                  3    135       15    372
        parameters: 12
    """

    parameters: int
    families: dict[str, Row] = field(default_factory=dict)

    @property
    def total(self) -> Row:
        """The sums over all families."""
        row = Row()
        for each in self.families.values():
            row.add(each)
        return row

    @property
    def flops(self) -> int:
        """Of all families."""
        return self.total.flops

    @property
    def special(self) -> int:
        """Of all families."""
        return self.total.special

    @property
    def bytes(self) -> int:
        """Of all families."""
        return self.total.bytes

    def __str__(self) -> str:
        table = tables.Table(box=None, pad_edge=False)
        table.add_column("")
        for name in ("operations", "flops", "special", "bytes"):
            table.add_column(name, justify="right")
        for name, row in [*self.families.items(), ("total", self.total)]:
            table.add_row(name, *(f"{n:,}" for n in (row.operations, row.flops, row.special, row.bytes)))
        console = consoles.Console(width=100, highlight=False, no_color=True)
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines()]
        return "\n".join([*lines, f"parameters: {self.parameters:,}"])

    __repr__ = __str__


def measure(graph: Any, parameters: int) -> Cost:
    """The cost of a graph, whose parameters have that many elements."""
    found = _families(graph)
    order = ("contractions", "reductions", "elementwise", _MOVEMENT)
    return Cost(parameters, {name: found[name] for name in order if name in found})


def _families(graph: Any) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    own = set(graph.inputs)
    for node in graph.nodes:
        if node in own or node.op.kind in _FREE:
            continue
        bodies = [_families(body) for _, body in node.bodies]
        if node.op.kind == "switch":
            bodies = [max(bodies, key=_weight)]
        for body in bodies:
            for name, row in body.items():
                rows.setdefault(name, Row()).add(row, int(node.params.get("length") or 1))
        if not bodies:
            rows.setdefault(_FAMILIES.get(node.op.kind, _MOVEMENT), Row()).add(_alone(node))
    return rows


def _weight(families: dict[str, Row]) -> tuple[int, int]:
    return sum(r.flops + r.special for r in families.values()), sum(r.bytes for r in families.values())


def _alone(node: Any) -> Row:
    """The cost of one node without graphs of its own."""
    flops = special = 0
    kind, name = node.op.kind, node.op.name
    if kind == "elementwise":
        special = node.size if name in COSTLY else 0
        flops = 0 if name in COSTLY or name in _NO_WORK else node.size
    elif kind == "reduce":
        flops = node.inputs[0].size
    elif kind == "contract":
        a, b = node.inputs
        extents = {**dict(zip(node.params["a_axes"], a.shape, strict=True)),
                   **dict(zip(node.params["b_axes"], b.shape, strict=True))}
        flops = 2 * math.prod(extents.values())
    elif kind == "scatter_add":
        flops = node.inputs[0].size
    return Row(1, flops, special, _bytes(node) + sum(_stored(i) for i in node.inputs))


def _bytes(node: Any) -> int:
    if isinstance(node.dtype, tuple):
        return sum(math.prod(s) * d.itemsize for s, d in zip(node.shape, node.dtype, strict=True))
    return int(node.size * node.dtype.itemsize)


def _stored(node: Any) -> int:
    """The bytes that reading a node takes: through views, no more than there are."""
    least = _bytes(node)
    while node.op.kind == "view":
        node = node.inputs[0]
        least = min(least, _bytes(node))
    value = node.params.get("value")
    if value is not None and value.size and not any(value.strides):
        least = min(least, int(value.dtype.itemsize))
    return least


__all__ = ["COSTLY", "Cost", "Row"]
