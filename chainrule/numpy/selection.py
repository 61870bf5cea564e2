"""Functions that pick elements: by condition, by position, by triangle and diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ChainruleTypeError
from chainrule.indexing import checked_indices, holding
from chainrule.numpy.common import array, axis_of, depends_on_values, positions, records, reshaped, transposed
from chainrule.numpy.reductions import sum_
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Traced, broadcast_shapes, expand
from chainrule.ops.index import take as take_op
from chainrule.trace import no_out


@records(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """``x`` where the condition holds, else ``y``."""
    if x is None or y is None:
        raise ChainruleTypeError.of("np.where(condition) alone gives an array whose shape depends on values",
                                    "three arguments", "np.where(condition, x, 0)")
    condition = array(condition)
    return ew.select(condition if condition.dtype.kind == "b" else ew.ne(condition, 0), x, y)


@records(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ArgumentError.of(f"{len(condlist)} conditions for {len(choicelist)} choices", "as many", "")
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = ew.select(condition, choice, out)
    return out


# ---------------------------------------------------------------- by position


@records(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """The entries of an axis at integer positions. Traced positions out of range are brought to the nearest end."""
    no_out("np.take", out)
    a = array(a)
    if axis is None:
        a, axis = reshaped(a, (math.prod(a.shape),)), 0
    axis = axis_of(axis, len(a.shape))
    extent = a.shape[axis]
    indices = array(indices)
    if mode == "wrap":
        indices = ew.remainder(holding(indices, extent) if isinstance(indices, Traced) else indices, extent)
    elif mode == "raise":
        indices = checked_indices(indices, extent, axis)
    elif mode != "clip":
        raise ArgumentError.of(f"np.take with mode={mode!r}", "'raise', 'wrap' or 'clip'", "np.take(x, i, axis=0)")
    return take_op(a, indices, axis=axis)


@records(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """For each position of the other axes the entries of ``axis`` at the given positions."""
    a, indices = array(arr), array(indices)
    if axis is None:
        a, axis = reshaped(a, (math.prod(a.shape),)), 0
    n = len(a.shape)
    if len(indices.shape) != n:
        raise ArgumentError.of(f"positions of {len(indices.shape)} axes for an array of {n}", "as many", "")
    axis = axis_of(axis, n)
    extent = a.shape[axis]
    order = [i for i in range(n) if i != axis] + [axis]
    total = math.prod((*broadcast_shapes(*(tuple(x.shape[i] for i in order[:-1]) for x in (a, indices))), extent))
    a, indices = transposed(a, order), transposed(checked_indices(indices, extent, axis, total), order)
    rows = broadcast_shapes(a.shape[:-1], indices.shape[:-1])
    a, indices = expand(a, (*rows, extent)), expand(indices, (*rows, indices.shape[-1]))
    many = math.prod(rows)
    flat = ew.add(reshaped(indices, (many, indices.shape[-1])),
                  ew.mul(positions(indices, (many, indices.shape[-1]), 0, indices.dtype), extent))
    picked = take_op(reshaped(a, (many * extent,)), flat, axis=0)
    return transposed(reshaped(picked, (*rows, indices.shape[-1])), np.argsort(order).tolist())


@records(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The entries of an axis where a plain (not traced) condition holds."""
    no_out("np.compress", out)
    if isinstance(condition, Traced):
        raise ChainruleTypeError.of("the shape of np.compress would depend on a traced condition",
                                    "a plain array of bools", "")
    return take(a, np.flatnonzero(condition), axis)


@records(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The elements, as one row, where a plain (not traced) condition holds."""
    if isinstance(condition, Traced):
        raise depends_on_values("np.extract", "np.where(condition, x, 0)")
    return take(arr, np.flatnonzero(condition))


# ---------------------------------------------------------------- triangles and diagonals


def _triangle(m: Any, k: int) -> Any:
    """Where the row is at or below the k-th diagonal."""
    shape = m.shape[-2:]
    rows, columns = positions(m, shape, 0, np.int32), positions(m, shape, 1, np.int32)
    return ew.le(columns, ew.add(rows, np.int32(k)))


@records(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """The lower triangle, zeros above the k-th diagonal."""
    m = _square(m)
    return ew.select(_triangle(m, k), m, np.zeros((), m.dtype))


@records(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """The upper triangle, zeros below the k-th diagonal."""
    m = _square(m)
    return ew.select(_triangle(m, k - 1), np.zeros((), m.dtype), m)


@records(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """The positions of the lower triangle of a matrix."""
    return np.tril_indices(arr.shape[-2], k, arr.shape[-1])


@records(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """The positions of the upper triangle of a matrix."""
    return np.triu_indices(arr.shape[-2], k, arr.shape[-1])


@records(np.diag_indices_from)
def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """The positions of the diagonal of an array whose axes have one extent."""
    return np.diag_indices_from(np.broadcast_to(np.int8(0), arr.shape))


@records(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """The positions along each axis of elements that are counted in row-major order (or column-major, ``"F"``)."""
    extents = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    rest, out = array(indices), []
    for extent in reversed(extents) if order == "C" else extents:
        out.append(ew.remainder(rest, extent))
        rest = ew.floor_divide(rest, extent)
    return tuple(reversed(out)) if order == "C" else tuple(out)


def _square(m: Any) -> Any:
    m = array(m)
    return m if len(m.shape) != 1 else expand(m, (m.shape[0], m.shape[0]))


@records(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis."""
    a = array(a)
    n = len(a.shape)
    i, j = axis_of(axis1, n), axis_of(axis2, n)
    if i == j:
        raise ArgumentError.of(f"the diagonal of axes {axis1} and {axis2}", "two different axes", "np.diagonal(x)")
    a = transposed(a, [x for x in range(n) if x not in (i, j)] + [i, j])
    rows, columns = a.shape[-2:]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    # row-major, each element of a diagonal is one row and one column further: columns + 1 elements
    flat = reshaped(a, (*a.shape[:-2], rows * columns))
    first = max(offset, 0) + max(-offset, 0) * columns if length else 0
    lead = flat.shape[:-1]
    return structure.slice_(flat, start=(0,) * len(lead) + (first,), step=(1,) * len(lead) + (columns + 1,),
                            stop=(*lead, first + (columns + 1) * (length - 1) + 1 if length else first))


@records(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of the last two axes."""
    return diagonal(x, offset, -2, -1)


@records(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with that diagonal."""
    v = array(v)
    if len(v.shape) == 2:
        return diagonal(v, k)
    if len(v.shape) != 1:
        raise ArgumentError.of(f"np.diag of an array of {len(v.shape)} axes", "one or two axes", "np.diagonal(x)")
    n = v.shape[0] + abs(k)
    start = max(k, 0) + max(-k, 0) * n
    flat = structure.pad(v, shape=(n * n,), start=(start,), step=(n + 1,))
    return reshaped(flat, (n, n))


@records(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with the elements on its diagonal."""
    v = array(v)
    return diag(reshaped(v, (math.prod(v.shape),)), k)


@records(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """The sum of the diagonal of two axes."""
    no_out("np.trace", out)
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype)


@records(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of the diagonal of the last two axes."""
    return trace(x, offset, -2, -1, dtype)


__all__ = ["diag", "diagonal", "take", "take_along_axis", "trace", "tril", "triu", "where"]
