"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError
from chainrule.numpy.common import array, axes_of, kept, records, reshaped, transposed
from chainrule.numpy.matrices import singular_norm
from chainrule.numpy.reductions import max_, min_, root, sum_, truth
from chainrule.ops import elementwise as ew
from chainrule.ops import reduce
from chainrule.ops.declare import convert


@records(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (``ord`` None, 0, ±p, ±inf) or matrices (``ord`` None, 'fro', 'nuc', ±1, ±2, ±inf).

    The gradient at 0 is 0.
    """
    x = array(x)
    x = convert(x, x.dtype if dtypes.is_float(x.dtype) else np.dtype(np.float64))
    axes = axes_of(axis, len(x.shape))
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return kept(root(reduce.sum_(ew.mul(x, x), axes=axes)), axes, x.shape, keepdims)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        along, across = axis if axis is not None else axes
        summed, kept_axis = (along, across) if abs(ord) == 1 else (across, along)
        total = sum_(ew.abs_(x), summed, keepdims=True)
        out = (max_ if ord > 0 else min_)(total, kept_axis, keepdims=True)
        return kept(reshaped(out, [n for i, n in enumerate(x.shape) if i not in axes]), axes, x.shape, keepdims)
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        return kept(singular_norm(x, ord, axes), axes, x.shape, keepdims)
    raise ArgumentError.of(f"in np.linalg.norm with ord={ord!r} over {len(axes)} axes",
                           "of vectors: 0, ±p, ±inf; of matrices: 'fro', 'nuc', ±1, ±2, ±inf", "np.linalg.norm(x)")


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if order == 0:
        return ew.cast(sum_(truth(x), axes, keepdims=keepdims), dtype=x.dtype)
    size = ew.abs_(x)
    if order == np.inf:
        return max_(size, axes, keepdims=keepdims)
    if order == -np.inf:
        return min_(size, axes, keepdims=keepdims)
    if order == 1:
        return sum_(size, axes, keepdims=keepdims)
    total = sum_(ew.pow_(size, float(order)), axes, keepdims=keepdims)
    return root(total, order) if order > 0 else ew.pow_(total, 1 / order)


@records(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of all elements along axes taken as one vector."""
    x = array(x)
    axes = axes_of(axis, len(x.shape))
    if ord == 2:
        return norm(x, None, axes, keepdims)
    last = [i for i in range(len(x.shape)) if i not in axes]
    flat = reshaped(transposed(x, [*last, *axes]), (*(x.shape[i] for i in last), math.prod(x.shape[i] for i in axes)))
    return kept(norm(flat, ord, -1), axes, x.shape, keepdims)


@records(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the matrices of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)
