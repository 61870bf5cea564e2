"""The chain rule for one element: columns of derivatives between named nodes, and the paths of their products."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.notation import ONE, Index, Term, Terms, product, seen, total
from chainrule.inspect.passes import Edge, Passes, pushed

_EXPANSIONS = 2000  # steps of the search for paths
_MOVED = frozenset(("broadcast", "reshape", "transpose", "slice", "sum", "copy", "cast", "concatenate", "pad", "take",
                    "flip", "after", "project", "windows", "fold"))


@dataclass(frozen=True)
class Step:
    """One factor of a path: ∂target/∂source for single elements, its number, and its formula where there is one."""

    source: Node
    at: Index
    target: Node
    to: Index
    value: float
    formula: Term | None


@dataclass
class Way:
    """A path from an element to the result: the factors, and their product."""

    steps: list[Step] = field(default_factory=list)
    value: float = 1.0


class Chain:
    """Derivatives between the ``kept`` nodes of two passes: what lies between two of them counts as one step."""

    def __init__(self, passes: Passes, kept: Sequence[Node], terms: dict[Node, Term]) -> None:
        self.passes, self.kept, self.terms = passes, set(kept), terms
        self.number = {n: k for k, n in enumerate(passes.flat.nodes)}
        self._columns: dict[tuple[Node, Index], dict[Node, np.ndarray]] = {}
        reaches = {passes.output}
        for node in reversed(passes.flat.nodes):
            if any(e.target in reaches and e.outgoing is not None for e in passes.out_of[node]):
                reaches.add(node)
        self.reaches = reaches

    def column(self, node: Node, at: Index) -> dict[Node, np.ndarray]:
        """The derivative of each kept node by one element of ``node``, on the ways without another kept node."""
        known = self._columns.get((node, at))
        if known is None:
            known = self._columns[node, at] = self._column(node, at)
        return known

    def _column(self, node: Node, at: Index) -> dict[Node, np.ndarray]:
        unit = np.zeros(node.shape, node.dtype)
        unit[at] = 1
        tangent: dict[Node, Any] = {node: unit}
        found: dict[Node, np.ndarray] = {}
        heap = [(self.number[e.target], e.target) for e in self.passes.out_of[node]]
        seen: set[Node] = set()
        heap = [(k, n) for k, n in heap if n in self.reaches]
        heapq.heapify(heap)
        while heap:
            _, target = heapq.heappop(heap)
            if target in seen:
                continue
            seen.add(target)
            t = self._tangent(target, tangent)
            if t is None:
                continue
            if target in self.kept:
                found[target] = t
                continue
            tangent[target] = t
            for e in self.passes.out_of[target]:
                if e.target in self.reaches:
                    heapq.heappush(heap, (self.number[e.target], e.target))
        return found

    @staticmethod
    def _tangent(node: Node, tangent: dict[Node, Any]) -> Any:
        given = {k: tangent[i] for k, i in enumerate(node.inputs) if i in tangent}
        if node.op.kind == "project":
            return tangent[node.inputs[0]][node.params["index"]]
        return pushed(node, given)

    def by_node(self, node: Node, at: Index) -> list[tuple[Node, float]]:
        """The derivative of the result by one element, split by the kept nodes that it goes to first."""
        return [(v, float(np.sum(column * self.passes.grad[v]))) for v, column in self.column(node, at).items()
                if v in self.passes.grad]

    def ways(self, node: Node, at: Index, most: int) -> tuple[list[Way], bool]:
        """The paths to the result, those of the largest sums first; and whether they are all.

        A prefix of paths is weighed by the sum of all paths that begin with it: its product times the gradient at
        its end. So no path is followed that nothing comes of.
        """
        order = count()
        heap: list[tuple[float, int, Way, Node, Index]] = [(0.0, next(order), Way(), node, at)]
        found: list[Way] = []
        cut = False
        for _ in range(_EXPANSIONS):
            if not heap or len(found) == most:
                break
            _, _, way, u, i = heapq.heappop(heap)
            if u is self.passes.output:
                found.append(way)
                continue
            for v, column in self.column(u, i).items():
                weights = np.abs(column * self.passes.grad[v]) * abs(way.value) if v in self.passes.grad else column * 0
                cut = cut or bool(np.count_nonzero(column) > most)
                for j in _largest(column, weights, most):
                    step = Step(u, i, v, j, float(column[j]), None)
                    longer = Way([*way.steps, step], way.value * step.value)
                    heapq.heappush(heap, (-float(weights[j]), next(order), longer, v, j))
        for way in found:
            way.steps = [Step(s.source, s.at, s.target, s.to, s.value, self.formula(s)) for s in way.steps]
        return found, not heap and not cut

    # -- the formula of one factor

    def formula(self, step: Step) -> Term | None:
        """The derivative of one element by another as a formula, where the way between is that of single elements."""
        found: Term | None = None
        for edges in self._between(step.source, step.target):
            term = self._factors(edges, step)
            if term is None:
                return None
            found = total(found, term)
        return found

    def _between(self, source: Node, target: Node) -> list[list[Edge]]:
        """The ways of operations from ``source`` to ``target`` without a kept node between; at most a few."""
        ways: list[list[Edge]] = []
        stack: list[list[Edge]] = [[e] for e in self.passes.into[target] if e.outgoing is not None]
        while stack and len(ways) < 4 and len(stack) < 100:
            way = stack.pop()
            first = way[0].source
            if first is source:
                ways.append(way)
            elif first not in self.kept:
                stack += [[e, *way] for e in self.passes.into[first] if e.outgoing is not None]
        return ways

    def _factors(self, edges: list[Edge], step: Step) -> Term | None:
        places: list[Index | None] = [step.at, *[None] * len(edges)]
        for k, e in enumerate(edges):  # as far as the element can be followed forward
            places[k + 1] = _after(e, places[k])
        back: Index | None = step.to
        for k in range(len(edges), -1, -1):  # and backward, which is sure
            if back is None:
                break
            places[k] = back
            back = _before(edges[k - 1], back) if k else None
        places[0] = step.at
        found = ONE
        for e, i, o in zip(edges, places, places[1:], strict=False):
            factor = self._factor(e, i, o)
            if factor is None:
                return None
            found = product(factor, found)
        return found

    def _factor(self, edge: Edge, i: Index | None, o: Index | None) -> Term | None:
        node = edge.target
        if node.op.name in _MOVED:
            return ONE
        if node.op.kind == "elementwise" and edge.rule is not None and o is not None:
            return Terms(self.terms, edge.rule.names, edge.rule.seed).of(edge.rule.result, o or None)
        if node.op.kind == "contract" and i is not None and o is not None:
            labels = [node.params["a_axes"], node.params["b_axes"]]
            place = {**dict(zip(node.params["out_axes"], o, strict=True)),
                     **dict(zip(labels[edge.slot], i, strict=True))}
            other = node.inputs[1 - edge.slot]
            at = tuple(place[x] for x in labels[1 - edge.slot])
            return Terms(self.terms).of(other, at or None)
        return None


def _largest(column: np.ndarray, weights: np.ndarray, most: int) -> list[Index]:
    """The elements that are not 0, the weightiest first, not more than that many."""
    places = np.argwhere(column != 0) if column.ndim else ([()] if column != 0 else [])
    found = [tuple(int(k) for k in p) for p in places]
    return sorted(found, key=lambda p: -float(weights[p]))[:most]


def _before(edge: Edge, at: Index) -> Index | None:
    """The element of the operand that an element of the result is made of, if it is one."""
    return at if edge.target.op.kind == "elementwise" else seen(edge.target, at)


def _after(edge: Edge, at: Index | None) -> Index | None:
    """The element of the result that an element of the operand becomes, if it is one."""
    node, x = edge.target, edge.source
    if at is None:
        return None
    if node.op.kind == "elementwise":
        return at
    if node.op.name == "reshape":
        return _at(int(np.ravel_multi_index(at, x.shape)) if at else 0, node.shape)
    if node.op.name == "transpose":
        return tuple(at[k] for k in node.params["axes"])
    if node.op.name == "sum":
        return tuple(k for axis, k in enumerate(at) if axis not in node.params["axes"])
    return None


def _at(flat: int, shape: tuple[int, ...]) -> Index:
    return tuple(int(k) for k in np.unravel_index(flat, shape)) if shape else ()


__all__ = ["Chain", "Step", "Way"]
