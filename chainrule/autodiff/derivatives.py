"""Derivatives of functions: gradients, cotangents pulled back, tangents pushed forward, linear programs.

*Forward mode* pushes tangents through the graph with each operation's ``jvp`` rule. Applied to placeholder
tangents it gives the *linearized* program: a graph, linear in the placeholders. *Reverse mode* walks that
graph backwards with each operation's ``transpose`` rule. Every derivative is therefore written once.

Source: the linearize-then-transpose formulation of Radul, Paszke, Frostig, Johnson and Maclaurin,
"You Only Linearize Once", POPL 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.autodiff.recording import Recording, finished, named, positions
from chainrule.autodiff.remembered import remembered
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.graph import Node
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, input_node
from chainrule.ops.transform import pull_back, push_forward, replay
from chainrule.trace import Tracer, as_node
from chainrule.tracebacks import public


def gradients(output: Node, wrt: Sequence[Node], seed: Any = None, separate: bool = False) -> dict[Node, Any]:
    """The cotangent of each node of ``wrt`` for one output; of every node between as well if ``separate``."""
    placeholders = {n: Tracer(input_node(n.shape, n.dtype)) for n in wrt}
    tangents = push_forward([output], placeholders, separate, linear=True)
    if output not in tangents:
        return {}
    seed = np.ones(output.shape, output.dtype) if seed is None else seed
    total = pull_back([tangents[output]], [seed], [p.node for p in placeholders.values()])
    return {n: total[t.node] for n, t in tangents.items() if isinstance(t, Traced) and t.node in total}


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0,
                   has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns ``(function(...), gradient)``.

    Args:
        function: NumPy-style, its result a floating scalar (with ``has_aux``: a pair of it and anything).
        argnums: the argument or arguments to differentiate by; each may be a nested container of arrays.
        has_aux: whether the function returns ``(scalar, auxiliary)``.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.value_and_grad(lambda x: np.sum(x ** 2))(np.array([1.0, 2.0]))
        (np.float64(5.0), array([2., 4.]))
    """
    def run(*args: Any, **options: Any) -> Any:
        recording = Recording(function, args, positions(argnums, len(args)), options, has_aux)
        output = recording.result
        _check_scalar(output)
        found = remembered(as_node(output), recording.wrt, gradients) if isinstance(output, Traced) else {}
        recording.close()
        aux, aux_structure = tree.flatten(recording.aux)
        value, *rest = finished([output, *(_cotangent(found, n, n) for n in recording.wrt), *aux])
        parts = recording.unflatten(rest[:len(recording.wrt)])
        gradient = parts[0] if isinstance(argnums, int) else tuple(parts)
        value = _scalar(value)
        return ((value, tree.unflatten(aux_structure, rest[len(recording.wrt):])) if has_aux else value), gradient
    return named(run, function, "value_and_grad")


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of ``function``: the arguments of :func:`value_and_grad`.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.grad(lambda x: np.sum(np.tanh(x) ** 2))(np.array([0.0, 1.0]))
        array([0.        , 0.63970001])
    """
    both = value_and_grad(function, argnums, has_aux)

    def run(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return (gradient, value[1]) if has_aux else gradient
    return named(run, function, "grad")


@public
def vjp(function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(function(*args), pull)``, where ``pull(cotangents)`` gives the cotangent of every argument (reverse mode)."""
    recording = Recording(function, args, tuple(range(len(args))), {})
    outputs, structure = tree.flatten(recording.result)
    placeholders = {n: Tracer(input_node(n.shape, n.dtype)) for n in recording.wrt}
    tangents = push_forward([as_node(o) for o in outputs], placeholders, linear=True)
    recording.close()

    @public
    def pull(cotangents: Any) -> tuple[Any, ...]:
        seeds, given = tree.flatten(cotangents)
        if given != structure:
            raise ShapeError.of(f"cotangents of structure {given} for results of structure {structure}",
                                "the same structure",
                                "pull(tree of arrays shaped like the results)")
        for seed, o in zip(seeds, outputs, strict=True):
            if np.shape(seed) != np.shape(o):
                raise ShapeError.of(f"a cotangent of shape {np.shape(seed)} for a result of shape {np.shape(o)}",
                                    "the shape of the result", "pull(np.ones_like(result))")
        total = pull_back([tangents.get(as_node(o)) for o in outputs], seeds, [p.node for p in placeholders.values()])
        return tuple(recording.unflatten(finished([_cotangent(total, placeholders[n].node,
                                                               n) for n in recording.wrt])))
    return tree.unflatten(structure, finished(outputs)), pull


