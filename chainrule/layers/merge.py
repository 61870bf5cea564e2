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

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Where any of the inputs' masks is True; none if one has none."""
        masks = self.masks(inputs, mask)
        return None if masks is None or any(m is None for m in masks) else reduce(np.logical_or, masks)

    def masks(self, inputs: Any, mask: Any) -> list[Any] | None:
        """The masks, one for each batch; None if there are none at all."""
        if mask is None:
            return None
        lists = isinstance(mask, list | tuple) and isinstance(inputs, list | tuple)
        if not lists or len(mask) != len(inputs):
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got the mask {mask!r}"[:200],
                                   "a list with a mask, or None, for each of a list of batches", "mask=[m, None]")
        return None if all(m is None for m in mask) else list(mask)


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
    """The product of the batches, element by element; steps that masks skip count as 1, where all skip it is 0."""

    def call(self, inputs: Sequence[Any], mask: Any = None) -> Any:
        """The merged batch."""
        masks = self.masks(inputs, mask)
        if masks is None:
            return super().call(inputs)
        out = reduce(np.multiply, [x if m is None else np.where(m[..., None], x, np.float32(1))
                                   for x, m in zip(self.checked(inputs), masks, strict=True)])
        if any(m is None for m in masks):
            return out
        return np.where(reduce(np.logical_or, masks)[..., None], out, np.float32(0))

    def merged(self, parts: list[Any]) -> Any:
        """Their product."""
        return reduce(np.multiply, parts)


class Average(Merge):
    """The mean of the batches, element by element."""

    def merged(self, parts: list[Any]) -> Any:
        """Their mean."""
        return reduce(np.add, parts) * np.float32(1.0 / len(parts))


class Maximum(Merge):
    """The largest of the batches, element by element; of steps that masks skip in one batch, that of the others."""

    choice: Any = staticmethod(np.maximum)

    def call(self, inputs: Sequence[Any], mask: Any = None) -> Any:
        """The merged batch."""
        masks = self.masks(inputs, mask)
        if masks is None:
            return super().call(inputs)
        parts = self.checked(inputs)
        out, seen = parts[0], masks[0]
        for x, m in zip(parts[1:], masks[1:], strict=True):
            if m is not None:
                x = np.where(m[..., None], x, out)
            if seen is not None:
                out = np.where(seen[..., None], out, x)
            out = type(self).choice(out, x)
            seen = None if m is None or seen is None else np.logical_or(seen, m)
        return out

    def merged(self, parts: list[Any]) -> Any:
        """The largest, or smallest."""
        return reduce(type(self).choice, parts)


class Minimum(Maximum):
    """The smallest of the batches, element by element; masks as for :class:`Maximum`."""

    choice = staticmethod(np.minimum)


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

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Where any of the joined parts has something."""
        masks = self.masks(inputs, mask)
        if masks is None:
            return None
        full = [np.ones(x.shape, bool) if m is None else
                np.broadcast_to(m[..., None], x.shape) if len(m.shape) < len(x.shape) else m
                for x, m in zip(inputs, masks, strict=True)]
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

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: steps are summed over."""
        return None


def unit(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Vectors along ``axis`` divided by their lengths."""
    squares = np.sum(np.square(x), axis=axis, keepdims=True)
    return x / np.sqrt(np.maximum(squares, np.float32(1e-12)))


def add(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Add` applied to a list of batches.

    Example:
        >>> add([np.ones((1, 2)), np.ones((1, 2))])
        array([[2., 2.]], dtype=float32)
    """
    return Add(**options)(inputs)


def subtract(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Subtract` applied to a list of two batches."""
    return Subtract(**options)(inputs)


def multiply(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Multiply` applied to a list of batches."""
    return Multiply(**options)(inputs)


def average(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Average` applied to a list of batches."""
    return Average(**options)(inputs)


def maximum(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Maximum` applied to a list of batches."""
    return Maximum(**options)(inputs)


def minimum(inputs: Sequence[Any], **options: Any) -> Any:
    """:class:`Minimum` applied to a list of batches."""
    return Minimum(**options)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **options: Any) -> Any:
    """:class:`Concatenate` applied to a list of batches."""
    return Concatenate(axis, **options)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **options: Any) -> Any:
    """:class:`Dot` applied to a list of two batches."""
    return Dot(axes, **options)(inputs)


__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Merge", "Minimum", "Multiply", "Subtract", "add",
           "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"]
