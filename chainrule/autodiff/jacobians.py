"""Whole matrices of derivatives, and products with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.autodiff.derivatives import grad, jvp
from chainrule.autodiff.recording import Recording, finished, named, positions
from chainrule.autodiff.vmap import moved
from chainrule.errors import ArgumentError, ChainruleTypeError
from chainrule.graph import Node
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Linear, input_node, make
from chainrule.ops.index import iota
from chainrule.ops.structure import reshape
from chainrule.ops.transform import node_of, pull_back, push_batch, push_forward, zeros
from chainrule.trace import Tracer, as_node
from chainrule.tracebacks import public

_MODES = (None, "forward", "reverse")


def jacobian(function: Callable[..., Any], argnums: int | Sequence[int] = 0,
             mode: str | None = None) -> Callable[..., Any]:
    """A function that returns all derivatives of all results: arrays of shape ``(*result.shape, *argument.shape)``.

    Containers nest: the result's outside, the arguments' inside.

    Args:
        function: NumPy-style, with floating results.
        argnums: the argument or arguments to differentiate by; each may be a nested container of arrays.
        mode: ``"forward"`` (a pass for each input element), ``"reverse"`` (one for each result element), all passes
            at once as a batch; None takes the one with fewer.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.jacobian(lambda x: np.array([2.0, 3.0]) * x[0] ** x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [6., 0.]])
    """
    if mode not in _MODES:
        raise ArgumentError.of(f"mode={mode!r}", "'forward', 'reverse' or None", "cr.jacobian(f, mode='reverse')")

    def run(*args: Any, **options: Any) -> Any:
        recording = Recording(function, args, positions(argnums, len(args)), options)
        results, structure = tree.flatten(recording.result)
        nodes = [as_node(r) for r in results]
        for node in nodes:
            if not dtypes.is_float(node.dtype):
                raise ChainruleTypeError.of(f"a result of dtype {node.dtype}, which has no derivative",
                                            "floating-point results", "return x * 1.0")
        wide, tall = (sum(math.prod(n.shape) for n in side) for side in (recording.wrt, nodes))
        blocks = (_columns if mode == "forward" or (mode is None and wide <= tall) else _rows)(nodes, recording.wrt)
        recording.close()
        done = iter(finished([b for row in blocks for b in row]))
        rows = []
        for _ in nodes:
            parts = recording.unflatten([next(done) for _ in recording.wrt])
            rows.append(parts[0] if isinstance(argnums, int) else tuple(parts))
        return tree.unflatten(structure, rows)
    return named(run, function, "jacobian")


def _columns(results: Sequence[Node], wrt: Sequence[Node]) -> list[list[Any]]:
    """Forward mode: the linear program for every unit tangent of every input."""
    blocks: list[list[Any]] = [[] for _ in results]
    for x in wrt:
        line = Tracer(input_node(x.shape, x.dtype))
        known = push_forward(results, {x: line}, linear=True)
        ends = [node_of(known[r]) if r in known else None for r in results]
        units = _units(x)
        found = push_batch([e for e in ends if e is not None], {line.node: units}, units.shape[0])
        for row, r, end in zip(blocks, results, ends, strict=True):
            shape = (*r.shape, *x.shape)
            row.append(zeros(Linear(shape, r.dtype)) if end is None else
                       reshape(moved(found[end], 0, len(r.shape)), shape=shape))
    return blocks


def _rows(results: Sequence[Node], wrt: Sequence[Node]) -> list[list[Any]]:
    """Reverse mode: the transposed program for every unit cotangent of every result."""
    lines = {x: Tracer(input_node(x.shape, x.dtype)) for x in wrt}
    known = push_forward(results, lines, linear=True)
    blocks = []
    for r in results:
        row: list[Any] = [zeros(Linear((*r.shape, *x.shape), x.dtype)) for x in wrt]
        if r in known:
            seed, units = Tracer(input_node(r.shape, r.dtype)), _units(r)
            total = pull_back([known[r]], [seed], [line.node for line in lines.values()])
            ends = {k: node_of(total[lines[x].node]) for k, x in enumerate(wrt) if lines[x].node in total}
            found = push_batch(list(ends.values()), {seed.node: units}, units.shape[0])
            for k, end in ends.items():
                row[k] = reshape(found[end], shape=(*r.shape, *wrt[k].shape))
        blocks.append(row)
    return blocks


def _units(x: Node) -> Any:
    """All unit arrays of the shape of ``x``, along a leading axis: computed, not stored."""
    n = math.prod(x.shape)
    row, column = (Tracer(make(iota, (), {"shape": (n, n), "dtype": np.dtype(np.int64), "axis": axis}))
                   for axis in (0, 1))
    return reshape(ew.cast(ew.eq(row, column), dtype=x.dtype), shape=(n, *x.shape))


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of a scalar function: forward mode over reverse mode.

    Arrays of shape ``(*argument.shape, *argument.shape)``, in containers of containers like the arguments.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
        array([[10.,  6.],
               [ 6.,  0.]])
    """
    return named(jacobian(grad(function, argnums), argnums, mode="forward"), function, "hessian")


@public
def hvp(function: Callable[..., Any], args: Any, vectors: Any) -> Any:
    """The Hessian of a scalar function times a vector, without the Hessian: the cost of a few gradients.

    Args:
        function: its result a floating scalar.
        args: the argument, or a tuple of all of them.
        vectors: arrays like ``args``.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.hvp(lambda x: np.sum(x ** 3), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
        array([6., 0.])
    """
    if not isinstance(args, tuple):
        return jvp(grad(function), (args,), (vectors,))[1]
    return jvp(grad(function, tuple(range(len(args)))), args, vectors)[1]
