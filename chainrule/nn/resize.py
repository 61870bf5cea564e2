"""Images in other sizes."""

from __future__ import annotations

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
        method: ``nearest`` or ``bilinear`` (straight lines between the centres of pixels, along each axis).

    Example:
        >>> from chainrule import nn
        >>> nn.resize(np.array([0.0, 1.0]).reshape(1, 2, 1), (4,)).ravel()
        array([0.  , 0.25, 0.75, 1.  ])
    """
    if method not in ("nearest", "bilinear"):
        raise ArgumentError.of(f"the function resize got method={method!r}", "'nearest' or 'bilinear'",
                               "method='bilinear'")
    for axis, extent in enumerate(extents, start=1):
        have = shape_of(x)[axis]
        if extent == have:
            continue
        if method == "nearest":
            x = np.repeat(x, extent // have, axis=axis) if extent % have == 0 else np.take(
                x, np.arange(extent) * have // extent, axis=axis)
        else:
            x = _along(x, _lines(have, extent).astype(dtype_of(x)), axis)
    return x


def _along(x: Any, weights: np.ndarray, axis: int) -> Any:
    last = len(shape_of(x)) - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    return transposed(transposed(x, order) @ weights, tuple(order.index(i) for i in range(last + 1)))


def _lines(have: int, want: int) -> np.ndarray:
    """How much of each old element (row) is in each new one (column)."""
    centres = (np.arange(want) + 0.5) * have / want - 0.5
    share = np.maximum(0.0, 1.0 - np.abs(centres[None, :] - np.arange(have)[:, None]))
    return share / share.sum(axis=0, keepdims=True)
