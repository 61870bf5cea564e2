"""Images in other sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.numpy.common import transposed
from chainrule.ops.declare import dtype_of, shape_of


def resize(x: Any, extents: tuple[int, ...], method: str = "bilinear") -> Any:
    """Images, or sequences or volumes, in other extents.

    Args:
        x: (batch, *spatial, channels).
        extents: the new spatial extents.
        method: ``nearest``; or along each axis, between the centres of pixels: ``bilinear`` (straight lines),
            ``bicubic`` (cubics through four pixels), ``lanczos3`` and ``lanczos5`` (windowed sines over 6 and 10).

    Example:
        >>> from chainrule import nn
        >>> nn.resize(np.array([0.0, 1.0]).reshape(1, 2, 1), (4,)).ravel()
        array([0.  , 0.25, 0.75, 1.  ])

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2; Duchon, "Lanczos
    filtering in one and two dimensions", 1979.
    """
    if method not in METHODS:
        raise ArgumentError.of(f"the function resize got method={method!r}", f"one of {METHODS}", "method='bilinear'")
    for axis, extent in enumerate(extents, start=1):
        have = shape_of(x)[axis]
        if extent == have:
            continue
        if method == "nearest":
            x = np.repeat(x, extent // have, axis=axis) if extent % have == 0 else np.take(
                x, np.arange(extent) * have // extent, axis=axis)
        else:
            x = _along(x, _shares(have, extent, method).astype(dtype_of(x)), axis)
    return x


def _along(x: Any, weights: np.ndarray, axis: int) -> Any:
    last = len(shape_of(x)) - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    return transposed(transposed(x, order) @ weights, tuple(order.index(i) for i in range(last + 1)))


def _shares(have: int, want: int, method: str) -> np.ndarray:
    """How much of each old element (row) is in each new one (column); of sum 1 also at the borders."""
    centres = (np.arange(want) + 0.5) * have / want - 0.5
    share = _KERNELS[method](np.abs(centres[None, :] - np.arange(have)[:, None]))
    return share / share.sum(axis=0, keepdims=True)


def _cubic(d: np.ndarray) -> np.ndarray:
    near, far = (1.5 * d - 2.5) * d * d + 1.0, ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d < 1.0, near, np.where(d < 2.0, far, 0.0))


def _lanczos(d: np.ndarray, radius: float) -> np.ndarray:
    return np.where(d < radius, np.sinc(d) * np.sinc(d / radius), 0.0)


_KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": lambda d: np.maximum(0.0, 1.0 - d), "bicubic": _cubic, "lanczos3": lambda d: _lanczos(d, 3.0),
    "lanczos5": lambda d: _lanczos(d, 5.0)}
METHODS = ("nearest", *_KERNELS)
