"""Layers that change shapes: nothing is computed, most cost nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import Layer
from chainrule.layers.context import CALL
from chainrule.nn.resize import METHODS, resize
from chainrule.nn.windows import back, channels_last
from chainrule.numpy.common import reshaped, transposed

Pairs = tuple[tuple[int, int], ...]


class Flatten(Layer):
    """Each sample as a vector: ``(batch, a, b, …)`` becomes ``(batch, a·b·…)``.

    Args:
        data_format: ``'channels_first'`` moves the second axis to the end first.
        options: those of every :class:`Layer`.

    Example:
        >>> Flatten()(np.zeros((5, 2, 3))).shape
        (5, 6)
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = format_of(data_format)

    def call(self, x: Any) -> Any:
        """The batch as a matrix."""
        if self.data_format == "channels_first" and len(x.shape) > 2:
            x = transposed(x, (0, *range(2, len(x.shape)), 1))
        return reshaped(x, (x.shape[0], math.prod(x.shape[1:])))


class Reshape(Layer):
    """Each sample in another shape.

    Args:
        target_shape: of a sample; one extent may be -1: what remains.
        options: those of every :class:`Layer`.

    Example:
        >>> Reshape((3, -1))(np.zeros((5, 6))).shape
        (5, 3, 2)
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(int(n) for n in target_shape)
        if sum(n == -1 for n in self.target_shape) > 1 or any(n < -1 for n in self.target_shape):
            raise ArgumentError.of(f"got target_shape={target_shape!r}", "extents, one of them -1 at most",
                                   "target_shape=(28, -1)")

    def call(self, x: Any) -> Any:
        """The batch in its new shape."""
        size, known = math.prod(x.shape[1:]), math.prod(n for n in self.target_shape if n != -1)
        shape = tuple(size // max(known, 1) if n == -1 else n for n in self.target_shape)
        call = CALL.get()
        if math.prod(shape) != size and call is not None and call.unknown:  # the extents that stand for it do not fit
            return np.zeros((x.shape[0], *(size if n == -1 else n for n in self.target_shape)), x.dtype)
        if math.prod(shape) != size:
            raise ShapeError.of(f"layer {self.name!r} (Reshape) got samples of shape {tuple(x.shape[1:])}, {size} "
                                f"numbers, for target_shape={self.target_shape}", "as many numbers",
                                f"Reshape(({size},))")
        return reshaped(x, (x.shape[0], *shape))

    def describe(self) -> str:
        """The shape."""
        return str(self.target_shape)


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: a permutation of 1, 2, …: the batch, axis 0, stays where it is.
        options: those of every :class:`Layer`.

    Example:
        >>> Permute((2, 1))(np.zeros((5, 2, 3))).shape
        (5, 3, 2)
    """

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError.of(f"got dims={dims!r}", "a permutation of 1, 2, … for the axes after the batch",
                                   "dims=(2, 1)")

    def call(self, x: Any) -> Any:
        """The batch with its axes permuted."""
        if len(x.shape) != len(self.dims) + 1:
            raise ShapeError.of(f"layer {self.name!r} (Permute) got samples of shape {tuple(x.shape[1:])} for "
                                f"dims={self.dims}", f"samples of {len(self.dims)} axes", "dims=(2, 1)")
        return transposed(x, (0, *self.dims))

    def describe(self) -> str:
        """The order."""
        return str(self.dims)


class RepeatVector(Layer):
    """A vector ``n`` times: ``(batch, features)`` becomes ``(batch, n, features)``.

    Args:
        n: how often.
        options: those of every :class:`Layer`.

    Example:
        >>> RepeatVector(3)(np.zeros((5, 2))).shape
        (5, 3, 2)
    """

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = whole("n", n)

    def call(self, x: Any) -> Any:
        """The repeated batch."""
        if len(x.shape) != 2:
            raise ShapeError.of(f"layer {self.name!r} (RepeatVector) got samples of shape {tuple(x.shape[1:])}",
                                "vectors", "Flatten() before it")
        return np.broadcast_to(x[:, None], (x.shape[0], self.n, x.shape[1]))

    def describe(self) -> str:
        """How often."""
        return str(self.n)


class _Spatial(Layer):
    """A layer on images and their like.

    Args:
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
    """

    rank = 2

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = format_of(data_format)

    def call(self, x: Any) -> Any:
        """The batch, changed along its spatial axes."""
        if len(x.shape) != self.rank + 2:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got a batch of shape {tuple(x.shape)}",
                                f"{self.rank + 2} axes: the batch, {self.rank} spatial ones and the channels",
                                "x[..., None]")
        return back(self.changed(channels_last(type(self).__name__, x, self.data_format)), self.data_format)

    def changed(self, x: Any) -> Any:
        """What becomes of a batch with channels last."""
        raise NotImplementedError


class _ZeroPadding(_Spatial):
    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.padding = pairs_of("padding", padding, self.rank)

    def changed(self, x: Any) -> Any:
        """The batch with zeros around it."""
        return np.pad(x, ((0, 0), *self.padding, (0, 0)))

    def describe(self) -> str:
        """The padding."""
        return str(self.padding)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after each sequence.

    Args:
        padding: how many on both sides, or a pair.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.

    Example:
        >>> ZeroPadding1D(2)(np.ones((1, 3, 4))).shape
        (1, 7, 4)
    """

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around each image.

    Args:
        padding: how many on all sides, ``(vertical, horizontal)``, or ``((top, bottom), (left, right))``.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.

    Example:
        >>> ZeroPadding2D(((1, 0), (2, 2)))(np.ones((1, 3, 4, 1))).shape
        (1, 4, 8, 1)
    """


