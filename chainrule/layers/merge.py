"""Layers that make one batch of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer
from chainrule.numpy.common import reshaped, transposed


class Merge(Layer):
    """What merging layers share: they are called with a list of batches that broadcast to each other.

    Batches of fewer axes get axes of extent 1 after the batch.
    """

    input_dtype = FLOAT
    supports_masking = True

    def call(self, inputs: Sequence[Any]) -> Any:
        """The merged batch."""
        parts = self.checked(inputs)
        most = max(len(x.shape) for x in parts)
        parts = [reshaped(x, (x.shape[0], *(1,) * (most - len(x.shape)), *x.shape[1:])) for x in parts]
        try:
            np.broadcast_shapes(*(x.shape for x in parts))
        except ValueError:
            raise self.misfit(parts, "shapes that broadcast to each other") from None
        return self.merged(parts)

    def merged(self, parts: list[Any]) -> Any:
        """The batches, which have equally many axes, as one."""
        raise NotImplementedError

    def checked(self, inputs: Any, count: int | None = None) -> list[Any]:
        """The batches as a list."""
        if not isinstance(inputs, list | tuple) or len(inputs) < 1 or (count is not None and len(inputs) != count):
            given = f"{len(inputs)} batches" if isinstance(inputs, list | tuple) else "one batch"
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got {given}",
                                   f"a list of {count or 'several'}", f"{type(self).__name__}()([x, y])")
        return list(inputs)

    def misfit(self, parts: Sequence[Any], fits: str) -> ShapeError:
        """The error for batches whose shapes do not fit together."""
        shapes = ", ".join(str(tuple(x.shape)) for x in parts)
        return ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got batches of shapes {shapes}", fits,
                             "a Dense layer on one of them that makes the extents equal")

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Where any of the inputs' masks is True; none if one has none."""
        if previous_mask is None or any(m is None for m in previous_mask):
            return None
        return reduce(np.logical_or, previous_mask)


class Add(Merge):
    """The sum of the batches.

    Example:
        >>> Add()([np.ones((1, 2)), np.ones((1, 2))])
        array([[2., 2.]], dtype=float32)
    """

    def merged(self, parts: list[Any]) -> Any:
        """Their sum."""
        return reduce(np.add, parts)


class Subtract(Merge):
    """The first batch minus the second.

    Example:
        >>> Subtract()([np.ones((1, 2)), np.zeros((1, 2))])
        array([[1., 1.]], dtype=float32)
    """

    def merged(self, parts: list[Any]) -> Any:
        """Their difference."""
        first, second = self.checked(parts, 2)
        return first - second


class Multiply(Merge):
    """The product of the batches, element by element."""

    def merged(self, parts: list[Any]) -> Any:
        """Their product."""
        return reduce(np.multiply, parts)


class Average(Merge):
    """The mean of the batches, element by element."""

    def merged(self, parts: list[Any]) -> Any:
        """Their mean."""
        return reduce(np.add, parts) * np.float32(1.0 / len(parts))


class Maximum(Merge):
    """The largest of the batches, element by element."""

    def merged(self, parts: list[Any]) -> Any:
        """The largest."""
        return reduce(np.maximum, parts)


class Minimum(Merge):
    """The smallest of the batches, element by element."""

    def merged(self, parts: list[Any]) -> Any:
        """The smallest."""
        return reduce(np.minimum, parts)


class Concatenate(Merge):
    """The batches one after the other along an axis.

    Args:
        axis: not that of the batch.
        options: those of every :class:`Layer`.

    Example:
        >>> Concatenate()([np.ones((5, 2)), np.ones((5, 3))]).shape
        (5, 5)
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Sequence[Any]) -> Any:
        """The joined batch."""
        parts = self.checked(inputs)
        n = len(parts[0].shape)
        if not -n <= self.axis < n or self.axis % n == 0 or any(
                len(x.shape) != n or any(a != b for i, (a, b) in enumerate(zip(x.shape, parts[0].shape, strict=True))
                                         if i != self.axis % n) for x in parts):
            raise self.misfit(parts, f"shapes that differ along axis {self.axis} only")
        return np.concatenate(parts, axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Where any of the joined parts has something."""
        if previous_mask is None:
            return None
        full = [np.ones(x.shape, bool) if m is None else
                np.broadcast_to(m[..., None], x.shape) if len(m.shape) < len(x.shape) else m
                for x, m in zip(inputs, previous_mask, strict=True)]
        return np.any(np.concatenate(full, axis=self.axis), axis=-1)


class Dot(Merge):
    """Sums of products of two batches along an axis of each; the other axes of both remain, the first's before.

    Args:
        axes: of both, or one for each; not that of the batch.
        normalize: whether vectors along the axes are divided by their lengths first: the cosine of their angle.
        options: those of every :class:`Layer`.

    Example:
        >>> Dot(axes=(2, 1))([np.ones((5, 3, 4)), np.ones((5, 4, 2))]).shape
        (5, 3, 2)
    """

    supports_masking = False

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        pair = (axes, axes) if isinstance(axes, int) else tuple(axes)
        if len(pair) != 2 or not all(isinstance(a, int) for a in pair):
            raise ArgumentError.of(f"got axes={axes!r}", "one axis, or one of each batch", "axes=(2, 1)")
        self.axes, self.normalize = pair, bool(normalize)

    def call(self, inputs: Sequence[Any]) -> Any:
        """The products."""
        x, y = self.checked(inputs, 2)
        a, b = (axis % len(z.shape) for axis, z in zip(self.axes, (x, y), strict=True))
        if not a or not b or x.shape[a] != y.shape[b]:
            raise self.misfit((x, y), f"equal extents along axes {self.axes}, which are not the batch")
        if self.normalize:
            x, y = unit(x, a), unit(y, b)
        left, right = [i for i in range(1, len(x.shape)) if i != a], [i for i in range(1, len(y.shape)) if i != b]
        rows, columns = (math.prod(z.shape[i] for i in axes) for z, axes in ((x, left), (y, right)))
        out = np.matmul(reshaped(transposed(x, (0, *left, a)), (x.shape[0], rows, x.shape[a])),
                        reshaped(transposed(y, (0, b, *right)), (y.shape[0], y.shape[b], columns)))
        shape = (x.shape[0], *(x.shape[i] for i in left), *(y.shape[i] for i in right))
        return reshaped(out, shape if len(shape) > 1 else (shape[0], 1))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """None: steps are summed over."""
        return None


def unit(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Vectors along ``axis`` divided by their lengths."""
    squares = np.sum(np.square(x), axis=axis, keepdims=True)
    return x / np.sqrt(np.maximum(squares, np.float32(1e-12)))


__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Merge", "Minimum", "Multiply", "Subtract"]
