"""``fold`` → contractions or sums of slices.

``fold`` adds what windows of an array hold to the places that they saw. Its compiled form turns that around: every
place takes what saw it, from neighbouring positions, which is a sum over a window again. A window of stride s meets
places in s ways, one for each remainder: these *phases* are computed apart and put together, so that no product with
a zero is ever made.

Needs: any graph. Gives: a graph of the same meaning without ``fold``.

    %2 = contract(%ct, %kernel) abc,dec→abde        the gradient of a convolution's input: a convolution
    %3 = fold(%2)                             →     of the padded cotangent with the kernel turned around

What windows that overlap hold is not stored, as it is larger than the result, if each place can find what it takes:
the windows hold equal numbers, or such numbers where a condition holds for what they see.

    %2 = mul(broadcast(%ct), windows(%x) == broadcast(%max))        the gradient of pooling: for each offset what
    %3 = fold(%2)                                             →     the position there gave, if x is its maximum
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import ceil, gcd
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.compiler.tiles import Tiles
from chainrule.graph import Graph, Node, graphs_in, map_graphs
from chainrule.ops import elementwise as ew
from chainrule.ops.contract import contract
from chainrule.ops.declare import convert, expand
from chainrule.ops.structure import broadcast, concatenate, flip, pad, reshape, slice_
from chainrule.ops.transform import node_of, wrap
from chainrule.ops.windows import behind, windows


def unfold(graph: Graph) -> Graph:
    """Write every ``fold`` as other operations."""
    if not _concerns(graph):
        return graph
    read: dict[Node, Node] = {}  # what a fold adds up, in the new graph
    tiles = Tiles(graph)

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        side_by_side = tiles.fold(node, inputs[0]) if node.op.name == "fold" else \
            tiles.follow(node, inputs) if node.op.kind == "elementwise" else None
        if side_by_side is not None:
            return side_by_side
        if node.op.name == "fold":
            read[node] = inputs[0]
            return _written(node, inputs[0], (0,) * node.ndim, node.shape)
        if node.op.name == "slice" and node.inputs[0] in read and set(node.params["step"]) <= {1}:
            whole = node.inputs[0]  # what is cut off, such as the gradient of padding, is not computed
            return _written(whole, read[whole], node.params["start"], node.shape)
        params = {k: map_graphs(unfold, v) for k, v in node.params.items()}
        return Node(node.op, inputs, params, node.shape, node.dtype, None, node.source)
    return graph.rewrite(rule)


def _written(node: Node, y: Node, start: tuple[int, ...], shape: tuple[int, ...]) -> Node:
    """The part of a ``fold`` of ``y`` that begins at ``start``."""
    wide = dtypes.widened(node.dtype)  # half types add up in float32
    p = node.params
    return node_of(convert(_Fold(convert(wrap(y), wide), start, shape, p["axes"], p["stride"], p["dilation"]).run(),
                           node.dtype))


def _concerns(graph: Graph) -> bool:
    return any(n.op.name == "fold" or any(_concerns(g) for v in n.params.values() for g in graphs_in(v))
               for n in graph.nodes)


@dataclass(frozen=True)
class _Phase:
    """The places ``remainder + stride·q`` of an axis, counted from the first that is asked for.

    Place q is seen by position ``q - shift - j·apart`` as the place ``first + j·step`` of its window, for j below
    ``count``.
    """

    remainder: int
    first: int
    step: int
    count: int
    shift: int
    apart: int

    @property
    def before(self) -> int:
        """How far the earliest position that sees a place lies before it."""
        return self.shift + (self.count - 1) * self.apart

    @property
    def reach(self) -> int:
        """From the first to the last position that see a place."""
        return (self.count - 1) * self.apart


def _phases(window: int, stride: int, dilation: int, start: int) -> list[_Phase | None]:
    """For each remainder how its places, from ``start`` on, are seen; None: not at all."""
    out: list[_Phase | None] = []
    for r in range(stride):
        seen = [k for k in range(window) if (k * dilation - start) % stride == r]
        step = stride // gcd(dilation, stride)
        out.append(_Phase(r, seen[0], step, len(seen), (seen[0] * dilation - start) // stride,
                          step * dilation // stride) if seen else None)
    return out


class _Fold:
    """Writes the part of one ``fold`` of ``y`` that begins at ``start`` and has the given shape."""

    def __init__(self, y: Any, start: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...],
                 stride: tuple[int, ...], dilation: tuple[int, ...]) -> None:
        self.start, self.shape, self.axes, self.stride, self.dilation = start, shape, axes, stride, dilation
        self.at = behind(axes)
        self.window = y.shape[self.at:self.at + len(axes)]
        whole = [(0, n) if k in axes else (start[k], shape[k]) for k, n in enumerate(self.results(y.shape))]
        self.y = _cut(y, [*whole[:self.at], *((0, k) for k in self.window), *whole[self.at:]])
        self.phases = [[p if p and p.remainder < shape[a] else None for p in _phases(k, s, d, start[a])]
                       for k, s, d, a in zip(self.window, stride, dilation, axes, strict=True)]
        self.counts = [ceil(shape[a] / s) for a, s in zip(axes, stride, strict=True)]  # places of a phase, at most
        self.factors = _factors(self.y.node, axes)
        overlap = any(p.count > 1 for phases in self.phases for p in phases if p)
        self.spread = overlap and self.factors is None and self._is_spread(self.y.node)
        self._near: dict[Node, Any] = {}  # of what is spread over the windows: padded, as all phases look at it

    def results(self, of_windows: Sequence[Any]) -> tuple[Any, ...]:
        """What belongs to the axes without those of the places in a window."""
        return (*of_windows[:self.at], *of_windows[self.at + len(self.axes):])

    def run(self) -> Any:
        seen = [[p for p in phases if p] for phases in self.phases]
        if not self.y.node.size or not np.prod(self.shape) or not all(seen):
            return expand(np.zeros((), self.y.dtype), self.shape)
        padded = None if self.spread else self._padded(wrap(self.factors[0]) if self.factors else self.y)
        if all(len(s) == 1 for s in seen):
            only = [s[0] for s in seen]
            start, step = [0] * len(self.shape), [1] * len(self.shape)
            for a, p, s in zip(self.axes, only, self.stride, strict=True):
                start[a], step[a] = p.remainder, s
            counts = [ceil((self.shape[a] - p.remainder) / s)
                      for a, p, s in zip(self.axes, only, self.stride, strict=True)]
            out = self._phase(padded, only, counts)
            return out if out.shape == self.shape else pad(out, shape=self.shape, start=tuple(start), step=tuple(step))
        return _cut(self._interleaved(padded, []), [(0, n) for n in self.shape])

    def _padded(self, source: Any) -> Any:
        """The positions that any phase looks at: zeros where there are none, without those that nothing looks at."""
        spans, start, shape = [(0, n) for n in source.shape], [0] * len(source.shape), list(source.shape)
        for k, axis in enumerate(self._positions()):
            first = -self._before(k)
            shape[axis] = max(self.counts[k] + p.reach - p.before for p in self.phases[k] if p) - first
            low = max(first, 0)
            spans[axis] = (low, max(min(first + shape[axis], source.shape[axis]) - low, 0))
            start[axis] = low - first
        seen = _cut(source, spans)
        if tuple(shape) == seen.shape:
            return seen
        return pad(seen, shape=tuple(shape), start=tuple(start), step=(1,) * len(shape))

    def _positions(self) -> tuple[int, ...]:
        """The axes of what is padded that count positions."""
        if not self.factors:
            return self.axes
        _, _, p = self.factors
        return tuple(p["a_axes"].index(p["out_axes"][a]) for a in self.axes)

    def _before(self, k: int) -> int:
        return max(p.before for p in self.phases[k] if p)

    def _interleaved(self, padded: Any, chosen: list[_Phase | None]) -> Any:
        """All phases of the axes from ``len(chosen)`` on, put together."""
        k = len(chosen)
        if k == len(self.axes):
            return self._phase(padded, chosen, self.counts)
        parts = [self._interleaved(padded, [*chosen, phase]) for phase in self.phases[k]]
        if len(parts) == 1:
            return parts[0]
        axis, shape = self.axes[k], parts[0].shape
        apart = (*shape[:axis + 1], 1, *shape[axis + 1:])
        both = concatenate(*(reshape(p, shape=apart) for p in parts), axis=axis + 1)
        return reshape(both, shape=(*shape[:axis], shape[axis] * len(parts), *shape[axis + 1:]))

    def _phase(self, padded: Any, chosen: Sequence[_Phase | None], counts: Sequence[int]) -> Any:
        """What the places of one phase take, for the first ``counts`` of them."""
        phases = [p for p in chosen if p]
        if len(phases) < len(chosen):
            shape = list(self.shape)
            for axis, n in zip(self.axes, counts, strict=True):
                shape[axis] = n
            return expand(np.zeros((), self.y.dtype), tuple(shape))
        if self.spread:
            offsets = product(*(range(p.count) for p in phases))
            return reduce(ew.add, (self._taken(self.y.node, phases, counts, js, {}) for js in offsets))
        spans = [(0, n) for n in padded.shape]
        for k, (axis, p) in enumerate(zip(self._positions(), phases, strict=True)):
            spans[axis] = (self._before(k) - p.before, counts[k] + p.reach)
        near = _cut(padded, spans)
        return self._contracted(near, phases) if self.factors else reduce(ew.add, self._terms(near, phases, counts))

    # -- windows whose contents are not stored

    def _is_spread(self, y: Node) -> bool:
        """Whether the windows hold one number each, or where a condition holds, which may be anything beyond them."""
        if y.op is ew.mul:
            return any(self._is_spread(a) and b.op is ew.cast and b.inputs[0].dtype == np.bool_ and self._follows(b)
                       for a, b in (y.inputs, y.inputs[::-1]))
        return self._is_repeated(y) and self.axes[0] in y.params["dims"]

    def _follows(self, node: Node) -> bool:
        """Whether a node with an element for each place of the windows can be computed from what the places have."""
        known, waiting = {node}, [node]
        while waiting:
            node = waiting.pop()
            if not node.ndim or self._is_repeated(node) or self._is_seen(node):
                continue
            if node.op.kind != "elementwise":
                return False
            waiting += [i for i in dict.fromkeys(node.inputs) if i not in known]
            known.update(node.inputs)
        return True

    def _is_repeated(self, node: Node) -> bool:
        """Whether a node is the same for all places of a window."""
        rest = self.results(range(len(self.shape) + len(self.axes)))
        return node.op is broadcast and node.params["dims"] in ((), rest)

    def _is_seen(self, node: Node) -> bool:
        """Whether a node is what the same windows see of an array."""
        p = node.params
        return node.op is windows and (p["axes"], p["window"], p["stride"], p["dilation"]) == (
            self.axes, self.window, self.stride, self.dilation)

    def _taken(self, node: Node, phases: Sequence[_Phase], counts: Sequence[int], js: Sequence[int],
               known: dict[Node, Any]) -> Any:
        """What ``node`` has for the places of a phase in the ``js``-th of the windows that see them."""
        if node not in known:
            known[node] = self._taken_anew(node, phases, counts, js, known)
        return known[node]

    def _taken_anew(self, node: Node, phases: Sequence[_Phase], counts: Sequence[int], js: Sequence[int],
                    known: dict[Node, Any]) -> Any:
        if not node.ndim:
            return wrap(node)
        if self._is_seen(node):
            return self._places(node.inputs[0], phases, counts)
        if node.op is not broadcast:
            return node.op(*(self._taken(i, phases, counts, js, known) for i in node.inputs), **node.params)
        if not node.params["dims"]:
            places = dict(zip(self.axes, counts, strict=True))
            return expand(wrap(node.inputs[0]), tuple(places.get(a, n) for a, n in enumerate(self.shape)))
        near = self._near.get(node)
        if near is None:
            near = self._near[node] = self._padded(wrap(node.inputs[0]))
        spans = [(0, n) for n in near.shape]
        for k, (axis, p, j) in enumerate(zip(self.axes, phases, js, strict=True)):
            spans[axis] = (self._before(k) - p.before + (p.count - 1 - j) * p.apart, counts[k])
        return _cut(near, spans)

    def _places(self, x: Node, phases: Sequence[_Phase], counts: Sequence[int]) -> Any:
        """The places of a phase themselves, in the array that the windows slide over."""
        start, step, stop = list(self.start), [1] * len(self.shape), list(np.add(self.start, self.shape))
        for axis, p, s, n in zip(self.axes, phases, self.stride, counts, strict=True):
            start[axis] += p.remainder
            step[axis], stop[axis] = s, start[axis] + (n - 1) * s + 1
        wide = tuple(max(n, int(end)) for n, end in zip(x.shape, stop, strict=True))
        here = wrap(x) if wide == x.shape else pad(wrap(x), shape=wide, start=(0,) * x.ndim, step=(1,) * x.ndim)
        return slice_(here, start=tuple(start), stop=tuple(map(int, stop)), step=tuple(step))

    # -- windows with contents

    def _contracted(self, near: Any, phases: Sequence[_Phase]) -> Any:
        assert self.factors
        _, kernel, p = self.factors
        places = p["out_axes"][self.at:self.at + len(self.axes)]
        at = [p["b_axes"].index(label) for label in places]
        start, stop, step = [0] * kernel.ndim, list(kernel.shape), [1] * kernel.ndim
        for axis, phase in zip(at, phases, strict=True):
            start[axis], step[axis] = phase.first, phase.step
        chosen = wrap(kernel)
        if any(start) or any(s > 1 for s in step):
            chosen = slice_(chosen, start=tuple(start), stop=tuple(stop), step=tuple(step))
        turned = tuple(axis for axis, phase in zip(at, phases, strict=True) if phase.count > 1)
        axes = self._positions()
        seen = windows(near, axes=axes, window=tuple(x.count for x in phases), stride=(1,) * len(phases),
                       dilation=tuple(x.apart or 1 for x in phases))
        a_axes = (*p["a_axes"][:behind(axes)], *places, *p["a_axes"][behind(axes):])
        return contract(seen, flip(chosen, axes=turned) if turned else chosen, a_axes=a_axes, b_axes=p["b_axes"],
                        out_axes=self.results(p["out_axes"]))

    def _terms(self, near: Any, phases: Sequence[_Phase], counts: Sequence[int]) -> Iterator[Any]:
        """What each place of the windows contributes."""
        for js in product(*(range(p.count) for p in phases)):
            spans = [(0, extent) for extent in near.shape]
            for k, (axis, p, j) in enumerate(zip(self.axes, phases, js, strict=True)):
                spans[axis] = ((p.count - 1 - j) * p.apart, counts[k])
                spans[self.at + k] = (p.first + j * p.step, 1)
            part = _cut(near, spans)
            yield reshape(part, shape=self.results(part.shape))


def _cut(x: Any, spans: Sequence[tuple[int, int]]) -> Any:
    """So many elements of each axis, from a first one on."""
    if all(span == (0, n) for span, n in zip(spans, x.shape, strict=True)):
        return x
    return slice_(x, start=tuple(a for a, _ in spans), stop=tuple(a + n for a, n in spans), step=(1,) * len(spans))


def _factors(y: Node, axes: tuple[int, ...]) -> tuple[Node, Node, dict[str, Any]] | None:
    """``y`` as a contraction of what has the positions with a kernel that has the windows' places; None if it is none.

    The parameters are those of the contraction with the positions in ``a``.
    """
    if y.op is not contract:
        return None
    p = y.params
    at = behind(axes)
    positions, places = {p["out_axes"][a] for a in axes}, set(p["out_axes"][at:at + len(axes)])
    for (a, b), (first, second) in ((y.inputs, ("a_axes", "b_axes")), (y.inputs[::-1], ("b_axes", "a_axes"))):
        if (positions <= set(p[first]) and not positions & set(p[second])
                and places <= set(p[second]) and not places & set(p[first])):
            return a, b, {"a_axes": p[first], "b_axes": p[second], "out_axes": p["out_axes"]}
    return None
