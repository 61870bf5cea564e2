"""Functions that sort, and that search in what is sorted. NaN counts as larger than every number, as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.dtypes import is_bfloat16
from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array, axis_of, from_last, last, records, reshaped, traced
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Op, Traced, common_dtype, convert
from chainrule.ops.index import take
from chainrule.ops.sort import argsort as argsort_op
from chainrule.ops.sort import search, take_rows
from chainrule.ops.sort import sort as sort_op

_KINDS = (None, "quicksort", "mergesort", "heapsort", "stable")


def _sorted(op: Op, a: Any, axis: int | None, kind: str | None, order: Any, descending: bool) -> Any:
    if kind not in _KINDS or order is not None:
        raise ArgumentError.of(f"sorting with kind={kind!r}, order={order!r}",
                               "kind 'stable' (all sorts here are) and no order", "np.sort(x, axis=-1)")
    a = array(a)
    if axis is None:
        a, axis = reshaped(a, (math.prod(a.shape),)), 0
    axis = axis_of(axis, len(a.shape))
    return from_last(op(last(a, axis), descending=bool(descending)), axis)


@records(np.sort)
def sort(a: Any, axis: int | None = -1, kind: str | None = None, order: Any = None, *, stable: bool | None = None,
         descending: bool = False) -> Any:
    """The elements along an axis in order.

    NaN counts as larger than every number. The derivative follows each element to its new place.

    Args:
        a: an array of one axis or more.
        axis: the axis along which to sort; None sorts all elements as one row.
        kind: as in NumPy, without effect: every sort here is stable.
        order: None; arrays with fields are not taken.
        stable: as in NumPy, without effect.
        descending: the largest first (as in the array API standard, which NumPy's own ``sort`` lacks).

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> cnp.sort([3.0, 1.0, 2.0], descending=True)
        array([3., 2., 1.])
        >>> cr.grad(lambda x: cnp.sort(x)[0])(cnp.asarray([3.0, 1.0, 2.0]))
        array([0., 1., 0.])
    """
    plain = not traced(a) and not descending and kind in _KINDS and order is None
    if plain and not is_bfloat16(np.asarray(a).dtype):  # in which NumPy does not know where NaN belongs
        return np.sort(a, axis=axis, stable=True)
    return _sorted(sort_op, a, axis, kind, order, descending)


@records(np.argsort)
def argsort(a: Any, axis: int | None = -1, kind: str | None = None, order: Any = None, *, stable: bool | None = None,
            descending: bool = False) -> Any:
    """The positions along an axis that put its elements in order.

    Equal elements stay in their order, also with ``descending``. The arguments are those of :func:`sort`.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.argsort([2.0, 1.0, 2.0], descending=True)
        array([0, 2, 1])
    """
    return _sorted(argsort_op, a, axis, kind, order, descending)


@records(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The elements such that the kth is where sorting puts it: here, sorted."""
    return _sorted(sort_op, a, _checked(a, kth, axis), None, order, False)


@records(np.argpartition)
def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The positions that bring the kth element to where sorting puts it: here, those that sort."""
    return _sorted(argsort_op, a, _checked(a, kth, axis), None, order, False)


def _checked(a: Any, kth: Any, axis: int | None) -> int | None:
    extent = math.prod(a.shape) if axis is None else a.shape[axis_of(axis, len(a.shape))]
    for k in np.atleast_1d(kth):
        if not -extent <= k < extent:
            raise ArgumentError.of(f"kth={k} for an axis of extent {extent}", f"{-extent} to {extent - 1}", "")
    return axis


@records(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """The positions that sort by the last key, then by the one before it, and so on."""
    rows = list(keys) if isinstance(keys, list | tuple) else [keys[i] for i in range(keys.shape[0])]
    if not rows:
        raise ArgumentError.of("no keys to sort by", "one or more", "np.lexsort((x,))")
    rows = [array(k) for k in rows]
    axis = axis_of(axis, len(rows[0].shape))
    moved = [last(k, axis) for k in rows]
    order = argsort_op(moved[0], descending=False)
    for key in moved[1:]:
        order = take_rows(order, argsort_op(take_rows(key, order), descending=False))
    return from_last(order, axis)


@records(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where each of ``v`` belongs in the sorted vector ``a``: before equal elements (left) or behind them."""
    a = array(a)
    if side not in ("left", "right"):
        raise ArgumentError.of(f"side={side!r}", "'left' or 'right'", "np.searchsorted(a, v, side='right')")
    if len(a.shape) != 1:
        raise ShapeError.of(f"a search in an array of shape {a.shape}", "a sorted vector",
                            "cr.vmap(np.searchsorted)(rows, values)")
    dtype = common_dtype((a, v))
    a, v = convert(a, dtype), convert(v, dtype)
    return search(a if sorter is None else take(a, sorter, axis=0), v, right=side == "right")


@records(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The number of the bin that each element is in; bins ascend or descend."""
    bins = array(bins)
    side = "left" if right else "right"
    n = bins.shape[0]
    up, down = searchsorted(bins, x, side), n - searchsorted(structure.flip(bins, axes=(0,)), x, side)
    if n < 2:
        return up
    if isinstance(bins, Traced):
        first, end = (take(bins, np.int64(i), axis=0) for i in (0, n - 1))
        return ew.select(ew.le(first, end), up, down)
    steps = np.diff(bins)
    if (steps >= 0).all():
        return up
    if not (steps <= 0).all():
        raise ArgumentError.of("bins that neither ascend nor descend", "monotonic bins",
                               "np.digitize(x, np.sort(bins))")
    return down
