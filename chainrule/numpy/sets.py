"""Functions whose results are as long as the values decide, and membership.

While a function is recorded, shapes must be known: there these functions take ``size``, the length of the result.
What there is beyond it is left out; what is missing is filled in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError
from chainrule.numpy.assembly import concatenate
from chainrule.numpy.common import array, depends_on_values, filled, positions, records, reshaped, sliced, traced
from chainrule.numpy.reductions import truth
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import common_dtype, convert, widened
from chainrule.ops.index import scatter_add, take
from chainrule.ops.running import cumsum
from chainrule.ops.scatter import scatter
from chainrule.ops.sort import argsort, search, sort

_INT = np.dtype(np.int64)


def _flat(x: Any) -> Any:
    return reshaped(x, (math.prod(x.shape),))


def _first(mask: Any, size: int) -> Any:
    """The positions of the first ``size`` true elements of a vector; negative where there are fewer."""
    n = mask.shape[0]
    place = ew.sub(cumsum(ew.cast(mask, dtype=_INT), axis=0, reverse=False), 1)
    place = ew.select(mask, ew.minimum(place, size), size)
    return sliced(scatter(positions(mask, (n,), 0), place, axis=0, extent=size + 1, combine="max"), 0, 0, size)


def _resized(x: np.ndarray, size: int, fill: Any) -> np.ndarray:
    out = np.full((size, *x.shape[1:]), fill, x.dtype)
    out[:len(x)] = x[:size]
    return out


# ---------------------------------------------------------------- where elements are not 0


@records(np.flatnonzero)
def flatnonzero(a: Any, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The positions of the elements that are not 0, counted in row-major order.

    Args:
        a: an array.
        size: the length of the result; needed while recording.
        fill_value: what stands behind the positions, where there are fewer than ``size``.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> x = cnp.asarray([0.0, 2.0, 0.0, 3.0])
        >>> cr.jit(lambda x: cnp.flatnonzero(x, size=3, fill_value=-1))(x)
        array([ 1,  3, -1])
    """
    if not traced(a):
        found = np.flatnonzero(a)
        return found if size is None else _resized(found, size, fill_value)
    if size is None:
        raise depends_on_values("np.flatnonzero(x)", "chainrule.numpy.flatnonzero(x, size=n)")
    if a.size == 0:
        return filled(a, (size,), fill_value, _INT)
    found = _first(_flat(truth(a)), size)
    return ew.select(ew.lt(found, 0), fill_value, found)