class ZeroPadding3D(_ZeroPadding):
    """Zeros around each volume; ``padding`` as for :class:`ZeroPadding2D`, with a third axis."""

    rank = 3


class _Cropping(_Spatial):
    def __init__(self, cropping: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.cropping = pairs_of("cropping", cropping, self.rank)

    def changed(self, x: Any) -> Any:
        """The batch without its margins."""
        extents = x.shape[1:-1]
        if any(a + b >= n for n, (a, b) in zip(extents, self.cropping, strict=True)):
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) takes {self.cropping} of extents "
                                f"{tuple(extents)}", "something that remains", f"{type(self).__name__}(0)")
        return x[(slice(None), *(slice(a, n - b) for n, (a, b) in zip(extents, self.cropping, strict=True)))]

    def describe(self) -> str:
        """The margins."""
        return str(self.cropping)


class Cropping1D(_Cropping):
    """Each sequence without its first and last elements.

    Args:
        cropping: how many on both sides, or a pair.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.

    Example:
        >>> Cropping1D((1, 0))(np.arange(3.0).reshape(1, 3, 1)).ravel()
        array([1., 2.], dtype=float32)
    """

    rank = 1


class Cropping2D(_Cropping):
    """Each image without its margins.

    Args:
        cropping: how many on all sides, ``(vertical, horizontal)``, or ``((top, bottom), (left, right))``.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.

    Example:
        >>> Cropping2D(1)(np.ones((1, 5, 6, 2))).shape
        (1, 3, 4, 2)
    """

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping3D(_Cropping):
    """Each volume without its margins; ``cropping`` as for :class:`Cropping2D`, with a third axis."""

    rank = 3


class _UpSampling(_Spatial):
    def __init__(self, size: Any = 2, data_format: str | None = None, interpolation: str = "nearest",
                 **options: Any) -> None:
        super().__init__(data_format, **options)
        self.size = each_of("size", size, self.rank)
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in METHODS:
            raise ArgumentError.of(f"got interpolation={interpolation!r}", f"one of {METHODS}",
                                   "interpolation='bilinear'")

    def changed(self, x: Any) -> Any:
        """The enlarged batch."""
        return resize(x, tuple(n * k for n, k in zip(x.shape[1:-1], self.size, strict=True)), self.interpolation)

    def describe(self) -> str:
        """The factors."""
        return str(self.size)


class UpSampling1D(_UpSampling):
    """Each element of a sequence ``size`` times.

    Args:
        size: how often.
        options: those of every :class:`Layer`.

    Example:
        >>> UpSampling1D(2)(np.arange(2.0).reshape(1, 2, 1)).ravel()
        array([0., 0., 1., 1.], dtype=float32)
    """

    rank = 1

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(size, **options)


class UpSampling2D(_UpSampling):
    """Images enlarged by whole factors.

    Args:
        size: the factor, or one for rows and one for columns.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        interpolation: ``'nearest'`` repeats pixels, ``'bilinear'`` goes straight from one to the next; ``'bicubic'``,
            ``'lanczos3'`` and ``'lanczos5'`` as :func:`chainrule.nn.resize` says.
        options: those of every :class:`Layer`.

    Example:
        >>> UpSampling2D((2, 3))(np.ones((1, 4, 5, 2))).shape
        (1, 8, 15, 2)
    """


class UpSampling3D(_UpSampling):
    """Volumes enlarged by whole factors, by repeating.

    Args:
        size: the factor, or one for each axis.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.
    """

    rank = 3

    def __init__(self, size: Any = 2, data_format: str | None = None, **options: Any) -> None:
        super().__init__(size, data_format, **options)


def format_of(data_format: str | None) -> str:
    """A data format, by default ``channels_last``."""
    if data_format not in (None, "channels_last", "channels_first"):
        raise ArgumentError.of(f"got data_format={data_format!r}", "'channels_last' or 'channels_first'",
                               "data_format='channels_last'")
    return data_format or "channels_last"


def each_of(name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for each spatial axis, given as one or several."""
    numbers = tuple(value) if isinstance(value, list | tuple | np.ndarray) else (value,) * rank
    if len(numbers) != rank:
        raise ArgumentError.of(f"got {name}={value!r} for {rank} spatial axes", f"a whole number, or {rank} of them",
                               f"{name}={(2,) * rank}")
    return tuple(whole(name, n, least) for n in numbers)


def pairs_of(name: str, value: Any, rank: int) -> Pairs:
    """Before and after, for each spatial axis."""
    given = tuple(value) if isinstance(value, list | tuple | np.ndarray) else (value,) * rank
    if rank == 1 and isinstance(value, list | tuple):
        given = (given,) if len(given) == 2 else ()
    pairs = tuple(tuple(n) if isinstance(n, list | tuple) else (n, n) for n in given)
    if len(pairs) != rank or any(len(p) != 2 for p in pairs):
        raise ArgumentError.of(f"got {name}={value!r} for {rank} spatial axes",
                               "a whole number, or for each axis one or a pair", f"{name}=1")
    return tuple((whole(name, a, 0), whole(name, b, 0)) for a, b in pairs)


__all__ = ["Cropping1D", "Cropping2D", "Cropping3D", "Flatten", "Permute", "RepeatVector", "Reshape", "UpSampling1D",
           "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"]
