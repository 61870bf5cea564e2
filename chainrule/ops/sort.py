"""Sorting and searching along the last axis. NaN counts as larger than every number, as in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ShapeError
from chainrule.ops.declare import REGISTRY, Op, batch_leading, leading
from chainrule.ops.elementwise import add
from chainrule.ops.index import take
from chainrule.ops.kernels import plus, precedes, times

_POSITION = np.dtype(np.int32)  # of an element in its row, while rows are sorted


def take_rows(x: Any, order: Any) -> Any:
    """The elements of each row (the last axis) at the positions ``order``, an array of as many rows."""
    rows, n = x.shape[:-1], x.shape[-1]
    many = math.prod(rows)
    if len(rows) == 0:
        return take(x, order, axis=0)
    flat = REGISTRY["reshape"](order, shape=(many, order.shape[-1]))
    flat = add(flat, np.arange(many, dtype=np.int64)[:, None] * n)
    picked = take(REGISTRY["reshape"](x, shape=(many * n,)), flat, axis=0)
    return REGISTRY["reshape"](picked, shape=order.shape)


# ---------------------------------------------------------------- sort, argsort


def _row_infer(result: np.dtype | None) -> Callable[..., Any]:
    def infer(x: Any, descending: bool) -> Any:
        if not x[0]:
            raise ShapeError.of("a scalar cannot be sorted", "an array of one axis or more", "np.sort(np.ravel(x))")
        return x[0], result or x[1]
    return infer


def _argsort_reference(x: Any, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    # the last of the reversed row comes first: equal elements stay in their order
    return x.shape[-1] - 1 - np.flip(np.argsort(np.flip(x, -1), axis=-1, kind="stable"), -1)


def _sort_reference(x: Any, descending: bool) -> Any:
    return np.take_along_axis(x, _argsort_reference(x, descending), -1)


def _scratch(positions: bool) -> Callable[..., int]:
    def size(sources: Any, descending: bool) -> int:
        (shape, dtype), = sources
        return 2 * _row_bytes(shape[-1], dtype) + (2 * _row_bytes(shape[-1], _POSITION) if positions else 0)
    return size


def _row_bytes(n: int, dtype: np.dtype) -> int:
    """A row, and one element that may be read (and is not used) behind it; in whole cache lines."""
    return -(-(n + 1) * dtype.itemsize // 64) * 64


def _lower_sort(positions: bool) -> Callable[..., None]:
    def lower(e: Any, source: Any, target: Any, shape: tuple[int, ...], sources: Any, scratch: Any,
              descending: bool) -> None:
        dtype, n = sources[0][1], shape[-1]
        if math.prod(shape) == 0:
            return
        size = _row_bytes(n, dtype) // dtype.itemsize
        work = [(scratch, dtype, size)]
        if positions:
            byte = np.dtype(np.uint8)
            work.append((e.at(scratch, 2 * size * dtype.itemsize, byte), _POSITION,
                         _row_bytes(n, _POSITION) // _POSITION.itemsize))
        with e.loop(0, math.prod(shape[:-1])) as row:
            first = times(e, row.index, n)
            with e.loop(0, n) as fill:
                at = plus(e, first, fill.index)
                e.store(e.load(e.at(source, at, dtype), dtype), e.at(scratch, fill.index, dtype))
                if positions:
                    e.store(e.cast(fill.index, _POSITION), e.at(work[1][0], fill.index, _POSITION))
            turns = max(n - 1, 0).bit_length()
            with e.loop(0, turns) as turn:
                _merge_pairs(e, work, n, turn.index, descending)
            base, kind, length = work[-1]
            with e.loop(0, n) as out:
                value = e.load(e.at(base, plus(e, out.index, turns % 2 * length), kind), kind)
                value = e.cast(value, dtypes.INT64) if positions else value
                e.store(value, e.at(target, plus(e, first, out.index), value.dtype))
    return lower


def _merge_pairs(e: Any, work: Sequence[Any], n: int, turn: Any, descending: bool) -> None:
    """Merge neighbouring sorted runs of 2^turn elements, from one half of each work array to the other."""
    here, width = e.and_(turn, e.index(1)), e.shl(e.index(1), turn)
    there = e.sub(e.index(1), here)
    twice = e.shl(width, e.index(1))
    pairs = e.shr(e.add(twice, e.index(n - 1)), e.add(turn, e.index(1)))
    origins = [(base, kind, times(e, here, length), times(e, there, length)) for base, kind, length in work]
    with e.loop(0, pairs) as pair:
        low = e.mul(pair.index, twice)
        middle = e.min(e.add(low, width), e.index(n))
        high = e.min(e.add(low, twice), e.index(n))
        with e.loop(low, high, carry=[low, middle]) as step:
            left, right = step.carry
            base, kind, origin, _ = origins[0]
            x, y = (e.load(e.at(base, e.add(origin, i), kind), kind) for i in (left, right))
            first = precedes(e, x, y) if descending else precedes(e, y, x)
            # equal elements come from the left run first: that is what makes it stable
            from_right = e.and_(e.lt(right, high), e.or_(e.ge(left, middle), first))
            for k, (base, kind, origin, goal) in enumerate(origins):
                if k:
                    x, y = (e.load(e.at(base, e.add(origin, i), kind), kind) for i in (left, right))
                e.store(e.select(from_right, y, x), e.at(base, e.add(goal, step.index), kind))
            moved = e.cast(from_right, dtypes.INT64)
            step.next([e.add(left, e.sub(e.index(1), moved)), e.add(right, moved)])


argsort: Op = Op(
    "argsort", "The positions that sort each row (the last axis); equal elements stay in their order.", "custom",
    infer=_row_infer(dtypes.INT64), reference=_argsort_reference, lower=_lower_sort(True),
    batch=lambda args, batched, size, **p: batch_leading(argsort)(args, batched, size, **p),
    extra={"scratch": _scratch(True)})
sort: Op = Op(
    "sort", "The elements of each row (the last axis) in order.", "custom",
    infer=_row_infer(None), reference=_sort_reference, lower=_lower_sort(False),
    jvp=lambda t, x, out, descending: take_rows(t[0], argsort(x[0], descending=descending)),
    batch=lambda args, batched, size, **p: batch_leading(sort)(args, batched, size, **p),
    extra={"scratch": _scratch(False)})


# ---------------------------------------------------------------- search


def _search_infer(rows: Any, values: Any, right: bool) -> Any:
    if not rows[0] or (len(rows[0]) > 1 and (not values[0] or rows[0][:-1] != values[0][:-1])):
        raise ShapeError.of(f"a search in rows of shape {rows[0]} for values of shape {values[0]}",
                            "one row, or as many as the values have", "np.searchsorted(row, values)")
    return values[0], dtypes.INT64


def _search_reference(rows: Any, values: Any, right: bool) -> Any:
    side = "right" if right else "left"
    if rows.ndim == 1:
        return np.asarray(np.searchsorted(rows, values, side), np.int64)
    out = np.zeros(values.shape, np.int64)
    for at in np.ndindex(rows.shape[:-1]):
        out[at] = np.searchsorted(rows[at], values[at], side)
    return out


def _lower_search(e: Any, rows: Any, values: Any, target: Any, shape: tuple[int, ...], sources: Any, scratch: Any,
                  right: bool) -> None:
    (row_shape, dtype), _ = sources
    n, total = row_shape[-1], math.prod(shape)
    if total == 0:
        return
    many = math.prod(row_shape[:-1])
    each = total // many
    with e.loop(0, many) as row, e.loop(0, each) as one:
        at = plus(e, times(e, row.index, each), one.index)
        origin = times(e, row.index, n)
        wanted = e.load(e.at(values, at, dtype), dtype)
        # the answer is between low and high; each turn halves what is between
        with e.loop(0, n.bit_length(), carry=[e.index(0), e.index(n)]) as turn:
            low, high = turn.carry
            middle = e.min(e.shr(e.add(low, high), e.index(1)), e.index(n - 1))
            found = e.load(e.at(rows, plus(e, origin, middle), dtype), dtype)
            beyond = e.not_(precedes(e, wanted, found)) if right else precedes(e, found, wanted)
            beyond = e.and_(beyond, e.lt(low, high))
            turn.next([e.select(beyond, e.add(middle, e.index(1)), low), e.select(beyond, high, middle)])
        e.store(turn.carry[0], e.at(target, at, dtypes.INT64))


def _search_batch(args: Sequence[Any], batched: Sequence[bool], size: int, right: bool) -> Any:
    rows, values = args
    if not batched[0]:
        if len(rows.shape) > 1:
            rows = leading(rows, False, size)
        return search(rows, values, right=right)
    values = leading(values, batched[1], size)
    shape = values.shape
    if len(rows.shape) == 2:  # one row for each entry of the batch
        values = REGISTRY["reshape"](values, shape=(size, math.prod(shape[1:])))
    return REGISTRY["reshape"](search(rows, values, right=right), shape=shape)


search: Op = Op(
    "search", "Where each value belongs in sorted rows: before equal elements, or behind them (``right``).", "custom",
    infer=_search_infer, reference=_search_reference, lower=_lower_search, batch=_search_batch, arity=2,
    extra={"scratch": lambda sources, right: 0})
