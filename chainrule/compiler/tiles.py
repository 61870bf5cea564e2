"""``fold`` of windows that lie side by side: nothing is added up, the places only change their order.

Needs: a graph that is being rewritten (``compiler/unfold.py``). Gives: what the windows hold with the places of a
window beside its positions, which is the array itself; and what is computed from that element by element, computed
before the axes are merged, so that it needs no pass of its own. The gradient of pooling and of the relu before it,
before and after::

    %2 = mul(broadcast(%q), windows(%x) == broadcast(%max))      (n, 13, 13, 2, 2, c)
    %3 = fold(%2)                                                (n, 26, 26, c)
    %4 = select(%x > 0, %3, 0)

    %2 = select(x > 0, mul(broadcast(%q), x == max), 0)          (n, 13, 2, 13, 2, c), x seen by windows, too
    %4 = reshape(%2)                                             (n, 26, 26, c)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.compiler.pads import is_zero
from chainrule.cost import COSTLY
from chainrule.graph import Graph, Node
from chainrule.ops.contract import contract
from chainrule.ops.declare import expand
from chainrule.ops.structure import broadcast, pad, reshape, transpose
from chainrule.ops.transform import node_of, wrap
from chainrule.ops.windows import behind, windows


@dataclass(frozen=True)
class _Tiling:
    """Windows side by side: the parameters of what they see, and the shape of what they hold."""

    axes: tuple[int, ...]
    window: tuple[int, ...]
    held: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of what the windows hold, those of places behind those of their positions."""
        at, out = behind(self.axes), list[int]()
        for axis in range(at):
            out += [axis, at + self.axes.index(axis)] if axis in self.axes else [axis]
        return (*out, *range(at + len(self.axes), len(self.held)))

    @property
    def turned(self) -> tuple[int, ...]:
        return tuple(self.held[i] for i in self.order)

    @property
    def merged(self) -> tuple[int, ...]:
        """The shape of what the windows cover."""
        at = behind(self.axes)
        each = dict(zip(self.axes, self.window, strict=True))
        return (*(self.held[i] * each.get(i, 1) for i in range(at)), *self.held[at + len(self.axes):])

    def sees(self, node: Node) -> bool:
        """Whether a node is what these windows see of an array."""
        p = node.params
        return node.op is windows and (p["axes"], p["window"], p["stride"]) == (self.axes, self.window, self.window) \
            and set(p["dilation"]) == {1}


@dataclass(frozen=True)
class _Tiled:
    """A node that is ``turned``, with its axes merged, in zeros; ``seen``: arrays that its windows look at."""

    tiling: _Tiling
    turned: Node
    seen: frozenset[Node]
    padded: bool


class Tiles:
    """Rewrites the folds of one graph, and what follows them."""

    def __init__(self, graph: Graph) -> None:
        self.sliced = {n.inputs[0] for n in graph.nodes if n.op.name == "slice"}  # of these not all is computed
        self.tiled: dict[Node, _Tiled] = {}  # by the new node

    def fold(self, node: Node, y: Node) -> Node | None:
        """A ``fold`` of ``y`` whose windows lie side by side; None for others."""
        p, at = node.params, behind(node.params["axes"])
        window = y.shape[at:at + len(p["axes"])]
        if tuple(p["stride"]) != window or set(p["dilation"]) != {1} or node in self.sliced or not node.size:
            return None
        if prod(window) == 1 or not y.size:
            return None
        tiling = _Tiling(tuple(p["axes"]), window, y.shape)
        seen: set[Node] = set()
        turned = self._turned(y, tiling, seen, {}, top=True)
        return self._merged(_Tiled(tiling, node_of(turned), frozenset(seen), tiling.merged != node.shape), node.shape)

    def _merged(self, tiled: _Tiled, shape: tuple[int, ...]) -> Node:
        out = reshape(wrap(tiled.turned), shape=tiled.tiling.merged)
        if tiled.padded:
            out = pad(out, shape=shape, start=(0,) * len(shape), step=(1,) * len(shape))
        node = node_of(out)
        self.tiled[node] = tiled
        return node

    def _turned(self, node: Node, tiling: _Tiling, seen: set[Node], known: dict[Node, Any], top: bool = False) -> Any:
        """What the windows hold, with the places beside the positions; cheap functions are computed so."""
        if node not in known:
            if not node.ndim:
                known[node] = wrap(node)
            elif node.op.kind == "elementwise" and node.op.name not in COSTLY:
                inputs = [self._turned(i, tiling, seen, known) for i in node.inputs]
                known[node] = node.op(*inputs, **node.params)
            elif top and node.op is contract:
                labels = node.params["out_axes"]
                known[node] = contract(*map(wrap, node.inputs), **{
                    **node.params, "out_axes": tuple(labels[i] for i in tiling.order)})
            else:
                if tiling.sees(node):
                    seen.add(node.inputs[0])
                known[node] = transpose(wrap(node), axes=tiling.order)
        return known[node]

    def follow(self, node: Node, inputs: Sequence[Node]) -> Node | None:
        """An elementwise node of a fold, and of what its windows see, before axes are merged; None for others."""
        of = next((self.tiled[i] for i in inputs if i in self.tiled), None)
        if of is None or node.op.name in COSTLY or of.padded and not self._keeps_zeros(node, inputs):
            return None
        known: dict[Node, Any] = {}
        given = [self._split(i, of, known) for i in inputs]
        if any(x is None for x in given):
            return None
        turned = node_of(node.op(*given, **node.params))
        return self._merged(_Tiled(of.tiling, turned, of.seen, of.padded), node.shape)

    def _keeps_zeros(self, node: Node, inputs: Sequence[Node]) -> bool:
        """Whether a result is zero wherever a padded operand is."""
        return node.op.name == "select" and inputs[0] not in self.tiled and all(
            i in self.tiled or is_zero(i) for i in inputs[1:])

    def _split(self, node: Node, of: _Tiled, known: dict[Node, Any]) -> Any | None:
        """A node with its axes as they are before they are merged; None if that would need a copy."""
        if node not in known:
            known[node] = self._split_anew(node, of, known)
        return known[node]

    def _split_anew(self, node: Node, of: _Tiled, known: dict[Node, Any]) -> Any | None:
        if not node.ndim:
            return wrap(node)
        if node in self.tiled:
            other = self.tiled[node]
            return wrap(other.turned) if (other.tiling, other.padded) == (of.tiling, of.padded) else None
        if node in of.seen:
            t = of.tiling
            seen = windows(wrap(node), axes=t.axes, window=t.window, stride=t.window, dilation=(1,) * len(t.axes))
            return transpose(seen, axes=t.order)
        if node.op is broadcast and not node.params["dims"]:
            return expand(wrap(node.inputs[0]), of.tiling.turned)
        if node.op.kind != "elementwise" or node.op.name in COSTLY:
            return None
        inputs = [self._split(i, of, known) for i in node.inputs]
        return None if any(x is None for x in inputs) else node.op(*inputs, **node.params)
