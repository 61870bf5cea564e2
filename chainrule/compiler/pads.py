"""Sums of arrays in zeros: the parts of one array, put together instead of added up.

The transpose of a slice is a ``pad``. So the cotangent of an array that was taken apart (the gates of a recurrent
cell, all parameters in one vector) is recorded as a sum of as many arrays of its size, each zero but for one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chainrule.graph import Node
from chainrule.ops.declare import CONSTANT, REGISTRY


@dataclass(frozen=True)
class _Term:
    """One operand of a sum: ``parts`` along ``axis``, each with where it begins; what is between them is zero."""

    node: Node
    axis: int
    parts: tuple[tuple[int, Node], ...]


def joined_pads(node: Node) -> Node | None:
    """Of a sum, the parts along one axis that do not overlap as one ``concatenate``; None if there are not two terms.

    Before: ``%3 = pad(%1) …; %4 = pad(%2) …; %5 = add(%3, %4)``. After: ``%5 = concatenate(%1, %2)``.
    """
    operands = _operands(node)
    terms = [t for t in map(_term, operands) if t is not None]
    for axis in dict.fromkeys(t.axis for t in terms):
        joined: list[Node] = []
        parts: list[tuple[int, Node]] = []
        for term in terms:
            both = sorted([*parts, *term.parts], key=lambda part: part[0])
            if term.axis == axis and not _overlap(both, axis):
                joined.append(term.node)
                parts = both
        if len(joined) > 1:
            out = _joined(parts, axis, node)
            for operand in operands:
                if operand not in joined:
                    out = Node(node.op, (operand, out), {}, node.shape, node.dtype, None, node.source)
            return out
    return None


def _operands(node: Node) -> list[Node]:
    """What a sum adds up, as far as there is something to join."""
    if node.op.name != "add" or all(_term(i) is None for i in node.inputs):
        return [node]
    return [operand for i in node.inputs for operand in _operands(i)]


def _term(node: Node) -> _Term | None:
    """A ``pad`` along one axis, or a ``concatenate`` with zeros in it."""
    if node.op.name == "pad":
        inner, p = node.inputs[0], node.params
        axes = [i for i, n in enumerate(node.shape) if n != inner.shape[i]]
        if len(axes) == 1 and p["step"][axes[0]] == 1:
            return _Term(node, axes[0], ((p["start"][axes[0]], inner),))
    if node.op.name == "concatenate" and any(map(is_zero, node.inputs)):
        axis, at = node.params["axis"], 0
        parts: list[tuple[int, Node]] = []
        for part in node.inputs:
            parts += [] if is_zero(part) else [(at, part)]
            at += part.shape[axis]
        return _Term(node, axis, tuple(parts))
    return None


def is_zero(node: Node) -> bool:
    """Whether all elements are a constant 0."""
    if node.op.name == "broadcast":
        node = node.inputs[0]
    return node.op is CONSTANT and node.size == 1 and not node.params["value"].any()


def _overlap(parts: Sequence[tuple[int, Node]], axis: int) -> bool:
    """Whether one of the parts, in order, begins before the last one has ended."""
    return any(start + x.shape[axis] > after for (start, x), (after, _) in pairwise(parts))


def _joined(parts: Sequence[tuple[int, Node]], axis: int, like: Node) -> Node:
    at, out = 0, []
    for start, x in parts:
        out += [*([_zeros(like, axis, start - at)] if start > at else []), x]
        at = start + x.shape[axis]
    if at < like.shape[axis]:
        out.append(_zeros(like, axis, like.shape[axis] - at))
    if len(out) == 1:
        return out[0]
    return Node(REGISTRY["concatenate"], tuple(out), {"axis": axis}, like.shape, like.dtype, None, like.source)


def _zeros(like: Node, axis: int, extent: int) -> Node:
    zero = Node(CONSTANT, (), {"value": np.zeros((), like.dtype)}, (), like.dtype, None, like.source)
    shape = tuple(extent if i == axis else n for i, n in enumerate(like.shape))
    return Node(REGISTRY["broadcast"], (zero,), {"shape": shape, "dims": ()}, shape, like.dtype, None, like.source)
