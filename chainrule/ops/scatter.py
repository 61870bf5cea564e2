"""Entries combined at integer positions: products, largest and smallest. Sums are ``scatter_add``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.ops.declare import Op, widening
from chainrule.ops.elementwise import cast, div, eq, mul, select
from chainrule.ops.index import scatter_add, scatter_batch, take

_UFUNC: dict[str, np.ufunc] = {"mul": np.multiply, "max": np.maximum, "min": np.minimum}


def neutral(combine: str, dtype: np.dtype) -> Any:
    """What stands where nothing was combined: 1, or the smallest or largest number of the dtype."""
    if combine == "mul":
        return np.ones((), dtype)
    lowest = combine == "max"
    if dtypes.is_float(dtype):
        return np.asarray(-np.inf if lowest else np.inf, dtype)
    if dtype == dtypes.BOOL:
        return np.asarray(not lowest)
    return np.asarray(np.iinfo(dtype).min if lowest else np.iinfo(dtype).max, dtype)


def _infer(x: Any, indices: Any, axis: int, extent: int, combine: str) -> Any:
    return scatter_add.infer(x, indices, axis=axis, extent=extent)


def _reference(x: Any, indices: Any, axis: int, extent: int, combine: str) -> Any:
    out = np.full((*x.shape[:axis], extent, *x.shape[axis + indices.ndim:]), neutral(combine, x.dtype), x.dtype)
    where = (slice(None),) * axis + (np.clip(indices, 0, extent - 1),)
    with np.errstate(all="ignore"):
        _UFUNC[combine].at(out, where, x)
    return out


def _lower(e: Any, given: Any, picked: Any, out: Any, axis: int, extent: int, combine: str) -> None:
    values, indices, target, shape = given.pointer, picked.pointer, out.pointer, out.shape
    dtype, kind = given.dtype, picked.dtype
    many, inner, entries = math.prod(shape[:axis]), math.prod(shape[axis + 1:]), math.prod(picked.shape)
    pair: Callable[[Any, Any], Any] = getattr(e, combine)
    empty = neutral(combine, dtype)
    e.along(0, math.prod(shape), dtype, lambda start, lanes: e.store(
        e.const(empty, dtype, lanes), e.at(target, start, dtype)))
    if math.prod(given.shape) == 0 or extent == 0:
        return
    with e.loop(0, many) as row, e.loop(0, entries) as entry:
        index = e.cast(e.load(e.at(indices, entry.index, kind), kind), dtypes.INT64)
        index = e.min(e.max(index, e.index(0)), e.index(extent - 1))
        origin = e.times(e.plus(e.times(row.index, entries), entry.index), inner)
        goal = e.times(e.plus(e.times(row.index, extent), index), inner)

        def part(start: Any, lanes: int) -> None:
            value = e.load(e.at(values, e.plus(origin, start), dtype), dtype, lanes)
            cell = e.at(target, e.plus(goal, start), dtype)
            e.store(pair(e.load(cell, dtype, lanes), value), cell)
        e.along(0, inner, dtype, part)


def _jvp(t: Sequence[Any], x: Sequence[Any], out: Any, axis: int, extent: int, combine: str) -> Any:
    if t[0] is None:
        return None
    values, indices = x
    place = {"axis": axis, "extent": extent}
    if combine == "mul":
        # for each entry the product of the others: exact also where entries are 0
        zero = eq(values, 0.0)
        others = scatter(select(zero, 1.0, values), indices, **place, combine="mul")
        zeros = scatter_add(cast(zero, dtype=values.dtype), indices, **place)
        without, beside = take(others, indices, axis=axis), take(zeros, indices, axis=axis)
        regular = div(without, select(zero, 1.0, values))
        share = select(eq(beside, 0.0), regular, select(eq(beside, 1.0), select(zero, without, 0.0), 0.0))
    else:
        winners = cast(eq(values, take(out, indices, axis=axis)), dtype=values.dtype)
        share = div(winners, take(scatter_add(winners, indices, **place), indices, axis=axis))
    return scatter_add(mul(share, t[0]), indices, **place)


scatter: Op = Op(
    "scatter", "The entries along ``axis`` combined (``mul``, ``max`` or ``min``) at integer indices of an axis of "
    "``extent``; where there is none, the neutral element. Entries that tie share the derivative.", "custom",
    infer=_infer, reference=widening(_reference), lower=_lower, jvp=_jvp, batch=scatter_batch(lambda: scatter), arity=2)
