"""Graph → smaller graph of the same meaning: constants, algebra, common subexpressions, dead code.

Needs: any graph. Gives: a graph without copies and calls, where equal nodes are one node, constants of modest size are
folded and chains of views are shortened. Every rule holds for all values, NaN and infinities included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.compiler.after import sums_after_loops
from chainrule.compiler.layout import is_widening
from chainrule.compiler.merge import drop_unused_rows, inline_calls, merge_loops
from chainrule.compiler.pads import joined_pads
from chainrule.graph import Graph, Node, map_graphs, params_key
from chainrule.ops.declare import CONSTANT, REGISTRY

FOLD_UP_TO = 4096  # elements of a folded constant


def simplify(graph: Graph) -> Graph:
    """Apply all rules from the inputs to the outputs; nodes that no output needs are dropped on the way."""
    graph = inline_calls(graph)
    known: dict[Any, Node] = {}

    def intern(node: Node) -> Node:
        """The one node of this meaning; rules make nodes over nodes of their own."""
        if node in unique:
            return node
        inputs = tuple(intern(i) for i in node.inputs)
        if inputs != node.inputs:
            node = Node(node.op, inputs, node.params, node.shape, node.dtype, None, node.source)
        node = known.setdefault(_identity(node), node)
        unique.add(node)
        return node
    unique = set(graph.inputs)

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = _rebuilt(node, inputs)
        for _ in range(4):  # a rule's result may be simplified once more; each rule removes a node
            better = _once(new)
            if better is None:
                break
            new = better
        return intern(new)

    def same(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = Node(node.op, inputs, node.params, node.shape, node.dtype, None, node.source)
        return intern(node if inputs == node.inputs else new)
    graph = graph.rewrite(rule)
    while (merged := merge_loops(graph)) is not graph:  # loops that read results of merged ones may now be equal
        graph = merged.rewrite(same)
    return drop_unused_rows(sums_after_loops(graph))


def _rebuilt(node: Node, inputs: tuple[Node, ...]) -> Node:
    params = {k: map_graphs(simplify, v) for k, v in node.params.items()}
    return Node(node.op, inputs, params, node.shape, node.dtype, None, node.source)


def _identity(node: Node) -> Any:
    """Equal for nodes that compute the same."""
    return node.op.name, node.inputs, params_key(node.params), node.shape, node.dtype


def _once(node: Node) -> Node | None:
    if node.op is CONSTANT:
        return _uniform_constant(node)
    if node.op.kind in ("scan", "while", "switch", "project", "input", "custom"):
        return None
    if node.op.kind == "elementwise" and node.size > 1:
        folded = _fold_uniform(node)
        if folded is not None:
            return folded
    if node.inputs and all(i.op is CONSTANT for i in node.inputs) and _fits(node):
        value = np.asarray(node.op.evaluate(*(i.params["value"] for i in node.inputs), **node.params), dtype=node.dtype)
        return constant(value.reshape(node.shape))
    rule = RULES.get(node.op.name)
    return rule(node) if rule else None


def _uniform_constant(node: Node) -> Node | None:
    """A constant array of one value becomes a broadcast scalar."""
    value = node.params["value"]
    if value.size < 2:
        return None
    first = value.reshape(-1)[:1]
    if any(value.strides) and not (value == first).all():
        return None
    return _spread(first.reshape(()), node)


def _fold_uniform(node: Node) -> Node | None:
    """An elementwise operation on arrays of one value each."""
    values = [uniform(i) for i in node.inputs]
    if any(v is None for v in values):
        return None
    result = node.op.evaluate(*(np.asarray(v) for v in values), **node.params)
    return _spread(np.asarray(result, dtype=node.dtype).reshape(()), node)


def _spread(value: np.ndarray, node: Node) -> Node:
    """``value`` broadcast to the shape of ``node``."""
    scalar = constant(value)
    return scalar if not node.shape else Node(REGISTRY["broadcast"], (scalar,), {"shape": node.shape, "dims": ()},
                                              node.shape, node.dtype, None, node.source)


def _fits(node: Node) -> bool:
    # a broadcast constant stays small as a node: folding it would only make memory of it
    return node.size <= (1 if node.op.name in ("broadcast", "iota") else FOLD_UP_TO)


def constant(value: np.ndarray) -> Node:
    return Node(CONSTANT, (), {"value": np.ascontiguousarray(value).reshape(value.shape)}, value.shape, value.dtype)


def _same(node: Node, name: str, *inputs: Node, **params: Any) -> Node:
    """A node of the same shape and dtype by another operation."""
    return Node(REGISTRY[name], inputs, params, node.shape, node.dtype, None, node.source)


def uniform(node: Node) -> Any:
    """The one value of all elements of a constant, seen through broadcasts; None if there is none."""
    while node.op.name in ("broadcast", "reshape"):
        node = node.inputs[0]
    if node.op is CONSTANT and node.size == 1:
        return node.params["value"].reshape(())[()]
    return None


def _mul(node: Node) -> Node | None:
    for x, other in (node.inputs, node.inputs[::-1]):
        value = uniform(other)
        if value is not None and node.dtype.kind != "b":
            if value == 1:
                return x
            if value == -1:
                return _same(node, "neg", x)
    return None


def _div(node: Node) -> Node | None:
    value = uniform(node.inputs[1])
    if value is None or value == 0 or not np.isfinite(value):
        return None
    mantissa, _ = math.frexp(value)
    with np.errstate(all="ignore"):
        inverse = np.asarray(1 / float(value)).astype(node.dtype)
    if abs(mantissa) == 0.5 and np.isfinite(inverse) and inverse != 0:  # a power of two: the product is exact
        return _same(node, "mul", node.inputs[0], _spread(inverse, node))
    return None


def _neg(node: Node) -> Node | None:
    inner = node.inputs[0]
    return inner.inputs[0] if inner.op.name == "neg" else None


def _add(node: Node) -> Node | None:
    x, y = node.inputs
    if dtypes.is_float(node.dtype):
        if y.op.name == "neg":
            return _same(node, "sub", x, y.inputs[0])
        if x.op.name == "neg":
            return _same(node, "sub", y, x.inputs[0])
    return joined_pads(node)


def _sub(node: Node) -> Node | None:
    x, y = node.inputs
    return _same(node, "add", x, y.inputs[0]) if y.op.name == "neg" else None


def _select(node: Node) -> Node | None:
    condition, x, y = node.inputs
    if x is y:
        return x
    value = uniform(condition)
    return None if value is None else (x if value else y)


def _cast(node: Node) -> Node | None:
    x = node.inputs[0]
    if is_widening(x) and x.inputs[0].dtype == node.dtype:  # exact, and back
        return x.inputs[0]
    return x if x.dtype == node.dtype else None


def _drop(node: Node) -> Node | None:
    return node.inputs[0]


def _if_same_shape(node: Node) -> Node | None:
    return node.inputs[0] if node.inputs[0].shape == node.shape else None


def _reshape(node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    return _same(node, "reshape", x.inputs[0], shape=node.shape) if x.op.name == "reshape" else None


def _broadcast(node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    if x.op.name == "broadcast":
        dims = tuple(node.params["dims"][d] for d in x.params["dims"])
        return _same(node, "broadcast", x.inputs[0], shape=node.shape, dims=dims)
    return None


def _transpose(node: Node) -> Node | None:
    x, axes = node.inputs[0], node.params["axes"]
    if axes == tuple(range(len(axes))):
        return x
    if x.op.name == "transpose":
        return _same(node, "transpose", x.inputs[0], axes=tuple(x.params["axes"][a] for a in axes))
    return None


def _sum(node: Node) -> Node | None:
    """A sum over nothing; a sum over axes of extent 1 is a reshape."""
    x, axes = node.inputs[0], node.params["axes"]
    if not axes:
        return x
    if all(x.shape[a] == 1 for a in axes):
        return _same(node, "reshape", x, shape=node.shape)
    return None


def _contract(node: Node) -> Node | None:
    """A contraction that adds nothing up is a product of elements."""
    (a, b), p = node.inputs, node.params
    extents = dict(zip((*p["a_axes"], *p["b_axes"]), (*a.shape, *b.shape), strict=True))
    if any(n != 1 for label, n in extents.items() if label not in p["out_axes"]):
        return _contract_rows(node)
    return _same(node, "mul", *(_spread_axes(x, p[axes], node, p["out_axes"])
                                for x, axes in ((a, "a_axes"), (b, "b_axes"))))


def _contract_rows(node: Node) -> Node | None:
    """Rows of an operand that are repeated along an axis of the result are contracted once."""
    p = node.params
    inputs, labels, out = list(node.inputs), [p["a_axes"], p["b_axes"]], p["out_axes"]
    for k, x in enumerate(node.inputs):
        own = labels[k]
        dims: Sequence[int] = x.params["dims"] if x.op.name == "broadcast" else range(x.ndim)
        kept = [i for i, label in enumerate(own) if i in dims or label in labels[1 - k] or label not in out]
        if len(kept) < len(own):
            shape = tuple(x.shape[i] for i in kept)
            row = x.inputs[0]
            inputs[k] = row if row.shape == shape else Node(
                x.op, x.inputs, {"shape": shape, "dims": tuple(map(kept.index, dims))}, shape, x.dtype, None, x.source)
            labels[k] = tuple(own[i] for i in kept)
    left = tuple(i for i, label in enumerate(out) if label in labels[0] or label in labels[1])
    if len(left) == len(out):
        return None
    shape = tuple(node.shape[i] for i in left)
    axes = {"a_axes": labels[0], "b_axes": labels[1], "out_axes": tuple(out[i] for i in left)}
    once = Node(node.op, tuple(inputs), {**p, **axes}, shape, node.dtype, None, node.source)
    return _same(node, "broadcast", once, shape=node.shape, dims=left)


def _spread_axes(x: Node, axes: Sequence[int], node: Node, out_axes: Sequence[int]) -> Node:
    """``x`` with its labelled axes where they are in ``node``, repeated along the others."""
    kept = [k for k, label in enumerate(axes) if label in out_axes]
    shape = tuple(x.shape[k] for k in kept)
    flat = x if len(kept) == len(axes) else Node(REGISTRY["reshape"], (x,), {"shape": shape}, shape, x.dtype, None,
                                                 node.source)
    order = sorted(range(len(kept)), key=lambda k: out_axes.index(axes[kept[k]]))
    if order != list(range(len(kept))):
        shape = tuple(shape[k] for k in order)
        flat = Node(REGISTRY["transpose"], (flat,), {"axes": tuple(order)}, shape, x.dtype, None, node.source)
    dims = tuple(out_axes.index(axes[kept[k]]) for k in order)
    return _same(node, "broadcast", flat, shape=node.shape, dims=dims)


RULES: dict[str, Callable[[Node], Node | None]] = {
    "mul": _mul, "div": _div, "neg": _neg, "add": _add, "sub": _sub, "select": _select, "cast": _cast, "copy": _drop,
    "stop_gradient": _drop, "reshape": _reshape, "broadcast": _broadcast, "transpose": _transpose,
    "slice": _if_same_shape, "pad": _if_same_shape, "sum": _sum, "max": _sum, "min": _sum, "prod": _sum, "any": _sum,
    "all": _sum, "contract": _contract, "pinv_of": _drop, "symmetric_of": _drop}
