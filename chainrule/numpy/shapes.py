"""Functions of the shape: extents, axes, broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array, axes_of, axis_of, records, reshaped, transposed
from chainrule.ops.declare import broadcast_shapes, expand

# ---------------------------------------------------------------- shape


@records(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The extents."""
    return a.shape


@records(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(a.shape)


@records(np.size)
def size(a: Any, axis: int | None = None) -> int:
    """The number of elements, or the extent of an axis."""
    return math.prod(a.shape) if axis is None else a.shape[axis]


@records(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: bool | None = None) -> Any:
    """The elements under another shape; one extent may be -1."""
    a = array(a)
    shape = _completed(a.shape, shape)
    if order == "F":
        return transposed(reshaped(_reversed(a), shape[::-1]), range(len(shape))[::-1])
    _check_order(order)
    return reshaped(a, shape)


def _completed(old: tuple[int, ...], new: Any) -> tuple[int, ...]:
    new = (int(new),) if isinstance(new, int | np.integer) else tuple(int(n) for n in new)
    if new.count(-1) > 1 or any(n < -1 for n in new):
        raise ArgumentError.of(f"cannot reshape to {new}", "extents of 0 or more, one of them may be -1",
                               "x.reshape(-1, 4)")
    if -1 in new:
        rest, total = math.prod(n for n in new if n != -1), math.prod(old)
        if rest == 0 or total % rest:
            raise ShapeError.of(f"cannot reshape an array of shape {old} ({total} elements) to {new}",
                                f"a shape whose other extents divide {total}", "x.reshape(len(x), -1)")
        new = tuple(total // rest if n == -1 else n for n in new)
    return new


def _check_order(order: str) -> None:
    if order not in ("C", "K", "A"):
        raise ArgumentError.of(f"order={order!r}", "'C' (the last axis varies fastest) or 'F'",
                               "np.reshape(x, shape, order='C')")


def _reversed(a: Any) -> Any:
    return transposed(a, range(len(a.shape))[::-1])


@records(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """The elements in one axis."""
    return reshape(a, -1, order) if math.prod(array(a).shape) else reshape(a, 0, order)


@records(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """The axes in another order, reversed if none is given."""
    a = array(a)
    n = len(a.shape)
    if axes is None:
        return _reversed(a)
    order = tuple(axis_of(x, n) for x in axes)
    if sorted(order) != list(range(n)):
        raise ArgumentError.of(f"cannot transpose an array of {n} axes with axes={tuple(axes)}", "each axis once",
                               "x.T")
    return transposed(a, order)


@records(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@records(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = array(a)
    order = list(range(len(a.shape)))
    i, j = axis_of(axis1, len(order)), axis_of(axis2, len(order))
    order[i], order[j] = order[j], order[i]
    return transposed(a, order)


@records(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places, the rest in their order."""
    a = array(a)
    n = len(a.shape)
    come = [axis_of(x, n) for x in np.atleast_1d(source)]
    go = [axis_of(x, n) for x in np.atleast_1d(destination)]
    order = [x for x in range(n) if x not in come]
    for where, axis in sorted(zip(go, come, strict=True)):
        order.insert(where, axis)
    return transposed(a, order)


@records(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved before the axis ``start``."""
    a = array(a)
    n = len(a.shape)
    order = [x for x in range(n) if x != axis_of(axis, n)]
    start = start + n if start < 0 else start
    order.insert(start - (axis_of(axis, n) < start), axis_of(axis, n))
    return transposed(a, order)


@records(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of extent 1."""
    a = array(a)
    places = axes_of(axis, len(a.shape) + (1 if isinstance(axis, int | np.integer) else len(axis)))
    rest = iter(a.shape)
    return reshaped(a, [1 if i in places else next(rest) for i in range(len(a.shape) + len(places))])


@records(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of extent 1 dropped."""
    a = array(a)
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axes_of(axis, len(a.shape))
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError.of(f"cannot squeeze axis {axis} of an array of shape {a.shape}", "axes of extent 1",
                            "np.squeeze(x)")
    return reshaped(a, [n for i, n in enumerate(a.shape) if i not in axes])


def at_least(n: int, a: Any) -> Any:
    """``a`` with at least ``n`` axes, the new ones where NumPy puts them."""
    a = array(a)
    missing = n - len(a.shape)
    if missing <= 0:
        return a
    if n == 3 and missing == 1:  # NumPy puts the third axis last
        return reshaped(a, (*a.shape, 1))
    return reshaped(a, (1, *a.shape, 1) if n == 3 and missing == 2 else (1,) * missing + tuple(a.shape))


@records(np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    """Scalars as arrays of one element."""
    return at_least(1, arrays[0]) if len(arrays) == 1 else tuple(at_least(1, a) for a in arrays)


@records(np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    """Arrays of at least two axes."""
    return at_least(2, arrays[0]) if len(arrays) == 1 else tuple(at_least(2, a) for a in arrays)


@records(np.atleast_3d)
def atleast_3d(*arrays: Any) -> Any:
    """Arrays of at least three axes."""
    return at_least(3, arrays[0]) if len(arrays) == 1 else tuple(at_least(3, a) for a in arrays)


@records(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """The array repeated to ``shape`` by NumPy's rule."""
    shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    if broadcast_shapes(array.shape, shape) != shape:
        raise ShapeError.of(f"an array of shape {array.shape} does not broadcast to {shape}",
                            "equal extents, or 1, counted from the last axis", "np.broadcast_to(x[:, None], shape)")
    return expand(array, shape)


@records(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any, subok: bool = False) -> tuple[Any, ...]:
    """The arrays repeated to their common shape."""
    together = [array(a) for a in arrays]
    shape = broadcast_shapes(*(a.shape for a in together))
    return tuple(expand(a, shape) for a in together)
