"""Sorting and searching along the last axis. NaN counts as larger than every number, as in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ShapeError
from chainrule.ops.declare import REGISTRY, Op, batch_leading, leading, widening
from chainrule.ops.elementwise import add
from chainrule.ops.index import take

_POSITION, _PACKED = np.dtype(np.uint32), np.dtype(np.uint64)
_BLOCK = 4  # elements that are sorted in registers before runs are merged


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
    out = np.sort(x, axis=-1)
    if dtypes.is_float(x.dtype) and (np.signbit(x) & (x == 0)).any():  # equal for NumPy: here -0 comes before 0
        out = np.take_along_axis(x, np.lexsort((~np.signbit(x), x), axis=-1), -1)
    return np.flip(out, -1) if descending else out


def _precedes(e: Any, x: Any, y: Any) -> Any:
    """Whether ``x`` is sorted before ``y``: it is smaller, or it is a number and ``y`` is NaN."""
    smaller = e.lt(x, y)
    if not dtypes.is_float(x.dtype):
        return smaller
    return e.or_(smaller, e.and_(e.isnan(y), e.not_(e.isnan(x))))


# -- keys: unsigned numbers in the order of the elements


def _key_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"u{max(dtype.itemsize, 4) if dtypes.is_float(dtype) else dtype.itemsize}")


def _key(e: Any, x: Any, descending: bool, zeros_equal: bool) -> Any:
    """The element as an unsigned number; NaN is the largest."""
    kind = _key_dtype(x.dtype)
    if dtypes.is_float(x.dtype):
        signed = np.dtype(f"i{kind.itemsize}")
        number = e.cast(x, np.dtype(f"f{kind.itemsize}"))
        if zeros_equal:
            number = e.select(e.eq(number, e.like(number, 0)), e.like(number, 0), number)
        bits = e.bitcast(number, signed)
        # negative numbers: all bits turned, so that larger magnitudes come first; others: above the negative ones
        turned = e.or_(e.shr(bits, e.like(bits, 8 * kind.itemsize - 1)), e.like(bits, np.iinfo(signed).min))
        ordered = e.bitcast(e.xor(bits, turned), kind)
        ordered = e.select(e.isnan(number), e.like(ordered, np.iinfo(kind).max), ordered)
    elif x.dtype.kind == "i":
        ordered = e.bitcast(e.xor(x, e.like(x, np.iinfo(x.dtype).min)), kind)
    else:
        ordered = e.cast(x, kind)
    return e.not_(ordered) if descending else ordered


def _element(e: Any, key: Any, dtype: np.dtype, descending: bool) -> Any:
    """The element that has the key."""
    key = e.not_(key) if descending else key
    if dtypes.is_float(dtype):
        top = e.like(key, 1 << (8 * key.dtype.itemsize - 1))
        bits = e.select(e.ge(key, top), e.xor(key, top), e.not_(key))
        return e.cast(e.bitcast(bits, np.dtype(f"f{key.dtype.itemsize}")), dtype)
    if dtype.kind == "i":
        return e.bitcast(e.xor(key, e.like(key, 1 << (8 * dtype.itemsize - 1))), dtype)
    return e.cast(key, dtype)


# -- the kernel


def _work(dtype: np.dtype, positions: bool) -> list[np.dtype]:
    """The arrays that are sorted by the first: keys, with their positions; in one word where both fit."""
    key = _key_dtype(dtype)
    if not positions:
        return [key]
    return [_PACKED] if key.itemsize <= 4 else [key, _POSITION]


def _lower_sort(positions: bool) -> Callable[..., None]:
    def lower(e: Any, rows: Any, out: Any, descending: bool) -> None:
        source, target, shape, dtype = rows.pointer, out.pointer, rows.shape, rows.dtype
        n = shape[-1]
        if math.prod(shape) == 0:
            return
        # twice each work array: runs are merged from one half to the other
        work = [(e.work((2 * n,), kind).pointer, kind, n) for kind in _work(dtype, positions)]
        with e.loop(0, math.prod(shape[:-1])) as row:
            first = e.times(row.index, n)

            def entries(start: Any, count: int) -> list[list[Any]]:
                out = []
                for k in range(count):
                    at = e.plus(start, k)
                    key = _key(e, e.load(e.at(source, e.plus(first, at), dtype), dtype), descending, positions)
                    position = e.cast(at, _POSITION)
                    if len(work) == 2:
                        out.append([key, position])
                    elif positions:
                        high = e.shl(e.cast(key, _PACKED), e.const(32, _PACKED))
                        out.append([e.or_(high, e.cast(position, _PACKED))])
                    else:
                        out.append([key])
                return out

            def block(start: Any, count: int) -> None:
                for k, entry in enumerate(_network(e, entries(start, count))):
                    for (base, kind, _), value in zip(work, entry, strict=True):
                        e.store(value, e.at(base, e.plus(start, k), kind))
            whole = n // _BLOCK * _BLOCK
            with e.loop(0, whole, _BLOCK) as blocks:
                block(blocks.index, _BLOCK)
            block(e.index(whole), n % _BLOCK)
            turns = max(-(-n // _BLOCK) - 1, 0).bit_length()
            with e.loop(0, turns) as turn:
                _merge_runs(e, work, n, turn.index)
            base, kind, length = work[-1]
            with e.loop(0, n) as last:
                value = e.load(e.at(base, e.plus(last.index, turns % 2 * length), kind), kind)
                value = e.cast(e.cast(value, _POSITION), dtypes.INT64) if positions else _element(e, value, dtype,
                                                                                                  descending)
                e.store(value, e.at(target, e.plus(first, last.index), value.dtype))
    return lower


def _network(e: Any, entries: list[list[Any]]) -> list[list[Any]]:
    """A few entries sorted in registers. Only neighbours change places, and only if they must: it is stable."""
    entries = list(entries)
    for turn in range(len(entries)):
        for k in range(turn % 2, len(entries) - 1, 2):
            x, y = entries[k], entries[k + 1]
            wrong = e.lt(y[0], x[0])
            entries[k] = [e.select(wrong, b, a) for a, b in zip(x, y, strict=True)]
            entries[k + 1] = [e.select(wrong, a, b) for a, b in zip(x, y, strict=True)]
    return entries


def _merge_runs(e: Any, work: Sequence[Any], n: int, turn: Any) -> None:
    """Merge neighbouring sorted runs of 4·2^turn entries, from one half of each work array to the other."""
    here = e.and_(turn, e.index(1))
    there = e.sub(e.index(1), here)
    width = e.shl(e.index(_BLOCK), turn)
    twice = e.shl(width, e.index(1))
    ends = [(base, kind, e.times(here, length), e.times(there, length)) for base, kind, length in work]

    def pick(i: Any, j: Any, goal: Any, right_first: Callable[[Any, Any], Any]) -> Any:
        """Write entry i or entry j to ``goal``; 1 if it was j, else 0."""
        chosen = None
        for base, kind, origin, target in ends:
            x, y = (e.load(e.at(base, e.add(origin, k), kind), kind) for k in (i, j))
            chosen = right_first(x, y) if chosen is None else chosen
            e.store(e.select(chosen, y, x), e.at(base, e.add(target, goal), kind))
        return e.cast(chosen, dtypes.INT64)

    pairs = e.shr(e.index(n), e.add(turn, e.index(_BLOCK.bit_length())))
    with e.loop(0, pairs) as pair:
        low = e.mul(pair.index, twice)
        middle, last = e.add(low, width), e.sub(e.add(low, twice), e.index(1))
        # from both ends at once, half of the entries each: neither side can run out of a run
        with e.loop(0, width, carry=[low, e.sub(middle, e.index(1))]) as step:
            i, k = step.carry
            j = e.sub(e.add(middle, step.index), e.sub(i, low))
            m = e.sub(e.sub(last, step.index), e.sub(k, e.sub(middle, e.index(1))))
            right = pick(i, j, e.add(low, step.index), lambda x, y: e.lt(y, x))
            kept = pick(k, m, e.sub(last, step.index), lambda x, y: e.le(x, y))
            step.next([e.add(i, e.sub(e.index(1), right)), e.sub(k, e.sub(e.index(1), kept))])
    # what is left over: a run, and a shorter one or none
    low = e.mul(pairs, twice)
    middle = e.min(e.add(low, width), e.index(n))
    with e.loop(low, n, carry=[low, middle]) as step:
        i, j = step.carry
        there_is, last_entry = e.lt(j, e.index(n)), e.index(n - 1)
        right = pick(e.min(i, last_entry), e.min(j, last_entry), step.index,
                     lambda x, y: e.and_(there_is, e.or_(e.ge(i, middle), e.lt(y, x))))
        step.next([e.add(i, e.sub(e.index(1), right)), e.add(j, right)])


argsort: Op = Op(
    "argsort", "The positions that sort each row (the last axis); equal elements stay in their order.", "custom",
    infer=_row_infer(dtypes.INT64), reference=widening(_argsort_reference), lower=_lower_sort(True),
    batch=lambda args, batched, size, **p: batch_leading(argsort)(args, batched, size, **p))
sort: Op = Op(
    "sort", "The elements of each row (the last axis) in order; -0 before 0.", "custom",
    infer=_row_infer(None), reference=widening(_sort_reference), lower=_lower_sort(False),
    jvp=lambda t, x, out, descending: take_rows(t[0], argsort(x[0], descending=descending)),
    batch=lambda args, batched, size, **p: batch_leading(sort)(args, batched, size, **p))


# ---------------------------------------------------------------- search


def _search_infer(rows: Any, values: Any, right: bool) -> Any:
    if not rows[0] or (len(rows[0]) > 1 and (not values[0] or rows[0][:-1] != values[0][:-1])):
        raise ShapeError.of(f"a search in rows of shape {rows[0]} for values of shape {values[0]}",
                            "one row, or as many as the values have", "np.searchsorted(row, values)")
    return values[0], dtypes.INT64


def _search_reference(rows: Any, values: Any, right: bool) -> Any:
    side: Any = "right" if right else "left"
    if rows.ndim == 1:
        return np.asarray(np.searchsorted(rows, values, side), np.int64)
    out = np.zeros(values.shape, np.int64)
    for at in np.ndindex(rows.shape[:-1]):
        out[at] = np.searchsorted(rows[at], values[at], side)
    return out


def _lower_search(e: Any, sorted_rows: Any, wanted_values: Any, out: Any, right: bool) -> None:
    rows, values, target, dtype = sorted_rows.pointer, wanted_values.pointer, out.pointer, sorted_rows.dtype
    n, total = sorted_rows.shape[-1], math.prod(out.shape)
    if total == 0:
        return
    many = math.prod(sorted_rows.shape[:-1])
    each = total // many
    with e.loop(0, many) as row, e.loop(0, each) as one:
        at = e.plus(e.times(row.index, each), one.index)
        origin = e.times(row.index, n)
        wanted = e.load(e.at(values, at, dtype), dtype)
        # the answer is between low and high; each turn halves what is between
        with e.loop(0, n.bit_length(), carry=[e.index(0), e.index(n)]) as turn:
            low, high = turn.carry
            middle = e.min(e.shr(e.add(low, high), e.index(1)), e.index(n - 1))
            found = e.load(e.at(rows, e.plus(origin, middle), dtype), dtype)
            beyond = e.not_(_precedes(e, wanted, found)) if right else _precedes(e, found, wanted)
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
    infer=_search_infer, reference=widening(_search_reference), lower=_lower_search, batch=_search_batch, arity=2)
