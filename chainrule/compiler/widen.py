"""Arithmetic on half types (float16, bfloat16) → the same in float32, between casts.

Needs: any graph. Gives: a graph of the same meaning in which half types are only stored, moved, selected and cast.
Every operation's result is rounded to its half type, as in the reference, so that a chain of operations rounds at every
step; sums and contractions add up in float32 and round once.

    %2 = mul(%0, %1)  float16[8]          %2 = cast(%0)  float32[8]
    %3 = add(%2, %1)  float16[8]    →     %3 = cast(%1)  float32[8]
                                          %4 = mul(%2, %3)  float32[8]
                                          %5 = cast(%4)  float16[8]
                                          %6 = cast(%5)  float32[8]
                                          %7 = add(%6, %3)  float32[8]
                                          %8 = cast(%7)  float16[8]

A contraction has casts of its own, behind all that only moves its operands: it reads half numbers from memory, and
converts them as it does (``lower``). What is rounded to a half type is rounded before it is moved.

    %2 = cast(%0)  float32[6, 8]              %2 = pad(%0)  float16[8, 8]
    %3 = pad(%2)   float32[8, 8]              %3 = cast(%2)  float32[8, 8]
    %4 = contract(%3, %1)  float32[8, 2]  →   %4 = contract(%3, %1)  float32[8, 2]
    %5 = reshape(%4)  float32[16]             %5 = cast(%4)  float16[8, 2]
    %6 = cast(%5)  float16[16]                %6 = reshape(%5)  float16[16]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from chainrule.compiler.layout import is_widening
from chainrule.dtypes import FLOAT32, is_half
from chainrule.graph import Graph, Node, graphs_in, map_graphs
from chainrule.ops.declare import CONSTANT, REGISTRY

MOVING_KINDS = frozenset("input constant view reshape concatenate pad take".split())
MOVING = frozenset("select copy poll stop_gradient cast".split())
MOVED_FIRST = frozenset("view reshape pad take".split())  # their result has the elements of the first operand


def widen(graph: Graph) -> Graph:
    """Insert the casts; a graph without half types is given back as it is."""
    if not _concerns(graph):
        return graph
    known: dict[Node, Node] = {}
    halves: dict[Node, Node | None] = {}
    users = Counter(i for node in graph.nodes for i in node.inputs) + Counter(graph.outputs)

    def wide(node: Node) -> Node:
        """``node`` in float32, cast once for all its readers."""
        if isinstance(node.dtype, tuple) or not is_half(node.dtype):
            return node
        if node not in known:
            known[node] = _cast(node, FLOAT32)
        return known[node]

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        params = {k: map_graphs(widen, v) for k, v in node.params.items()}
        if node.op.kind == "project":
            x = inputs[0]
            one = Node(node.op, inputs, params, node.shape, x.dtype[params["index"]], None, node.source)
            return one if one.dtype == node.dtype else _cast(one, node.dtype)
        if node.op.kind == "contract":
            found = [_as_half(i, halves) for i in inputs]
            inputs = tuple(i if h is None else _cast(h, FLOAT32) for i, h in zip(inputs, found, strict=True))
        if node.op.name == "cast" and is_half(node.dtype) and inputs[0].dtype == FLOAT32:
            return _rounded(node.inputs[0], inputs[0], node.dtype, users)
        holds_graphs = any(graphs_in(v) for v in node.params.values())
        if holds_graphs or _moves(node) or not any(map(_has_half, (node, *inputs))):
            return Node(node.op, inputs, params, node.shape, node.dtype, None, node.source)
        inputs = tuple(map(wide, inputs))
        if isinstance(params.get("dtype"), np.dtype) and is_half(params["dtype"]):
            params["dtype"] = FLOAT32
        shape, dtype = node.op.infer(*((i.shape, i.dtype) for i in inputs), **params)
        new = Node(node.op, inputs, params, shape, dtype, None, node.source)
        return new if isinstance(dtype, tuple) or dtype == node.dtype else _cast(new, node.dtype)
    return graph.rewrite(rule)


def _concerns(graph: Graph) -> bool:
    return any(_has_half(n) or any(_concerns(g) for v in n.params.values() for g in graphs_in(v)) for n in graph.nodes)


def _has_half(node: Node) -> bool:
    return any(map(is_half, node.dtype)) if isinstance(node.dtype, tuple) else is_half(node.dtype)


def _moves(node: Node) -> bool:
    return node.op.kind in MOVING_KINDS or node.op.name in MOVING


def _as_half(node: Node, known: dict[Node, Node | None]) -> Node | None:
    """The half numbers that ``node`` has as float32; None if it has others."""
    if not isinstance(node.dtype, tuple) and is_half(node.dtype):
        return node
    if is_widening(node):
        return node.inputs[0]
    if node not in known:
        operands = node.inputs[:1] if _passes_first(node) else node.inputs if node.op.kind == "concatenate" else ()
        found = [_as_half(i, known) for i in operands]
        halves = [h for h in found if h is not None]
        known[node] = None
        if halves and len(halves) == len(found) and len({h.dtype for h in halves}) == 1:
            known[node] = _moved(node, (*halves, *node.inputs[len(halves):]), halves[0].dtype)
    return known[node]


def _rounded(old: Node, new: Node, dtype: np.dtype, users: Mapping[Node, int]) -> Node:
    """``new``, which was ``old``, as half numbers: rounded before it is moved, if nobody else reads what is moved."""
    if users[old] == 1 and old.op is new.op and len(old.inputs) == len(new.inputs):
        if old.op.kind == "concatenate":
            return _moved(new, tuple(_rounded(o, n, dtype, users) for o, n in zip(old.inputs, new.inputs, strict=True)),
                          dtype)
        if _passes_first(old) and old.op.kind != "take" and 2 * old.size >= old.inputs[0].size:
            return _moved(new, (_rounded(old.inputs[0], new.inputs[0], dtype, users), *new.inputs[1:]), dtype)
    return _cast(new, dtype)


def _passes_first(node: Node) -> bool:
    return node.op.kind in MOVED_FIRST and node.op.name != "after"


def _moved(node: Node, inputs: tuple[Node, ...], dtype: np.dtype) -> Node:
    return Node(node.op, inputs, node.params, node.shape, dtype, None, node.source)


def _cast(node: Node, dtype: np.dtype) -> Node:
    if node.op is CONSTANT:
        value = node.params["value"].astype(dtype)
        return Node(CONSTANT, (), {"value": value}, node.shape, dtype)
    return Node(REGISTRY["cast"], (node,), {"dtype": dtype}, node.shape, dtype, None, node.source)
