"""Pooling: one number for each window, or for the whole of a channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.nn.windows import Padding, Windows, back, channels_last, each, windows
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert
from chainrule.ops.reduce import max_, sum_
from chainrule.ops.structure import pad

Extents = int | Sequence[int]


def max_pool(x: Any, window: Extents, stride: Extents | None = None, padding: Padding = "valid",
             data_format: str = "channels_last") -> Any:
    """The largest element of each window; padding never wins.

    Where elements of a window tie, they share the derivative.

    Args:
        x: (batch, *spatial, channels) with one to three spatial axes; with ``channels_first`` (batch, channels,
            *spatial).
        window: its extent, on all spatial axes or on each.
        stride: the step between positions; None: the window's extent.
        padding: "valid", "same", or numbers, as for :func:`conv`.
        data_format: where the channels are, in ``x`` and in the result.

    Example:
        >>> from chainrule import nn
        >>> nn.max_pool(np.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1), 2).ravel()
        array([5., 3.])
    """
    x = channels_last("max_pool", x, data_format)
    over = _windows("max_pool", x, window, stride, padding)
    lowest = -np.inf if x.dtype.kind not in "iub" else np.iinfo(x.dtype).min if x.dtype.kind != "b" else False
    seen = over.seen(over.padded(x, lowest))
    return back(max_(seen, axes=_places(over)), data_format)


def avg_pool(x: Any, window: Extents, stride: Extents | None = None, padding: Padding = "valid",
             data_format: str = "channels_last") -> Any:
    """The mean of each window, of what it sees of the input: padding does not count (as in Keras).

    Args:
        x: floats, (batch, *spatial, channels) with one to three spatial axes; with ``channels_first`` (batch, channels,
            *spatial).
        window: its extent, on all spatial axes or on each.
        stride: the step between positions; None: the window's extent.
        padding: "valid", "same", or numbers, as for :func:`conv`.
        data_format: where the channels are, in ``x`` and in the result.

    Example:
        >>> from chainrule import nn
        >>> nn.avg_pool(np.array([1.0, 5.0, 2.0]).reshape(1, 3, 1), 2, padding="same").ravel()
        array([3., 2.])
    """
    x = channels_last("avg_pool", x, data_format)
    over = _windows("avg_pool", x, window, stride, padding)
    wide = convert(x, dtypes.widened(x.dtype))  # half types are added up in float32, as in all sums
    padded = over.padded(wide)
    seen = over.seen(padded)
    total = sum_(seen, axes=_places(over))
    if padded is wide:
        return back(_rounded(ew.mul(total, 1.0 / math.prod(over.window)), x.dtype), data_format)
    ones = pad(np.ones((1, *over.extents, 1)), shape=(1, *over.padded_extents, 1), step=(1,) * len(x.shape),
               start=(0, *(lo for lo, _ in over.pads), 0))
    share = 1.0 / np.maximum(over.seen(ones).sum(axis=_places(over)), 1.0)
    return back(_rounded(ew.mul(total, share.astype(wide.dtype)), x.dtype), data_format)


def global_max_pool(x: Any, keepdims: bool = False, data_format: str = "channels_last") -> Any:
    """The largest element of each channel: (batch, channels), or with extents of 1 between.

    Equals share the derivative.

    Example:
        >>> from chainrule import nn
        >>> nn.global_max_pool(np.arange(6.0).reshape(1, 3, 2))
        array([[4., 5.]])
    """
    return _over_all(np.max, "global_max_pool", x, keepdims, data_format)


def global_avg_pool(x: Any, keepdims: bool = False, data_format: str = "channels_last") -> Any:
    """The mean of each channel: (batch, channels), or with extents of 1 between.

    Example:
        >>> from chainrule import nn
        >>> nn.global_avg_pool(np.arange(6.0).reshape(1, 3, 2))
        array([[2., 3.]])
    """
    return _over_all(np.mean, "global_avg_pool", x, keepdims, data_format)


def _rounded(x: Any, dtype: np.dtype) -> Any:
    """A result that was computed in float32, in ``dtype`` if that is a half type."""
    return convert(x, dtype) if dtypes.is_half(dtype) else x


def _over_all(function: Callable[..., Any], name: str, x: Any, keepdims: bool, data_format: str) -> Any:
    x = channels_last(name, x, data_format)
    out = function(x, axis=tuple(range(1, len(x.shape) - 1)), keepdims=keepdims)
    return back(out, data_format) if keepdims else out


def _windows(name: str, x: Any, window: Extents, stride: Extents | None, padding: Padding) -> Windows:
    n = len(x.shape) - 2
    size = each(name, "window", window, n)
    step = size if stride is None else each(name, "stride", stride, n)
    return windows(name, tuple(x.shape[1:-1]), size, step, (1,) * n, padding)


def _places(over: Windows) -> tuple[int, ...]:
    """The axes of the places in a window, behind those of the positions."""
    n = len(over.window) + 1
    return tuple(range(n, 2 * n - 1))
