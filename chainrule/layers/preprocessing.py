"""Layers that bring data into the range in which networks learn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError, ShapeError, UsageError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.normalization import axes_of, extents
from chainrule.layers.parts import as_input

Axes = int | Sequence[int]


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)`` with the statistics of the whole data, which :meth:`adapt` takes in.

    Args:
        axis: axes with a mean and a variance of their own for each index; None: one for all.
        mean: the means, in place of ``adapt``: a number, or an array over the last of the axes.
        variance: the variances, of the same shape.
        invert: whether to undo it: ``x * sqrt(variance) + mean``.
        options: those of every :class:`Layer`.

    Example:
        >>> layer = Normalization()
        >>> layer.adapt(np.array([[1.0, 0.0], [3.0, 10.0]]))
        >>> layer(np.array([[3.0, 5.0]]))
        array([[1., 0.]], dtype=float32)
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, axis: Axes | None = -1, mean: Any = None, variance: Any = None, invert: bool = False,
                 **options: Any) -> None:
        super().__init__(**options)
        self.axis, self.invert = axis, bool(invert)
        self.axes = () if axis is None or axis == () else axes_of(axis)
        self.input_mean, self.input_variance = mean, variance
        if np.shape(mean) != np.shape(variance) or (mean is None) != (variance is None) or (
                len(np.shape(mean)) > len(self.axes)):
            raise ArgumentError.of(f"layer {self.name!r} (Normalization) got mean={mean!r}, variance={variance!r} for "
                                   f"axis={axis}", "both in one shape of an extent for each axis at most, or none of "
                                   "them and adapt", "Normalization(mean=0.0, variance=1.0)")

    def build(self, input_shape: Shape) -> None:
        """Make room for the statistics, where they were not given."""
        shape = extents(self, input_shape, self._sorted(len(input_shape)), batch=True)
        if self.input_mean is None:
            self.adapted_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapted_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", trainable=False, dtype="int32")

    def _sorted(self, ndim: int) -> list[int]:
        """The axes in the order of the batch's."""
        return sorted(self.axes, key=lambda a: a % ndim)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Take in the statistics of ``data``, in place of those it had.

        Args:
            data: samples, the first axis counting them; or an iterable of batches of them, or of tuples whose first
                entry is a batch.
            batch_size: not needed; taken so that a program for Keras runs.
            steps: how many batches of an iterable to take; None: all.

        Raises:
            UsageError: where mean and variance were given.
            DataError: without any data.
            ShapeError: for data in another shape than those before.
        """
        if self.input_mean is not None:
            raise UsageError.of(f"adapt of layer {self.name!r}, which was given its mean and variance",
                                "one of the two", "Normalization()")
        total: Any = 0.0
        squares: Any = 0.0
        count, samples = 0, 0
        for k, batch in enumerate(_batches(data)):
            if steps is not None and k >= steps:
                break
            self.ensure_built((None, *batch.shape[1:]))
            self._check(batch)
            over = tuple(i for i in range(batch.ndim) if i not in {a % batch.ndim for a in self.axes})
            n, mean, variance = math.prod(batch.shape[i] for i in over), batch.mean(axis=over), batch.var(axis=over)
            share = n / (count + n)  # the squares of both parts, and those of the distance of their means
            squares = squares * (1 - share) + variance * share + (mean - total) ** 2 * (share * (1 - share))
            total, count, samples = total + (mean - total) * share, count + n, samples + len(batch)
        if not samples:
            raise DataError.of(f"adapt of layer {self.name!r} got no data", "at least one batch", "layer.adapt([x])")
        self.adapted_mean, self.adapted_variance, self.count = total, squares, samples

    def _check(self, batch: np.ndarray) -> None:
        fits = self.input_shape
        if batch.ndim != len(fits) or any(batch.shape[a] != fits[a] for a in self.axes if fits[a] is not None):
            raise ShapeError.of(f"adapt of layer {self.name!r} got data of shape {batch.shape}",
                                f"the shape it was built for, {fits}", "Normalization() anew")

    def _spread(self, ndim: int, adapted: str, given: Any) -> Any:
        """A statistic in a shape that broadcasts to the batch."""
        axes = self._sorted(ndim)
        values = np.asarray(given, FLOAT) if given is not None else getattr(self, adapted)
        shape, kept = [1] * ndim, [a % ndim for a in axes]
        for axis, n in zip(reversed(kept), reversed(values.shape), strict=False):
            shape[axis] = n
        return np.reshape(values, tuple(shape))

    @property
    def mean(self) -> Any:
        """The mean, in a shape that broadcasts to a batch."""
        return self._whole("adapted_mean", self.input_mean)

    @property
    def variance(self) -> Any:
        """The variance, likewise."""
        return self._whole("adapted_variance", self.input_variance)

    def _whole(self, adapted: str, given: Any) -> Any:
        shape, ndim = self.input_shape, len(self.input_shape)
        kept = {a % ndim for a in self.axes}
        return np.broadcast_to(self._spread(ndim, adapted, given),
                               tuple(n if i in kept else 1 for i, n in enumerate(shape)))

    def call(self, x: Any) -> Any:
        """The batch with the statistics taken away, or put back."""
        mean = self._spread(len(x.shape), "adapted_mean", self.input_mean)
        variance = self._spread(len(x.shape), "adapted_variance", self.input_variance)
        deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
        return x * deviation + mean if self.invert else (x - mean) / deviation


def _batches(data: Any) -> Iterator[np.ndarray]:
    """Data as batches in double precision; vectors of numbers are samples of one."""
    whole = isinstance(data, np.ndarray) or hasattr(data, "__array__") or not isinstance(data, Iterable) or (
        isinstance(data, list | tuple) and np.isscalar(_first(data)))
    for batch in (data,) if whole else data:
        array = np.asarray(batch[0] if isinstance(batch, tuple) else batch, np.float64)
        if array.size:
            yield array[:, None] if array.ndim == 1 else array


def _first(data: Any) -> Any:
    """The first number of nested lists."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return data


class Rescaling(Layer):
    """``x * scale + offset``: pixels from 0 to 255 become numbers from 0 to 1 with ``scale=1/255``.

    Args:
        scale: a number, or one for each element of the last axis.
        offset: likewise.
        options: those of every :class:`Layer`.

    Example:
        >>> Rescaling(1 / 255)(np.array([[255, 0]]))
        array([[1., 0.]], dtype=float32)
    """

    input_dtype = None  # bytes stay bytes until they are here
    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset

    def call(self, x: Any) -> Any:
        """The scaled batch."""
        return as_input(x, FLOAT) * np.asarray(self.scale, FLOAT) + np.asarray(self.offset, FLOAT)

    def describe(self) -> str:
        """Scale and offset."""
        return f"{self.scale}, offset={self.offset}" if np.any(self.offset) else str(self.scale)


__all__ = ["Normalization", "Rescaling"]
