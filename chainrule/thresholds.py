"""Activations with thresholds: functions that are exactly 0 over a stretch, and probabilities that may be 0.

They are reached as ``chainrule.activations``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert, dtype_of


def bounded_relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``x`` above ``threshold``, at most ``max_value``; below it ``negative_slope (x - threshold)``.

    Example:
        >>> bounded_relu(np.array([-1.0, 2.0, 9.0]), negative_slope=0.1, max_value=6.0)
        array([-0.1,  2. ,  6. ])
    """
    if threshold:
        below = ew.mul(ew.sub(x, threshold), negative_slope) if negative_slope else _like(x, 0.0)
        out = ew.select(ew.le(x, threshold), below, x)
    elif negative_slope:
        out = ew.mul(x, ew.select(ew.gt(x, 0.0), _like(x, 1.0), _like(x, negative_slope)))
    else:
        out = ew.relu(x)
    return out if max_value is None else ew.minimum(out, max_value)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """``x`` where it is above ``threshold``, else ``default_value``.

    Example:
        >>> threshold(np.array([-1.0, 2.0]), 1.0, 0.5)
        array([0.5, 2. ])
    """
    return ew.select(ew.gt(x, threshold), x, _like(x, default_value))


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` where its size is above ``threshold``, else 0.

    Example:
        >>> hard_shrink(np.array([-0.5, 0.6]))
        array([0. , 0.6])
    """
    return ew.select(ew.gt(ew.abs_(x), threshold), x, _like(x, 0.0))


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` moved by ``threshold`` towards 0, and 0 where it is not larger.

    Example:
        >>> soft_shrink(np.array([-1.5, 0.5]))
        array([-1.,  0.])
    """
    shrunk = ew.select(ew.lt(x, -threshold), ew.add(x, threshold), _like(x, 0.0))
    return ew.select(ew.gt(x, threshold), ew.sub(x, threshold), shrunk)


def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``.

    Example:
        >>> tanh_shrink(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.2384])
    """
    return ew.sub(x, ew.tanh(x))


def sparse_plus(x: Any) -> Any:
    """0 up to -1, ``(x + 1)² / 4`` up to 1, ``x`` above: a smooth relu that is 0 where it is nearly so.

    Example:
        >>> sparse_plus(np.array([-2.0, 0.0, 3.0]))
        array([0.  , 0.25, 3.  ])
    """
    moved = ew.add(x, 1.0)
    middle = ew.mul(ew.mul(moved, moved), 0.25)
    return ew.select(ew.le(x, -1.0), _like(x, 0.0), ew.select(ew.lt(x, 1.0), middle, x))


def sparse_sigmoid(x: Any) -> Any:
    """``(x + 1) / 2``, at least 0 and at most 1.

    Example:
        >>> sparse_sigmoid(np.array([-2.0, 0.0, 3.0]))
        array([0. , 0.5, 1. ])
    """
    middle = ew.mul(ew.add(x, 1.0), 0.5)
    return ew.select(ew.le(x, -1.0), _like(x, 0.0), ew.select(ew.ge(x, 1.0), _like(x, 1.0), middle))


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point to ``x`` among probabilities along ``axis``: some of them exactly 0.

    It is ``max(x - τ, 0)`` with the τ for which these sum to 1.

    Example:
        >>> sparsemax(np.array([[0.0, 0.5, 2.0], [1.0, 1.0, 0.0]]))
        array([[0. , 0. , 1. ],
               [0.5, 0.5, 0. ]])

    Source: Martins and Astudillo, "From softmax to sparsemax", ICML 2016.
    """
    down = np.flip(np.sort(ew.stop_gradient(x), axis=axis), axis)
    place = [1] * len(x.shape)
    place[axis] = x.shape[axis]
    rank = np.reshape(np.arange(1, x.shape[axis] + 1, dtype=x.dtype), tuple(place))
    kept = 1.0 + rank * down > np.cumsum(down, axis=axis)  # the largest ones, which have a share
    least = np.min(np.where(kept, down, np.asarray(np.inf, x.dtype)), axis=axis, keepdims=True)
    shared = (ew.stop_gradient(x) >= least).astype(x.dtype)
    level = (np.sum(x * shared, axis=axis, keepdims=True) - 1.0) / np.sum(shared, axis=axis, keepdims=True)
    return np.maximum(x - level, 0.0) * shared


def _like(x: Any, value: float) -> Any:
    """A scalar of the floating dtype in which a function of ``x`` is computed."""
    return convert(value, dtypes.floating(dtype_of(x)))


__all__ = ["bounded_relu", "hard_shrink", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "tanh_shrink",
           "threshold"]
