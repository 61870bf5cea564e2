"""Derivatives of recorded functions: forward mode, linearization, and reverse mode by transposition.

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

from chainrule import tree
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.graph import Node, derived, topological
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import INPUT, Linear, Traced, input_node
from chainrule.trace import Tracer, as_array, as_node

# ---------------------------------------------------------------- on nodes


def push_forward(outputs: Sequence[Node], tangents: Mapping[Node, Any], separate: bool = False) -> dict[Node, Any]:
    """The tangent of every node that depends on the keys of ``tangents`` (a node of zero tangent is left out).

    With ``separate`` every node's tangent is a node of its own, so that its cotangent can be told apart.
    """
    known: dict[Node, Any] = dict(tangents)
    with derived() as origin:
        for node in topological(outputs, stop=tangents):
            if node not in known and not known.keys().isdisjoint(node.inputs):
                origin.source = node.source
                tangent = _tangent(node, known)
                if tangent is not None:
                    known[node] = ew.copy(tangent) if separate else tangent
    return known


def _tangent(node: Node, known: Mapping[Node, Any]) -> Any:
    if node.op.jvp is None:
        if any(d.kind == "f" for d in (node.dtype if isinstance(node.dtype, tuple) else (node.dtype,))):
            raise ChainruleTypeError.of(f"{node.op.name} has no derivative rule (recorded at {node.source})",
                                        "operations with one, or a constant", "cr.stop_gradient(x)")
        return None
    inputs = [Tracer(i) for i in node.inputs]
    return node.op.jvp([known.get(i) for i in node.inputs], inputs, Tracer(node), **node.params)


def pull_back(tangents: Sequence[Any], cotangents: Sequence[Any], placeholders: Sequence[Node]) -> dict[Node, Any]:
    """Transpose the linear program from ``placeholders`` to ``tangents``: the cotangent of each of its nodes."""
    total: dict[Node, Any] = {}

    def accumulate(node: Node, ct: Any) -> None:
        total[node] = ew.add(total[node], ct) if node in total else ct

    roots = [(t.node, ct) for t, ct in zip(tangents, cotangents, strict=True) if isinstance(t, Traced)]
    linear = set(placeholders)
    order = []
    for node in topological([node for node, _ in roots], stop=placeholders):
        if not linear.isdisjoint(node.inputs):
            linear.add(node)
            order.append(node)
    for node, ct in roots:
        if node in linear:
            accumulate(node, ct)
    with derived() as origin:
        for node in reversed(order):
            if node not in total:
                continue
            origin.source = node.source
            inputs = [Linear(i.shape, i.dtype) if i in linear else Tracer(i) for i in node.inputs]
            for i, ct in zip(node.inputs, _transposed(node, total[node], inputs), strict=True):
                if ct is not None and i in linear:
                    accumulate(i, ct)
    return total


def _transposed(node: Node, ct: Any, inputs: list[Any]) -> list[Any]:
    if node.op.transpose is None:
        raise ChainruleTypeError.of(f"{node.op.name} has no transpose rule", "forward mode (cr.jvp)", "")
    return node.op.transpose(ct, inputs, **node.params)


def gradients(output: Node, wrt: Sequence[Node], seed: Any = None, separate: bool = False) -> dict[Node, Any]:
    """The cotangent of each node of ``wrt`` for one output; of every node between as well if ``separate``."""
    placeholders = {n: Tracer(input_node(n.shape, n.dtype)) for n in wrt}
    tangents = push_forward([output], placeholders, separate)
    if output not in tangents:
        return {}
    seed = np.ones(output.shape, output.dtype) if seed is None else seed
    total = pull_back([tangents[output]], [seed], [p.node for p in placeholders.values()])
    return {n: total[t.node] for n, t in tangents.items() if isinstance(t, Traced) and t.node in total}


# ---------------------------------------------------------------- on functions


class _Recording:
    """One run of a function with fresh nodes for the differentiated leaves."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], argnums: tuple[int, ...],
                 options: dict[str, Any],
                 has_aux: bool = False) -> None:
        flat = [tree.flatten(a) for a in args]
        self.leaves: list[Any] = []
        traced_args = []
        for position, (leaves, structure) in enumerate(flat):
            if position in argnums:
                fresh = [_fresh(leaf, position) for leaf in leaves]
                self.leaves += fresh
                leaves = fresh
            traced_args.append(tree.unflatten(structure, leaves))
        self.structures = [flat[i][1] for i in argnums]
        result = function(*traced_args, **options)
        self.aux = None
        if has_aux:
            result, self.aux = result
        self.result = result
        self.wrt = [leaf.node for leaf in self.leaves]

    def close(self) -> None:
        """Declare the fresh inputs ended: what depends on them alone is concrete from here on."""
        for node in self.wrt:
            if node.op is INPUT:
                node.params["closed"] = True

    def unflatten(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves back in the containers of the differentiated arguments."""
        out, at = [], 0
        for structure in self.structures:
            n = structure.leaves
            out.append(tree.unflatten(structure, leaves[at:at + n]))
            at += n
        return out


def _finished(leaves: Sequence[Any]) -> list[Any]:
    """Tracers as the caller should see them: concrete if nothing that is still being recorded leads to them."""
    if not _still_open([x.node for x in leaves if isinstance(x, Traced)]):
        return [_concrete(x) if isinstance(x, Traced) else x for x in leaves]
    return [_concrete(x) if isinstance(x, Traced) and not _still_open([x.node]) else x for x in leaves]


def _still_open(nodes: Sequence[Node]) -> bool:
    """Whether any of the nodes has no value, or depends on an input whose recording goes on."""
    seen, stack = set(nodes), list(nodes)
    while stack:
        node = stack.pop()
        if node.value is None or (node.op is INPUT and "closed" not in node.params):
            return True
        for i in node.inputs:
            if i not in seen:
                seen.add(i)
                stack.append(i)
    return False


def _concrete(x: Traced) -> Any:
    # a copy: the value may be a read-only broadcast, or an array that belongs to the user
    value = np.asarray(x.node.value)
    return value.copy() if value.shape else value[()]


def _fresh(leaf: Any, position: int) -> Tracer:
    array = as_array(leaf)
    if array.dtype.kind != "f":
        raise ChainruleTypeError.of(f"cannot differentiate with respect to argument {position} of dtype {array.dtype}",
                                    "floating-point values", "x = np.asarray(x, dtype=float)")
    if isinstance(leaf, Traced):
        return ew.copy(leaf)
    return Tracer(input_node(array.shape, array.dtype, array))


def _positions(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for p in positions:
        if not -count <= p < count:
            raise ArgumentError.of(f"argnums={argnums} for a call with {count} positional argument{'s' * (count != 1)}",
                                   f"positions from 0 to {count - 1}", "cr.grad(f, argnums=0)")
    return tuple(p % count for p in positions)


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
        recording = _Recording(function, args, _positions(argnums, len(args)), options, has_aux)
        output = recording.result
        _check_scalar(output)
        found = gradients(as_node(output), recording.wrt) if isinstance(output, Traced) else {}
        recording.close()
        aux, aux_structure = tree.flatten(recording.aux)
        value, *rest = _finished([output, *(_cotangent(found, n, n) for n in recording.wrt), *aux])
        parts = recording.unflatten(rest[:len(recording.wrt)])
        gradient = parts[0] if isinstance(argnums, int) else tuple(parts)
        value = _scalar(value)
        return ((value, tree.unflatten(aux_structure, rest[len(recording.wrt):])) if has_aux else value), gradient
    return _named(run, function, "value_and_grad")


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
    return _named(run, function, "grad")


def vjp(function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(function(*args), pull)``, where ``pull(cotangents)`` gives the cotangent of every argument (reverse mode)."""
    recording = _Recording(function, args, tuple(range(len(args))), {})
    outputs, structure = tree.flatten(recording.result)
    placeholders = {n: Tracer(input_node(n.shape, n.dtype)) for n in recording.wrt}
    tangents = push_forward([as_node(o) for o in outputs], placeholders)
    recording.close()

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
        return tuple(recording.unflatten(_finished([_cotangent(total, placeholders[n].node,
                                                               n) for n in recording.wrt])))
    return tree.unflatten(structure, _finished(outputs)), pull


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(function(*primals), directional derivative along tangents)`` by forward mode."""
    recording = _Recording(function, primals, tuple(range(len(primals))), {})
    directions = tree.flatten(tuple(tangents))[0]
    if len(directions) != len(recording.leaves):
        raise ShapeError.of(f"{len(directions)} tangents for {len(recording.leaves)} arrays", "one for each",
                            "cr.jvp(f, (x,), (np.ones_like(x),))")
    for leaf, t in zip(recording.leaves, directions, strict=True):
        if np.shape(t) != leaf.shape:
            raise ShapeError.of(f"a tangent of shape {np.shape(t)} for an argument of shape {leaf.shape}",
                                "the shape of the argument", "cr.jvp(f, (x,), (np.ones_like(x),))")
    given = {n: t if isinstance(t, Traced) else np.asarray(t, n.dtype)
             for n, t in zip(recording.wrt, directions, strict=True)}
    outputs, structure = tree.flatten(recording.result)
    known = push_forward([as_node(o) for o in outputs], given)
    pushed = [known.get(as_node(o)) for o in outputs]
    recording.close()
    pushed = [_zeros(as_node(o)) if p is None else p for p, o in zip(pushed, outputs, strict=True)]
    return tree.unflatten(structure, _finished(outputs)), tree.unflatten(structure, _finished(pushed))


def stop_gradient(x: Any) -> Any:
    """``x`` itself, taken as a constant by differentiation.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: x * cr.stop_gradient(x))(3.0)
        np.float64(3.0)
    """
    return ew.stop_gradient(x)


def finite_difference(function: Callable[..., Any], args: Sequence[Any], argnum: int = 0,
                      step: float | None = None) -> Any:
    """The gradient of a scalar function by central differences: slow, and independent of every derivative rule.

    Args:
        function: returns a scalar.
        args: its arguments; ``args[argnum]`` may be a nested container.
        step: the relative step; the cube root of the rounding unit by default.
    """
    leaves, structure = tree.flatten(args[argnum])
    arrays = [np.array(leaf, copy=True) for leaf in leaves]
    rest = list(args)

    def at() -> float:
        rest[argnum] = tree.unflatten(structure, [a.copy() for a in arrays])
        return float(function(*rest))
    out = []
    for a in arrays:
        g = np.zeros_like(a)
        h0 = step or float(np.finfo(a.dtype).eps) ** (1 / 3)
        for i in np.ndindex(a.shape):
            x = a[i]
            h = h0 * max(1.0, abs(float(x)))
            a[i] = x + h
            up, hi = at(), float(a[i])
            a[i] = x - h
            down, lo = at(), float(a[i])
            a[i] = x
            g[i] = (up - down) / (hi - lo)
        out.append(g)
    return tree.unflatten(structure, out)


def _check_scalar(output: Any) -> None:
    dtype = getattr(output, "dtype", None)
    if isinstance(output, Traced | np.ndarray | np.generic | float | int) and np.shape(output) == ():
        if dtype is None or dtype.kind == "f" or not isinstance(output, Traced):
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


def _named(run: Callable[..., Any], function: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    run.__name__ = f"{prefix}({getattr(function, '__name__', 'function')})"
    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run
