"""Running results along an axis, in one pass: sums, and first-order linear recurrences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import Op, is_linear, leading, widening
from chainrule.ops.elementwise import add, mul
from chainrule.ops.structure import pad, slice_

# ---------------------------------------------------------------- the kernel


def _lower_running(e: Any, a: Any, b: Any, out: Any, axis: int, reverse: bool) -> None:
    """From entry to entry of the axis h = a·h + b (h = h + b without a); neighbouring later axes are the lanes."""
    shape, dtype = out.shape, out.dtype
    many, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:])
    if many * n * inner == 0:
        return
    with e.loop(0, many) as row:
        origin = e.times(row.index, n * inner)

        def column(start: Any, lanes: int) -> None:
            first = e.plus(origin, start)
            with e.loop(0, n, carry=[e.const(0, dtype, lanes)]) as step:
                entry = e.sub(e.index(n - 1), step.index) if reverse else step.index
                at = e.plus(first, e.times(entry, inner))
                new = e.load(e.at(b.pointer, at, dtype), dtype, lanes)
                old = step.carry[0]
                if a is not None:
                    old = e.mul(e.load(e.at(a.pointer, at, dtype), dtype, lanes), old)
                # the first entry is taken as it is: 0·a would make NaN of an infinite a
                new = e.select(e.splat(e.eq(step.index, e.index(0)), lanes), new, e.add(old, new))
                e.store(new, e.at(out.pointer, at, dtype))
                step.next([new])
        e.along(0, inner, dtype, column)


# ---------------------------------------------------------------- sums


def _cumsum_reference(x: Any, axis: int, reverse: bool) -> Any:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis=axis, dtype=x.dtype)


cumsum: Op = Op(
    "cumsum", "Running sums along ``axis``, from its first entry on, or from its last one (``reverse``).", "custom",
    infer=lambda x, axis, reverse: x, reference=widening(_cumsum_reference), kinds=("f", "i", "u"), onnx="CumSum",
    jvp=lambda t, x, out, **p: cumsum(t[0], **p),
    transpose=lambda ct, x, axis, reverse: [cumsum(ct, axis=axis, reverse=not reverse)],
    batch=lambda args, batched, size, axis, reverse: cumsum(args[0], axis=axis + 1, reverse=reverse),
    lower=lambda e, x, out, axis, reverse: _lower_running(e, None, x, out, axis, reverse))


# ---------------------------------------------------------------- recurrences


def _recurrence_infer(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    if a[0] != b[0]:
        raise ShapeError.of(f"a recurrence of factors of shape {a[0]} and terms of shape {b[0]}", "one shape", "")
    return b


def _recurrence_reference(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    out = np.empty_like(b)
    rows, factors, terms = (np.moveaxis(x, axis, 0) for x in (out, a, b))
    order = range(len(rows))
    order = order[::-1] if reverse else order
    with np.errstate(all="ignore"):
        for k, i in enumerate(order):
            rows[i] = terms[i] if k == 0 else factors[i] * rows[order[k - 1]] + terms[i]
    return out


def shifted(x: Any, axis: int, by: int) -> Any:
    """The entries of ``axis`` moved by one place, towards the end (``by`` 1) or the start (-1); zeros come in."""
    shape = x.shape
    if shape[axis] == 0:
        return x
    start = tuple(int(i == axis and by < 0) for i in range(len(shape)))
    stop = tuple(n - int(i == axis and by > 0) for i, n in enumerate(shape))
    kept = slice_(x, start=start, stop=stop, step=(1,) * len(shape))
    return pad(kept, shape=shape, start=tuple(int(i == axis and by > 0) for i in range(len(shape))),
               step=(1,) * len(shape))


def _recurrence_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, axis: int, reverse: bool) -> Any:
    terms = t[1]
    if t[0] is not None:
        moved = mul(shifted(out, axis, -1 if reverse else 1), t[0])
        terms = moved if terms is None else add(moved, terms)
    return recurrence(x[0], terms, axis=axis, reverse=reverse)


def _recurrence_transpose(ct: Any, x: Sequence[Any], axis: int, reverse: bool) -> list[Any]:
    if not is_linear(x[1]) or is_linear(x[0]):
        return [None, None]
    # what follows an entry, it gets back: from the other end, with the factor of the entry that follows
    factors = shifted(x[0], axis, 1 if reverse else -1)
    return [None, recurrence(factors, ct, axis=axis, reverse=not reverse)]


def _recurrence_batch(args: Sequence[Any], batched: Sequence[bool], size: int, axis: int, reverse: bool) -> Any:
    a, b = (leading(x, flag, size) for x, flag in zip(args, batched, strict=True))
    return recurrence(a, b, axis=axis + 1, reverse=reverse)


recurrence: Op = Op(
    "recurrence", "h[i] = a[i]·h[i-1] + b[i] along ``axis``, beginning with h[0] = b[0]; from the last entry back with "
    "``reverse``.", "custom",
    infer=_recurrence_infer, reference=widening(_recurrence_reference), kinds=("f", "i", "u"), arity=2,
    jvp=_recurrence_jvp, transpose=_recurrence_transpose, batch=_recurrence_batch,
    lower=_lower_running)


def running_product(x: Any, axis: int) -> Any:
    """Running products along ``axis``: the recurrence whose only term is the first entry."""
    shape = x.shape
    if shape[axis] == 0:
        return x
    first = slice_(x, start=(0,) * len(shape), step=(1,) * len(shape),
                   stop=tuple(1 if i == axis else n for i, n in enumerate(shape)))
    terms = pad(first, shape=shape, start=(0,) * len(shape), step=(1,) * len(shape))
    return recurrence(x, terms, axis=axis, reverse=False)


