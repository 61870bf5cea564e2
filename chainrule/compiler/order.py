"""Large arrays are read for the last time as early as can be.

Needs: a program of nests over buffers. Gives: the same statements in another order. Gradients of weights are small, and
nothing needs them before the update at the end; what they are made from is large. Where such a sum stands at the end,
all that it reads stays in memory until then. So it moves to right behind what it needs, where that frees more than its
result takes. Before and after::

    d2 = d3 @ w3.T                               d2 = d3 @ w3.T
    d1 = d2 @ w2.T                               g3 = x3.T @ d3      # nobody reads x3 and d3 any more
    …                                            d1 = d2 @ w2.T
    g3 = x3.T @ d3                               g2 = x2.T @ d2
    g2 = x2.T @ d2                               …
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, starmap
from math import inf

from chainrule.compiler.loops import Access, Branch, Buffer, Contract, Loop, Nest, Program, Statement, reads, writes

LEAST = 1 << 18  # bytes that must be freed
FEW = 2  # statements for which that is not worth it


def free_early(program: Program) -> Program:
    """Move the sums, in the program and inside of its loops and branches."""
    program.statements = _ordered(program.statements)
    return program


Places = Mapping[Buffer, Sequence[tuple[float, float]]]  # from the first to the last element of each access


@dataclass(frozen=True, eq=False)
class Uses:
    """A statement, and where it reads and writes."""

    statement: Statement
    read: Places
    written: Places

    @classmethod
    def of(cls, s: Statement) -> Uses:
        return cls(s, _places(reads(s)), _places(writes(s)))

    def waits_for(self, other: Uses) -> bool:
        """Whether it must stay behind another one."""
        return any(starmap(_meet, ((self.read, other.written), (self.written, other.read),
                                   (self.written, other.written))))


def _places(accesses: Iterable[Access]) -> Places:
    found: dict[Buffer, list[tuple[float, float]]] = {}
    for access in accesses:
        at = access.at
        ends = [c * (a.extent - 1) for a, c in at.terms]
        low, high = (at.offset + sum(f(n, 0) for n in ends) for f in (min, max))
        found.setdefault(access.buffer.home, []).append((-inf, inf) if at.dynamic else (low, high))
    return found


def _meet(x: Places, y: Places) -> bool:
    """Whether an element may be in both. Arrays that are put together of several have parts that are apart."""
    return any(low <= last and first <= high for b in x.keys() & y.keys()
               for (low, high), (first, last) in product(x[b], y[b]))


def _ordered(statements: Sequence[Statement]) -> list[Statement]:
    order: list[Uses] = []
    for s in statements:
        if isinstance(s, Branch):
            s.bodies = [_ordered(body) for body in s.bodies]
        elif isinstance(s, Loop) and not s.parallel:
            s.body = _ordered(s.body)
        order.append(Uses.of(s))
    users: dict[Buffer, list[Uses]] = {}
    for uses in order:
        for b in {*uses.read, *uses.written}:
            users.setdefault(b, []).append(uses)
    for uses in [uses for uses in order if _is_sum(uses)]:
        place = {other: k for k, other in enumerate(order)}
        now, freed = place[uses], 0
        for b in uses.read:
            others = [place[other] for other in users[b] if other is not uses]
            if b.kind == "temp" and others and now > max(others) + FEW:
                freed += b.size * b.dtype.itemsize
        made = sum((high - low + 1) * b.dtype.itemsize for b, ends in uses.written.items() for low, high in ends)
        if freed > LEAST + made:
            to = 1 + next((k for k in reversed(range(now)) if uses.waits_for(order[k])), -1)
            order.insert(to, order.pop(now))
    return [uses.statement for uses in order]


def _is_sum(uses: Uses) -> bool:
    """Whether a statement is a sum, of arrays that no other thread writes."""
    s = uses.statement
    if not isinstance(s, Contract) and not (isinstance(s, Nest) and s.combine is not None):
        return False
    return not any(b.volatile for b in (*uses.read, *uses.written))
