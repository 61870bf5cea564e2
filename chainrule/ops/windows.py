"""Sliding windows: what a window sees at each of its positions, and the sum over windows that undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import Op, widening

Ints = tuple[int, ...]


def _seen_shape(shape: Ints, axes: Ints, window: Ints, stride: Ints, dilation: Ints) -> Ints:
    out = list(shape)
    for axis, k, s, d in zip(axes, window, stride, dilation, strict=True):
        if shape[axis] < (k - 1) * d + 1:
            raise ShapeError.of(f"a window of {k} elements, {d} apart, over an axis of extent {shape[axis]}",
                                "a window that fits", "cnp.pad(x, ...)")
        out[axis] = (shape[axis] - (k - 1) * d - 1) // s + 1
    at = behind(axes)
    return (*out[:at], *window, *out[at:])


def behind(axes: Ints) -> int:
    """Where the axes of the places in a window stand: behind those of the positions."""
    return max(axes) + 1


def _view(index: list[Any], x_shape: Ints, axes: Ints, window: Ints, stride: Ints, dilation: Ints) -> list[Any]:
    at = behind(axes)
    out = [*index[:at], *index[at + len(axes):]]
    for axis, place, s, d in zip(axes, index[at:at + len(axes)], stride, dilation, strict=True):
        out[axis] = out[axis].affine(s, 0).plus(place.affine(d, 0))
    return out


def _windows_reference(x: Any, axes: Ints, window: Ints, stride: Ints, dilation: Ints) -> Any:
    strides = list(x.strides)
    for axis, s in zip(axes, stride, strict=True):
        strides[axis] *= s
    steps = [x.strides[axis] * d for axis, d in zip(axes, dilation, strict=True)]
    at = behind(axes)
    return np.lib.stride_tricks.as_strided(x, _seen_shape(x.shape, axes, window, stride, dilation),
                                           (*strides[:at], *steps, *strides[at:]), writeable=False)


def _fold_reference(y: Any, shape: Ints, axes: Ints, stride: Ints, dilation: Ints) -> Any:
    out, at = np.zeros(shape, y.dtype), behind(axes)
    for place in product(*map(range, y.shape[at:at + len(axes)])):
        seen = [slice(None)] * len(shape)
        for axis, k, s, d in zip(axes, place, stride, dilation, strict=True):
            seen[axis] = slice(k * d, k * d + s * (y.shape[axis] - 1) + 1, s)
        out[tuple(seen)] += y[(*(slice(None),) * at, *place)]
    return out


def _windows_transpose(ct: Any, x: Sequence[Any], axes: Ints, window: Ints, stride: Ints, dilation: Ints) -> list[Any]:
    return [fold(ct, shape=x[0].shape, axes=axes, stride=stride, dilation=dilation)]


def _fold_transpose(ct: Any, x: Sequence[Any], shape: Ints, axes: Ints, stride: Ints, dilation: Ints) -> list[Any]:
    at = behind(axes)
    return [windows(ct, axes=axes, window=x[0].shape[at:at + len(axes)], stride=stride, dilation=dilation)]


def _later(axes: Ints) -> Ints:
    return tuple(a + 1 for a in axes)


windows: Op = Op(
    "windows", "What a window of extents ``window`` along ``axes``, its elements ``dilation`` apart, sees at every "
    "``stride``-th position: the axes count positions, further ones behind them the places in the window.", "view",
    infer=lambda x, **p: (_seen_shape(x[0], **p), x[1]), reference=_windows_reference, view=_view,
    jvp=lambda t, x, out, **p: windows(t[0], **p), transpose=_windows_transpose,
    batch=lambda args, batched, size, axes, **p: windows(args[0], axes=_later(axes), **p))

fold: Op = Op(
    "fold", "The transpose of ``windows``: an array of ``shape`` in which each element is the sum of all places that "
    "saw it. The compiler writes it as other operations (``compiler/unfold.py``).", "fold",
    infer=lambda y, shape, **_: (shape, y[1]), reference=widening(_fold_reference),
    jvp=lambda t, x, out, **p: fold(t[0], **p), transpose=_fold_transpose, kinds=("f", "i", "u"),
    batch=lambda args, batched, size, shape, axes, **p: fold(args[0], shape=(size, *shape), axes=_later(axes), **p))
