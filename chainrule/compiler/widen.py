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
"""

from __future__ import annotations

import numpy as np

from chainrule.dtypes import FLOAT32, is_half
from chainrule.graph import Graph, Node, graphs_in, map_graphs
from chainrule.ops.declare import CONSTANT, REGISTRY

MOVING_KINDS = frozenset("input constant view reshape concatenate pad take".split())
MOVING = frozenset("select copy poll stop_gradient cast".split())


def widen(graph: Graph) -> Graph:
    """Insert the casts; a graph without half types is given back as it is."""
    if not _concerns(graph):
        return graph
    known: dict[Node, Node] = {}

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


def _cast(node: Node, dtype: np.dtype) -> Node:
    if node.op is CONSTANT:
        value = node.params["value"].astype(dtype)
        return Node(CONSTANT, (), {"value": value}, node.shape, dtype)
    return Node(REGISTRY["cast"], (node,), {"dtype": dtype}, node.shape, dtype, None, node.source)
