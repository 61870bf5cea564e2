"""Loops as operations: ``scan`` repeats a recorded body over carried values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ArgumentError, ShapeError
from chainrule.graph import Graph, Node, topological, type_name
from chainrule.ops.declare import INPUT, Op, Traced, bind, constant_node, input_node

# ---------------------------------------------------------------- the primitive


def _scan_infer(*inputs: Any, body: Graph, carries: int, sliced: int, length: int, until: int | None) -> Any:
    outputs = body.outputs
    shapes = [o.shape for o in outputs[:carries]] + [(length, *o.shape) for o in outputs[carries:]]
    return tuple(shapes), tuple(o.dtype for o in outputs)


def _scan_reference(*values: Any, body: Graph, carries: int, sliced: int, length: int, until: int | None) -> Any:
    carry, xs, constants = list(values[:carries]), values[carries:carries + sliced], values[carries + sliced:]
    stacked = [np.zeros((length, *o.shape), o.dtype) for o in body.outputs[carries:]]
    for i in range(length):
        out = body.evaluate(*carry, *(x[i] for x in xs), *constants)
        carry = out[:carries]
        for rows, y in zip(stacked, out[carries:], strict=True):
            rows[i] = y
        if until is not None and carry[until]:
            break
    return (*(np.asarray(c) for c in carry), *stacked)


scan_op: Op = Op(
    "scan", "Repeat ``body(carry…, x[i]…, constant…) -> (carry…, y…)`` for i = 0 … length-1; the ys are stacked. With "
    "``until`` the loop ends after a step that makes that carry True (the rows not reached stay 0).",
    "scan", infer=_scan_infer, reference=_scan_reference, arity=-1)

project: Op = Op(
    "project", "One of the results of an operation that has several.", "project",
    infer=lambda x, index: (x[0][index], x[1][index]), reference=lambda x, index: x[index])


poll: Op = Op(
    "poll", "The array as it is now: read again in every turn of a loop, for a flag that another thread may set.",
    "elementwise", infer=lambda x: x, reference=lambda x: np.array(x), lower=lambda e, x: x)

# ---------------------------------------------------------------- the function


def scan(function: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None,
         until: Callable[[Any], Any] | None = None) -> tuple[Any, Any]:
    """Repeat ``carry, y = function(carry, x)`` over the leading axis of ``xs``; return the last carry and all ys.

    Args:
        function: recorded once; carry and result keep shapes and dtypes.
        init: the first carry, any nested container of arrays.
        xs: arrays with a leading axis of ``length``, in a nested container; None for no input.
        length: the number of steps; needed where ``xs`` is None.
        until: picks a bool scalar from the carry: the loop ends after the step that makes it True.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.scan(lambda c, x: (c + x, c), 0.0, np.arange(4.0))
        (array(6.), array([0., 0., 1., 3.]))
    """
    carry_leaves, carry_structure = tree.flatten(init)
    x_leaves, x_structure = tree.flatten(xs)
    carry_leaves = [_array(leaf) for leaf in carry_leaves]
    x_leaves = [_array(leaf) for leaf in x_leaves]
    length = _length(x_leaves, length)
    tracer = next((type(leaf) for leaf in carry_leaves + x_leaves if isinstance(leaf, Traced)), None)
    inputs = [input_node(c.shape, c.dtype) for c in carry_leaves] + [input_node(x.shape[1:], x.dtype) for x in x_leaves]
    wrap = tracer or TRACER[0]
    traced = [wrap(i) for i in inputs]
    n = len(carry_leaves)
    result = function(tree.unflatten(carry_structure, traced[:n]), tree.unflatten(x_structure, traced[n:]))
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ArgumentError.of(f"the scanned function returned {type(result).__name__}", "a pair (carry, y)",
                               "return carry, None")
    next_leaves, next_structure = tree.flatten(result[0])
    y_leaves, y_structure = tree.flatten(result[1])
    outputs = [leaf.node if isinstance(leaf, Traced) else constant_node(leaf) for leaf in next_leaves + y_leaves]
    _check_carry(inputs[:n], outputs[:len(next_leaves)], next_structure == carry_structure)
    index = None if until is None else _flag(until, carry_structure, n)
    body, captured = close(inputs, outputs)
    arguments = [*carry_leaves, *x_leaves, *(wrap(c) for c in captured)]
    out = bind(scan_op, *arguments, body=body, carries=n, sliced=len(x_leaves), length=length, until=index)
    parts = [project(out, index=i) for i in range(len(outputs))] if isinstance(out, Traced) else list(out)
    return tree.unflatten(carry_structure, parts[:n]), tree.unflatten(y_structure, parts[n:])


TRACER: list[Any] = [Traced]  # the recording class; trace.py, which stands above this file, puts its own here


def close(inputs: Sequence[Node], outputs: Sequence[Node]) -> tuple[Graph, list[Node]]:
    """The graph from ``inputs`` to ``outputs`` with everything else that it uses turned into further inputs.

    What does not depend on the inputs is computed once, outside: it becomes an input as a whole.
    """
    order = topological(outputs, inputs)
    own = set(inputs)
    open_ = {n for n in order if n.op is INPUT and n not in own}
    inside, outside = set(inputs), set()
    for node in order:
        if node.op is poll or any(i in inside for i in node.inputs):
            inside.add(node)
        elif node in open_ or any(i in outside for i in node.inputs):
            outside.add(node)
    used = {*outputs, *(i for node in order if node in inside for i in node.inputs)}
    captured = [n for n in order if n in outside and n in used]
    replacement = {c: input_node(c.shape, c.dtype) for c in captured}
    new: dict[Node, Node] = {}
    for node in order:
        if node in replacement:
            new[node] = replacement[node]
        elif node.inputs and node not in own:
            new[node] = Node(node.op, tuple(new[i] for i in node.inputs), node.params, node.shape, node.dtype, None,
                             node.source)
        else:
            new[node] = node
    return Graph([*inputs, *replacement.values()], [new[o] for o in outputs]), captured


def _array(leaf: Any) -> Any:
    return leaf if isinstance(leaf, Traced) else np.asarray(leaf)


def _length(xs: Sequence[Any], length: int | None) -> int:
    lengths: set[Any] = {x.shape[0] if x.shape else None for x in xs} | (set() if length is None else {length})
    if len(lengths) != 1 or None in lengths:
        raise ShapeError.of(f"scan got leading extents {sorted(map(str, lengths)) or 'none'}",
                            "one number of steps: equal leading extents, or length=", "cr.scan(f, init, length=10)")
    return int(lengths.pop())


def _check_carry(before: Sequence[Node], after: Sequence[Node], same: bool) -> None:
    if not same or len(before) != len(after):
        raise ShapeError.of("the scanned function returned a carry of another structure", "the structure of init", "")
    for b, a in zip(before, after, strict=True):
        if (b.shape, b.dtype) != (a.shape, a.dtype):
            raise ShapeError.of(f"the scanned function changed a carry from {type_name(b)} to {type_name(a)}",
                                "the shape and dtype of init", "init = np.zeros(shape, dtype)")


def _flag(until: Callable[[Any], Any], structure: tree.Structure, n: int) -> int:
    """The number of the carry that ``until`` picks."""
    return int(until(tree.unflatten(structure, list(range(n)))))
