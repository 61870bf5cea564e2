"""``vmap``: a function of one example made a function of a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.autodiff.recording import finished, named
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.declare import input_node, leading
from chainrule.ops.structure import transpose
from chainrule.ops.transform import push_batch
from chainrule.trace import Tracer, as_array, as_node


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """``function`` over a batch: as if it were called for each example and the results stacked, but in whole arrays.

    Args:
        function: NumPy-style, written for one example.
        in_axes: the batch axis of the arguments: one for all, or one for each argument, itself an axis or a container
            of axes like the argument; None where an argument is the same for all examples.
        out_axes: where the results have the batch axis: one for all, or a container like the result; None for
            results that do not depend on the example.

    Raises:
        ShapeError: the batch axes differ in extent, or there is none.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.vmap(cr.grad(lambda w, x: np.tanh(w @ x)), in_axes=(None, 0))(np.zeros(2), np.eye(2))
        array([[1., 0.],
               [0., 1.]])
    """
    def run(*args: Any, **options: Any) -> Any:
        leaves, structure = tree.flatten(args)
        axes = _in_axes(in_axes, args)
        arrays = [as_array(leaf) if axis is not None else leaf for leaf, axis in zip(leaves, axes, strict=True)]
        size = _size(arrays, axes)
        given, batched = [], {}
        for leaf, axis in zip(arrays, axes, strict=True):
            if axis is None:
                given.append(leaf)
                continue
            at = axis % len(leaf.shape)
            one = Tracer(input_node((*leaf.shape[:at], *leaf.shape[at + 1:]), leaf.dtype))
            batched[one.node] = moved(leaf, at, 0)
            given.append(one)
        outputs, out_structure = tree.flatten(function(*tree.unflatten(structure, given), **options))
        nodes = [as_node(o) for o in outputs]
        known = push_batch(nodes, batched, size)
        result = tree.unflatten(out_structure, outputs)
        to = _axes_of(out_axes, result)
        placed = [_placed(known.get(n), n, axis, size) for n, axis in zip(nodes, to, strict=True)]
        return tree.unflatten(out_structure, finished(placed))
    return named(run, function, "vmap")


def moved(x: Any, source: int, target: int) -> Any:
    """``x`` with one axis in another place."""
    order = [i for i in range(len(x.shape)) if i != source]
    order.insert(target, source)
    return x if order == sorted(order) else transpose(x, axes=tuple(order))


def _placed(value: Any, node: Any, axis: int | None, size: int) -> Any:
    if axis is None:
        if value is not None:
            raise ArgumentError.of("out_axes=None for a result that depends on the batch", "an axis", "out_axes=0")
        return Tracer(node)
    batched = leading(Tracer(node), False, size) if value is None else value
    return moved(batched, 0, axis % len(batched.shape))


def _in_axes(spec: Any, args: tuple[Any, ...]) -> list[int | None]:
    if isinstance(spec, list | tuple) and len(spec) != len(args):
        raise ArgumentError.of(f"in_axes={spec} for a call with {len(args)} arguments", "one axis for each",
                               "cr.vmap(f, in_axes=(0, None))(xs, w)")
    return _axes_of(tuple(spec) if isinstance(spec, list) else spec, args)


def _axes_of(spec: Any, value: Any) -> list[int | None]:
    """The axis for each leaf of ``value``; an axis in place of a container is that of all its leaves."""
    if spec is None or isinstance(spec, int):
        return [spec] * len(tree.flatten(value)[0])
    if isinstance(spec, dict) and isinstance(value, dict) and spec.keys() == value.keys():
        order = tree.flatten({k: k for k in value})[0]
        return [axis for k in order for axis in _axes_of(spec[k], value[k])]
    if isinstance(spec, list | tuple) and isinstance(value, list | tuple) and len(spec) == len(value):
        return [axis for s, v in zip(spec, value, strict=True) for axis in _axes_of(s, v)]
    raise ArgumentError.of(f"axes {spec!r} for {tree.flatten(value)[1]}", "an axis, None, or a container of them",
                           "in_axes=(0, {'w': None, 'b': None})")


def _size(arrays: Sequence[Any], axes: Sequence[int | None]) -> int:
    sizes = set()
    for x, axis in zip(arrays, axes, strict=True):
        if axis is not None:
            if not -len(x.shape) <= axis < len(x.shape):
                raise ShapeError.of(f"batch axis {axis} of an array of shape {np.shape(x)}", "an axis that it has",
                                    "in_axes=None   # for what is the same for all examples")
            sizes.add(x.shape[axis])
    if len(sizes) != 1:
        raise ShapeError.of(f"batch axes of extents {sorted(sizes)}" if sizes else "no batch axis",
                            "arguments with one batch extent", "cr.vmap(f, in_axes=(0, None))(xs, w)")
    return int(sizes.pop())


