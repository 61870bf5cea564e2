"""Control flow that is recorded: loops and branches that compile to native ones, and differentiate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.graph import ORDER, Graph, Node, name_inputs, type_name
from chainrule.ops import elementwise as ew
from chainrule.ops.call import call_graph, switch_graphs
from chainrule.ops.carries import settled
from chainrule.ops.declare import Traced, common_dtype, constant_node, convert, is_weak
from chainrule.ops.scan import run as run_scan
from chainrule.ops.structure import concatenate, flip, reshape, slice_, transpose
from chainrule.ops.transform import close, fresh, wrap
from chainrule.ops.while_loop import run as run_while
from chainrule.tracebacks import public

# ---------------------------------------------------------------- loops


@public
def scan(function: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, *, reverse: bool = False,
         until: Callable[[Any], Any] | None = None, recompute: int | None = None) -> tuple[Any, Any]:
    """Repeat ``carry, y = function(carry, x)`` over the leading axis of ``xs``; return the last carry and all ys.

    Compiles to a native loop. Reverse mode stacks what the backward loop needs of every step.

    Args:
        function: recorded once; carry and result keep shapes and dtypes.
        init: the first carry, any nested container of arrays. A Python number takes the dtype that the function makes
            of it (which is then recorded anew), so that 0.0 beside float32 is float32.
        xs: arrays with a leading axis of ``length``, in a nested container; None for no input.
        length: the number of steps; needed where ``xs`` is None.
        reverse: go from the last row to the first; the ys stay in the order of ``xs``.
        until: picks a bool scalar from the carry: the loop ends after the step that makes it True.
        recompute: for reverse mode keep only every so-manieth carry, and compute the steps between again: √length
            makes memory grow with the square root of the length. Not together with ``until``.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.scan(lambda c, x: (c + x, c), 0.0, np.arange(4.0))
        (array(6.), array([0., 0., 1., 3.]))
    """
    carry_leaves, carry_structure = tree.flatten(init)
    x_leaves, x_structure = tree.flatten(xs)
    x_leaves = [_array(leaf) for leaf in x_leaves]
    length = _length(x_leaves, length)
    n = len(carry_leaves)
    rows = fresh_like([_row(x) for x in x_leaves])

    def turn(carries: list[Any]) -> tuple[list[Any], Any]:
        result = function(tree.unflatten(carry_structure, carries), tree.unflatten(x_structure, rows))
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError.of(f"the scanned function returned {type(result).__name__}", "a pair (carry, y)",
                                   "return carry, None")
        leaves, structure = tree.flatten(result[0])
        return leaves, (structure, result[1])
    carry_leaves, carries, next_leaves, (next_structure, ys) = settled(carry_leaves, turn)
    inputs = [t.node for t in (*carries, *rows)]
    name_inputs(inputs, function, (init, xs))
    y_leaves, y_structure = tree.flatten(ys)
    outputs = [leaf.node if isinstance(leaf, Traced) else constant_node(leaf) for leaf in next_leaves + y_leaves]
    _check_carry(inputs[:n], outputs[:len(next_leaves)], next_structure == carry_structure, "scanned function")
    index = None if until is None else _flag(until, carry_structure, n)
    body, captured = close(inputs, outputs)
    if reverse:
        x_leaves = [flip(x, axes=(0,)) for x in x_leaves]
    constants = [wrap(c) for c in captured]
    if recompute is None:
        parts = run_scan((carry_leaves, x_leaves, constants), body, length, index)
    else:
        parts = _in_segments((carry_leaves, x_leaves, constants), body, length, _segment(recompute, until))
    ys = [flip(y, axes=(0,)) for y in parts[n:]] if reverse else parts[n:]
    return tree.unflatten(carry_structure, parts[:n]), tree.unflatten(y_structure, ys)


def _segment(recompute: int, until: Any) -> int:
    if recompute < 1 or until is not None:
        raise ArgumentError.of(f"recompute={recompute}" + (" together with until" if until is not None else ""),
                               "a number of steps of 1 or more, without until", "cr.scan(f, init, xs, recompute=16)")
    return int(recompute)


def _in_segments(values: Sequence[Sequence[Any]], body: Graph, length: int, steps: int) -> list[Any]:
    """A scan over segments of ``steps`` turns, each of which is computed again in reverse mode; then the rest."""
    carries, xs, constants = values
    n, count = len(carries), length // steps
    head = [reshape(_rows(x, 0, count * steps), shape=(count, steps, *x.shape[1:])) for x in xs]
    inputs = [*fresh_like(carries), *fresh_like([_row(x) for x in head]), *fresh_like(constants)]
    c, x, k = inputs[:n], inputs[n:n + len(xs)], inputs[n + len(xs):]
    inner = Graph([i.node for i in inputs], [p.node for p in run_scan((c, x, k), body, steps)])
    mirror = fresh([i.node for i in inputs])
    outer = Graph([m.node for m in mirror], [p.node for p in call_graph(inner, mirror, None, True)])
    parts = run_scan((carries, head, constants), outer, count)
    ys = [reshape(y, shape=(count * steps, *y.shape[2:])) for y in parts[n:]]
    if count * steps == length:
        return [*parts[:n], *ys]
    rest = run_scan((parts[:n], [_rows(x, count * steps, length) for x in xs], constants), body, length - count * steps)
    return [*rest[:n], *(concatenate(a, b, axis=0) for a, b in zip(ys, rest[n:], strict=True))]


@public
def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """``for i in range(lower, upper): carry = body(i, carry)``; returns the last carry.

    With Python integers as bounds the number of turns is known and both modes of differentiation work; bounds
    that are computed make it a :func:`while_loop`.

    Example:
        >>> import chainrule as cr
        >>> cr.fori_loop(0, 5, lambda i, c: c + i * i, 0.0)
        array(30.)
    """
    if isinstance(lower, int | np.integer) and isinstance(upper, int | np.integer):
        return scan(lambda c, i: (body(i, c), None), init, np.arange(lower, max(lower, upper)))[0]
    start = np.asarray(lower, np.int64) if not isinstance(lower, Traced) else ew.cast(lower, dtype=np.dtype(np.int64))
    return while_loop(lambda c: c[0] < upper, lambda c: (c[0] + 1, body(c[0], c[1])), (start, init))[1]


@public
def while_loop(test: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """``while test(carry): carry = body(carry)``; returns the last carry.

    Forward mode differentiates it; reverse mode cannot (use :func:`scan` with ``until``).

    Args:
        test: gives a bool scalar.
        body: keeps the carry's structure, shapes and dtypes.
        init: the first carry, any nested container of arrays.

    Example:
        >>> import chainrule as cr
        >>> cr.while_loop(lambda c: c < 100.0, lambda c: 3.0 * c, 1.0)
        array(243.)
    """
    leaves, structure = tree.flatten(init)

    def turn(carries: list[Any]) -> tuple[list[Any], Any]:
        carry = tree.unflatten(structure, carries)
        verdict = test(carry)
        flag = verdict.node if isinstance(verdict, Traced) else constant_node(verdict)
        if flag.shape != () or flag.dtype != np.bool_:
            raise ChainruleTypeError.of(f"the test of while_loop gave {type_name(flag)}", "one bool",
                                        "lambda c: c[0] < 10")
        after, after_structure = tree.flatten(body(carry))
        return after, (after_structure, flag)
    leaves, carries, after, (after_structure, flag) = settled(leaves, turn)
    inputs = [c.node for c in carries]
    name_inputs(inputs, body, (init,))
    outputs = [leaf.node if isinstance(leaf, Traced) else constant_node(leaf) for leaf in after]
    _check_carry(inputs, outputs, after_structure == structure, "body of while_loop")
    both, captured = close(inputs, [*outputs, flag])
    parts = run_while(leaves, [wrap(c) for c in captured], Graph(both.inputs, both.outputs[:-1]),
                      Graph(both.inputs, both.outputs[-1:]))
    return tree.unflatten(structure, parts)


@public
def map(function: Callable[..., Any], xs: Any) -> Any:
    """``function`` of each row of ``xs`` in turn, the results stacked: :func:`vmap`'s result with a loop's memory.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.map(lambda x: x @ x, np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([ 5., 25.])
    """
    return scan(lambda _, x: (None, function(x)), None, xs)[1]


# ---------------------------------------------------------------- branches


@public
def cond(condition: Any, true: Callable[..., Any], false: Callable[..., Any], *operands: Any) -> Any:
    """``true(*operands)`` if the condition holds, else ``false(*operands)``: only one of them runs.

    Args:
        condition: a bool scalar.
        true, false: give results of one structure, with the same shapes and dtypes.
        operands: arrays and nested containers; the functions may use other traced values as well.

    Example:
        >>> import chainrule as cr
        >>> cr.jit(cr.grad(lambda x: cr.cond(x > 0, lambda x: x * x, lambda x: -x, x)))(3.0)
        np.float64(6.0)
    """
    if isinstance(condition, Traced) and (condition.shape != () or condition.dtype != np.bool_):
        raise ChainruleTypeError.of(f"the condition of cond is {type_name(condition.node)}", "one bool",
                                    "cr.cond(np.all(x > 0), f, g, x)   # or np.where(x > 0, f(x), g(x))")
    if not isinstance(condition, Traced):
        return (true if condition else false)(*operands)
    return _branch(ew.cast(condition, dtype=np.dtype(np.int32)), (false, true), operands, "cond")


@public
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index out of range takes the nearest branch.

    Example:
        >>> import chainrule as cr
        >>> f = cr.jit(lambda i, x: cr.switch(i, [lambda x: x, lambda x: x * x, lambda x: -x], x))
        >>> f(1, 3.0), f(7, 3.0)
        (np.float64(9.0), np.float64(-3.0))
    """
    if not branches:
        raise ArgumentError.of("switch without branches", "at least one function", "cr.switch(i, [f, g], x)")
    last = len(branches) - 1
    if not isinstance(index, Traced):
        return branches[min(max(int(index), 0), last)](*operands)
    if index.shape != () or index.dtype.kind not in "iu":
        raise ChainruleTypeError.of(f"the index of switch is {type_name(index.node)}", "one whole number",
                                    "cr.switch(np.argmax(x), branches, x)")
    nearest = ew.minimum(ew.maximum(index, 0), last)
    return _branch(ew.cast(nearest, dtype=np.dtype(np.int32)), branches, operands, "switch")


def _branch(index: Any, branches: Sequence[Callable[..., Any]], operands: Sequence[Any], name: str) -> Any:
    leaves, structure = tree.flatten(operands)
    since = next(ORDER)
    traced = fresh_like(leaves)
    name_inputs([t.node for t in traced], branches[0], operands)
    recorded = _alike([tree.flatten(branch(*tree.unflatten(structure, traced))) for branch in branches])
    outputs = [[x.node if isinstance(x, Traced) else constant_node(x) for x in found] for found, _ in recorded]
    types = [[type_name(o) for o in nodes] for nodes in outputs]
    for k, (_, kind) in enumerate(recorded):
        if kind != recorded[0][1] or types[k] != types[0]:
            raise ShapeError.of(f"the branches of {name} give {types[0]} and {types[k]}",
                                "results of one structure, with the same shapes and dtypes",
                                "lambda x: np.zeros_like(x)   # not 0")
    count = len(outputs[0])
    whole, captured = close([t.node for t in traced], [o for nodes in outputs for o in nodes], since)
    graphs = [Graph(whole.inputs, whole.outputs[k * count:(k + 1) * count]) for k in range(len(branches))]
    return tree.unflatten(recorded[0][1], switch_graphs(index, graphs, [*leaves, *(wrap(c) for c in captured)]))


def _alike(recorded: list[tuple[list[Any], tree.Structure]]) -> list[tuple[list[Any], tree.Structure]]:
    """The results of branches, Python numbers among them brought to the dtype of what stands in the other branches."""
    if len({structure for _, structure in recorded}) > 1:
        return recorded
    columns = [[convert(x, common_dtype(results)) if is_weak(x) else x for x in results]
               for results in zip(*(leaves for leaves, _ in recorded), strict=True)]
    return [([c[k] for c in columns], structure) for k, (_, structure) in enumerate(recorded)]


# ---------------------------------------------------------------- associative scan


@public
def associative_scan(function: Callable[[Any, Any], Any], elements: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All partial combinations x₀, x₀∘x₁, x₀∘x₁∘x₂, … of an associative ∘, in log₂(n) rounds of whole arrays.

    Args:
        function: combines two containers of arrays like ``elements``, element for element along ``axis``.
        elements: arrays of one extent along ``axis``.
        reverse: combine from the end.
        axis: the axis to go along.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.associative_scan(np.multiply, np.array([1.0, 2.0, 3.0, 4.0]))
        array([ 1.,  2.,  6., 24.])

    Source: Blelloch, "Prefix sums and their applications", 1990.
    """
    leaves, structure = tree.flatten(elements)
    leaves = [_moved(_array(x), axis) for x in leaves]
    _length(leaves, None)
    if reverse:
        leaves = [flip(x, axes=(0,)) for x in leaves]

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        return tree.flatten(function(tree.unflatten(structure, [_back(x, axis) for x in a]),
                                     tree.unflatten(structure, [_back(x, axis) for x in b])))[0]

    def moved(a: list[Any], b: list[Any]) -> list[Any]:
        return [_moved(x, axis) for x in combine(a, b)]
    out = _prefixes(moved, leaves)
    if reverse:
        out = [flip(x, axes=(0,)) for x in out]
    return tree.unflatten(structure, [_back(x, axis) for x in out])


def _prefixes(combine: Callable[..., list[Any]], x: list[Any]) -> list[Any]:
    n = x[0].shape[0]
    if n < 2:
        return x
    pairs = combine([_every_other(v, 0, n - 1) for v in x], [_every_other(v, 1, n) for v in x])
    odd = _prefixes(combine, pairs)  # the prefixes that end at 1, 3, 5, …
    first = [_rows(v, 0, 1) for v in x]
    if n < 3:
        return [concatenate(a, b, axis=0) for a, b in zip(first, odd, strict=True)]
    before = odd if n % 2 else [_rows(v, 0, v.shape[0] - 1) for v in odd]
    even = combine(before, [_every_other(v, 2, n) for v in x])
    even = [concatenate(a, b, axis=0) for a, b in zip(first, even, strict=True)]
    return [_interleaved(e, o) for e, o in zip(even, odd, strict=True)]


def _interleaved(even: Any, odd: Any) -> Any:
    """Rows of both by turns; ``even`` may have one more."""
    n, rest = odd.shape[0], odd.shape[1:]
    pairs = concatenate(*(reshape(_rows(x, 0, n), shape=(n, 1, *rest)) for x in (even, odd)), axis=1)
    out = reshape(pairs, shape=(2 * n, *rest))
    return out if even.shape[0] == n else concatenate(out, _rows(even, n, n + 1), axis=0)


def _every_other(x: Any, start: int, stop: int) -> Any:
    rest = x.shape[1:]
    return slice_(x, start=(start, *(0 for _ in rest)), stop=(stop, *rest), step=(2, *(1 for _ in rest)))


def _moved(x: Any, axis: int) -> Any:
    n = len(x.shape)
    at = axis % n
    return x if at == 0 else transpose(x, axes=(at, *(i for i in range(n) if i != at)))


def _back(x: Any, axis: int) -> Any:
    n = len(x.shape)
    order = list(range(1, n))
    order.insert(axis % n, 0)
    return x if axis % n == 0 else transpose(x, axes=tuple(order))


# ---------------------------------------------------------------- helpers


def fresh_like(arrays: Sequence[Any]) -> list[Any]:
    """New traced inputs of the shapes and dtypes of ``arrays``."""
    return fresh([a.node if isinstance(a, Traced) else constant_node(a) for a in arrays])


def _array(leaf: Any) -> Any:
    return leaf if isinstance(leaf, Traced) else np.asarray(leaf)


def _rows(x: Any, start: int, stop: int) -> Any:
    rest = x.shape[1:]
    return slice_(x, start=(start, *(0 for _ in rest)), stop=(stop, *rest), step=(1,) * len(x.shape))


def _row(x: Any) -> Any:
    """Stands for one row of ``x``: its shape and dtype count."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape[1:])


def _length(xs: Sequence[Any], length: int | None) -> int:
    lengths: set[Any] = {x.shape[0] if x.shape else None for x in xs} | (set() if length is None else {length})
    if len(lengths) != 1 or None in lengths:
        raise ShapeError.of(f"leading extents {sorted(str(n) for n in lengths) or 'none'}",
                            "one number of steps: equal leading extents, or length=", "cr.scan(f, init, length=10)")
    return int(lengths.pop())


def _check_carry(before: Sequence[Node], after: Sequence[Node], same: bool, what: str) -> None:
    if not same or len(before) != len(after):
        raise ShapeError.of(f"the {what} returned a carry of another structure", "the structure of init", "")
    for b, a in zip(before, after, strict=True):
        if (b.shape, b.dtype) != (a.shape, a.dtype):
            raise ShapeError.of(f"the {what} changed a carry from {type_name(b)} to {type_name(a)}",
                                "the shape and dtype of init", "init = np.zeros(shape, dtype)")


def _flag(until: Callable[[Any], Any], structure: tree.Structure, n: int) -> int:
    """The number of the carry that ``until`` picks."""
    return int(until(tree.unflatten(structure, list(range(n)))))