@public
def linearize(function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., Any]]:
    """``(function(*args), push)``, where ``push(*tangents)`` is the linear function that approximates it there.

    The function is recorded once; ``push`` costs its linear part only.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> value, push = cr.linearize(np.sin, 0.0)
        >>> push(1.0), push(-2.0)
        (np.float64(1.0), np.float64(-2.0))
    """
    recording = Recording(function, args, tuple(range(len(args))), {})
    outputs, structure = tree.flatten(recording.result)
    lines = {n: Tracer(input_node(n.shape, n.dtype)) for n in recording.wrt}
    nodes = [as_node(o) for o in outputs]
    known = push_forward(nodes, lines, linear=True)
    recording.close()

    @public
    def push(*tangents: Any) -> Any:
        given = dict(zip([line.node for line in lines.values()], _directions(tangents, recording), strict=True))
        ends = [as_node(known[n]) if n in known else None for n in nodes]
        found = iter(replay([e for e in ends if e is not None], given))
        pushed = [_zeros(n) if e is None else next(found) for n, e in zip(nodes, ends, strict=True)]
        return tree.unflatten(structure, finished(pushed))
    return tree.unflatten(structure, finished(outputs)), push


@public
def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(function(*primals), directional derivative along tangents)`` by forward mode."""
    recording = Recording(function, primals, tuple(range(len(primals))), {})
    given = dict(zip(recording.wrt, _directions(tangents, recording), strict=True))
    outputs, structure = tree.flatten(recording.result)
    known = push_forward([as_node(o) for o in outputs], given)
    pushed = [known.get(as_node(o)) for o in outputs]
    recording.close()
    pushed = [_zeros(as_node(o)) if p is None else p for p, o in zip(pushed, outputs, strict=True)]
    return tree.unflatten(structure, finished(outputs)), tree.unflatten(structure, finished(pushed))


def _directions(tangents: Sequence[Any], recording: Recording) -> list[Any]:
    """The tangents of all leaves, which must fit them."""
    directions = tree.flatten(tuple(tangents))[0]
    if len(directions) != len(recording.leaves):
        raise ShapeError.of(f"{len(directions)} tangents for {len(recording.leaves)} arrays", "one for each",
                            "cr.jvp(f, (x,), (np.ones_like(x),))")
    for leaf, t in zip(recording.leaves, directions, strict=True):
        if np.shape(t) != leaf.shape:
            raise ShapeError.of(f"a tangent of shape {np.shape(t)} for an argument of shape {leaf.shape}",
                                "the shape of the argument", "cr.jvp(f, (x,), (np.ones_like(x),))")
    return [t if isinstance(t, Traced) else np.asarray(t, n.dtype)
            for n, t in zip(recording.wrt, directions, strict=True)]


def stop_gradient(x: Any) -> Any:
    """``x`` itself, taken as a constant by differentiation.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: x * cr.stop_gradient(x))(3.0)
        np.float64(3.0)
    """
    return ew.stop_gradient(x)


def _check_scalar(output: Any) -> None:
    dtype = getattr(output, "dtype", None)
    if isinstance(output, Traced | np.ndarray | np.generic | float | int) and np.shape(output) == ():
        if dtype is None or dtypes.is_float(dtype) or not isinstance(output, Traced):
            return
        raise ChainruleTypeError.of(f"the function returned a scalar of dtype {dtype}, which has no gradient",
                                    "a floating-point scalar", "return np.sum(x * 1.0)")
    raise ShapeError.of(f"grad needs a function with a scalar result, and this one returned {_described(output)}",
                        "one number", "cr.grad(lambda x: np.sum(f(x)))   # or cr.vjp for arrays")


def _described(output: Any) -> str:
    if isinstance(output, Traced | np.ndarray):
        return f"an array of shape {output.shape}"
    return f"a {type(output).__name__}"


def _cotangent(total: Mapping[Node, Any], key: Node, node: Node) -> Any:
    """What was accumulated for ``key``: zeros if nothing was, and never an array that somebody else holds."""
    found = total.get(key)
    if found is None:
        return _zeros(node)
    return found if isinstance(found, Traced) else np.array(found)[()]


def _zeros(node: Node) -> Any:
    return np.zeros(node.shape, node.dtype)[()]


def _scalar(value: Any) -> Any:
    return value if isinstance(value, Traced) else np.asarray(value)[()]
