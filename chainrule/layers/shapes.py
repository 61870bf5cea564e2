"""The shapes of what a layer gives, found by recording it: no layer says itself what its output's shape is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.layers.context import Call, calling
from chainrule.layers.parts import Shape
from chainrule.trace import record

# Extents that stand for those not known while the shape of an output is found. Two of each: what differs between
# them is not known of the output either. Divisible, so that images may be halved and doubled several times.
_BATCHES, _EXTENTS = (11, 13), (96, 64)
UNKNOWN = _EXTENTS[0]


def output_shapes(function: Callable[..., Any], inputs: Sequence[tuple[Shape, np.dtype]],
                  training: bool = False) -> tuple[list[tuple[Shape, np.dtype]], Any]:
    """Shape and dtype of each output of a function of batches, and the structure that holds them.

    Args:
        function: of arrays; nothing is computed, it is recorded.
        inputs: shape and dtype of each; None for an extent that is not known.
        training: whether layers behave as in training.
    """
    unknown = any(None in shape[1:] for shape, _ in inputs)
    rows = next((shape[0] for shape, _ in inputs if shape), None)

    def run(*values: Any) -> Any:
        with calling(Call(training, trial=True, unknown=unknown, batch=rows)):
            return function(*values)

    def shapes(batch: int, extent: int) -> Any:
        samples = [np.broadcast_to(np.zeros((), dtype), _filled(shape, batch, extent)) for shape, dtype in inputs]
        graph, structure = record(run, tuple(samples))
        return [(node.shape, node.dtype) for node in graph.outputs], structure
    first, structure = shapes(_BATCHES[0], _EXTENTS[0])
    second = shapes(_BATCHES[1], _EXTENTS[1])[0] if unknown else first
    batched = any(shape[:1] == (None,) for shape, _ in inputs)
    found = []
    for (shape, dtype), (other, _) in zip(first, second, strict=True):
        known = tuple(a if a == b else None for a, b in zip(shape, other, strict=True))
        if batched and known and shape[0] == _BATCHES[0]:
            known = (None, *known[1:])
        found.append((known, dtype))
    return found, structure


def _filled(shape: Shape, batch: int, extent: int) -> tuple[int, ...]:
    return tuple((extent if i else batch) if n is None else n for i, n in enumerate(shape))


def is_shape(x: Any) -> bool:
    """Whether it is one shape, rather than a container of them."""
    return isinstance(x, list | tuple) and all(n is None or isinstance(n, int | np.integer) for n in x)


def leaves_of(shapes: Any) -> list[Shape]:
    """The shapes of a container of shapes."""
    if is_shape(shapes):
        return [tuple(shapes)]
    if isinstance(shapes, dict):
        return [leaf for each in shapes.values() for leaf in leaves_of(each)]
    if isinstance(shapes, list | tuple):
        return [leaf for each in shapes for leaf in leaves_of(each)]
    raise ShapeError.of(f"got {shapes!r} as a shape", "extents, None for those not known, or a container of shapes",
                        "(None, 10)")


def filled_in(shapes: Any, values: Any) -> Any:
    """A container of shapes with the next of ``values``, an iterator, in the place of each."""
    if is_shape(shapes):
        return next(values)
    if isinstance(shapes, dict):
        return {name: filled_in(each, values) for name, each in shapes.items()}
    return [filled_in(each, values) for each in shapes]


__all__ = ["UNKNOWN", "filled_in", "is_shape", "leaves_of", "output_shapes"]