@records(np.nonzero)
def nonzero(a: Any, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The positions of the elements that are not 0, as one array for each axis. Options as in :func:`flatnonzero`."""
    if not traced(a) and size is None:
        return np.nonzero(a)
    a = array(a)
    if size is None:
        raise depends_on_values("np.nonzero(x)", "chainrule.numpy.nonzero(x, size=n)   # or np.where(x != 0, x, 0)")
    found = flatnonzero(a, size=size, fill_value=-1)
    rest, out = found, []
    for extent in reversed(a.shape):
        out.append(ew.select(ew.lt(found, 0), fill_value, ew.remainder(rest, max(extent, 1))))
        rest = ew.floor_divide(rest, max(extent, 1))
    return tuple(reversed(out))


@records(np.argwhere)
def argwhere(a: Any, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The positions of the elements that are not 0, one row for each. Options as in :func:`flatnonzero`."""
    if not traced(a) and size is None:
        return np.argwhere(a)
    if size is None:
        raise depends_on_values("np.argwhere(x)", "chainrule.numpy.argwhere(x, size=n)")
    found = [reshaped(f, (size, 1)) for f in nonzero(a, size=size, fill_value=fill_value)]
    return concatenate(found, axis=1) if found else filled(a, (size, 0), 0, _INT)


# ---------------------------------------------------------------- distinct elements


class UniqueAll(NamedTuple):
    """What :func:`unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What :func:`unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What :func:`unique_inverse` returns."""

    values: Any
    inverse_indices: Any


def _distinct(x: Any, size: int, fill_value: Any, equal_nan: bool) -> UniqueAll:
    """Sort, mark each element that differs from the one before it, number the marks."""
    shape, flat = x.shape, _flat(x)
    n = flat.shape[0]
    if n == 0:
        fill = np.zeros((), x.dtype) if fill_value is None else fill_value
        nothing = filled(x, (size,), 0, _INT)
        return UniqueAll(filled(x, (size,), fill, x.dtype), nothing, filled(x, shape, 0, _INT), nothing)
    order = argsort(flat, descending=False)
    row = take(flat, order, axis=0)
    here, before = sliced(row, 0, 1, n), sliced(row, 0, 0, n - 1)
    new = ew.ne(here, before)
    if equal_nan and dtypes.is_float(x.dtype):
        new = ew.bit_and(new, ew.bit_not(ew.bit_and(ew.is_nan(here), ew.is_nan(before))))
    new = structure.concatenate(filled(x, (1,), True, np.bool_), new, axis=0)
    number = ew.sub(cumsum(ew.cast(new, dtype=_INT), axis=0, reverse=False), 1)
    first = _first(new, size)
    there = ew.ge(first, 0)
    at = ew.maximum(first, 0)
    fill = take(row, np.zeros(size, _INT), axis=0) if fill_value is None else convert(fill_value, x.dtype)
    values = ew.select(there, take(row, at, axis=0), fill)
    counts = scatter_add(filled(x, (n,), 1, _INT), ew.minimum(number, size), axis=0, extent=size + 1)
    inverse = scatter(number, order, axis=0, extent=n, combine="max")
    return UniqueAll(values, take(order, at, axis=0), reshaped(inverse, shape), sliced(counts, 0, 0, size))


def _plainly(x: Any, **options: Any) -> Any:
    """``np.unique``, of bfloat16 in float32: NumPy does not know where its NaN belong."""
    x = np.asarray(x)
    found = np.unique(widened(x), **options)
    if not dtypes.is_half(x.dtype):
        return found
    return (found[0].astype(x.dtype), *found[1:]) if isinstance(found, tuple) else found.astype(x.dtype)


def _known(x: Any, equal_nan: bool) -> UniqueAll:
    values, index, inverse, counts = _plainly(x, return_index=True, return_inverse=True, return_counts=True,
                                              equal_nan=equal_nan)
    return UniqueAll(values, index, inverse.reshape(np.shape(x)), counts)


def _padded(x: Any, size: int, fill_value: Any, equal_nan: bool) -> UniqueAll:
    values, index, inverse, counts = _known(x, equal_nan)
    fill = fill_value if fill_value is not None else values[0] if len(values) else 0
    start = index[0] if len(index) else 0
    return UniqueAll(_resized(values, size, fill), _resized(index, size, start), inverse,
                     _resized(counts, size, 0))


def _all(name: str, x: Any, size: int | None, fill_value: Any, equal_nan: bool = False) -> UniqueAll:
    if size is None:
        if traced(x):
            raise depends_on_values(f"np.{name}(x)", f"chainrule.numpy.{name}(x, size=n)")
        return _known(x, equal_nan)
    return (_distinct if traced(x) else _padded)(x, size, fill_value, equal_nan)


@records(np.unique_all)
def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAll:
    """Distinct elements in order, where each first is, which one each element is, and how often it is there.

    Each NaN is an element of its own.

    Args:
        x: an array.
        size: the number of distinct elements to return; needed while recording.
        fill_value: what stands behind them where there are fewer (with a count of 0); by default the smallest.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> values, _, _, counts = cr.jit(lambda x: tuple(cnp.unique_all(x, size=3)))(cnp.asarray([2, 1, 2]))
        >>> values, counts
        (array([1, 2, 1]), array([1, 2, 0]))
    """
    return _all("unique_all", x, size, fill_value)


@records(np.unique_counts)
def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueCounts:
    """Distinct elements in order, and how often each is there. Options as in :func:`unique_all`."""
    found = _all("unique_counts", x, size, fill_value)
    return UniqueCounts(found.values, found.counts)


@records(np.unique_inverse)
def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueInverse:
    """Distinct elements in order, and which of them each element is. Options as in :func:`unique_all`."""
    found = _all("unique_inverse", x, size, fill_value)
    return UniqueInverse(found.values, found.inverse_indices)


@records(np.unique_values)
def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct elements in order. Options as in :func:`unique_all`."""
    return _all("unique_values", x, size, fill_value).values


@records(np.unique)
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None, *, equal_nan: bool = True, sorted: bool = True, size: int | None = None,
           fill_value: Any = None) -> Any:
    """Distinct elements in order, on request with positions and counts. ``size`` as in :func:`unique_all`."""
    if not traced(ar) and size is None:
        options: dict[str, Any] = {"return_index": return_index, "return_inverse": return_inverse,
                                   "return_counts": return_counts, "axis": axis, "equal_nan": equal_nan}
        return _plainly(ar, **options)
    if axis is not None:
        raise ArgumentError.of(f"np.unique with axis={axis} and size={size}", "axis=None", "np.unique(x, size=n)")
    found = _all("unique", ar, size, fill_value, equal_nan)
    wanted = (True, return_index, return_inverse, return_counts)
    result = tuple(part for part, wish in zip(found, wanted, strict=True) if wish)
    return result if len(result) > 1 else result[0]


@records(np.isin)
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
         kind: str | None = None) -> Any:
    """Whether each element is among the test elements."""
    element, tests = array(element), array(test_elements)
    n = math.prod(tests.shape)
    if n == 0:
        return filled(element, element.shape, invert, np.bool_)
    dtype = common_dtype((element, tests))
    element, row = convert(element, dtype), sort(_flat(convert(tests, dtype)), descending=False)
    at = ew.minimum(search(row, element, right=False), n - 1)
    hit = ew.eq(take(row, at, axis=0), element)
    return ew.bit_not(hit) if invert else hit


def _refused(name: str, corrected: str) -> Callable[..., Any]:
    def refuse(*args: Any, **options: Any) -> Any:
        raise depends_on_values(f"np.{name}", corrected)
    refuse.__name__ = name
    return refuse


for _function, _instead in (
        (np.union1d, "chainrule.numpy.unique_values(np.concat([x, y]), size=n)"),
        (np.intersect1d, "np.where(np.isin(x, y), x, 0)"),
        (np.setdiff1d, "np.where(np.isin(x, y), 0, x)"), (np.setxor1d, "np.isin(x, y, invert=True)"),
        (np.trim_zeros, "np.where(x != 0, x, 0)")):
    records(_function)(_refused(_function.__name__, _instead))
