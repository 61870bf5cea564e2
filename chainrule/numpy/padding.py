"""``np.pad`` in all its modes, one axis after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array as as_array
from chainrule.numpy.common import axis_of, filled, positions, records, sliced
from chainrule.numpy.quantiles import median
from chainrule.numpy.reductions import max_, mean, min_
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Traced, convert, expand
from chainrule.ops.index import take

_STATISTICS: dict[str, Callable[..., Any]] = {"maximum": max_, "minimum": min_, "mean": mean, "median": median}
_COPIES = ("edge", "reflect", "symmetric", "wrap")
MODES = ("constant", *_COPIES, *_STATISTICS, "linear_ramp", "empty")


@records(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0, end_values: Any = 0,
        stat_length: Any = None, reflect_type: str = "even") -> Any:
    """Elements added at both ends of the axes: constants, copies of others, statistics of them, or ramps."""
    if mode not in MODES:
        raise ArgumentError.of(f"np.pad with mode={mode!r}", ", ".join(MODES), "np.pad(x, 1)")
    if reflect_type not in ("even", "odd"):
        raise ArgumentError.of(f"np.pad with reflect_type={reflect_type!r}", "'even' or 'odd'", "")
    a = as_array(array)
    ndim = len(a.shape)
    widths = _widths(pad_width, ndim)
    if any(n < 0 for pair in widths for n in pair):
        raise ArgumentError.of(f"np.pad with widths {widths}", "0 or more", "x[1:-1]   # to cut off")
    constants, ends, lengths = (_pairs(v, ndim) for v in (constant_values, end_values, stat_length))
    plain = mode == "constant" and not isinstance(constant_values, Traced) and not np.any(constant_values)
    if plain or mode == "empty":
        shape = tuple(n + before + after for n, (before, after) in zip(a.shape, widths, strict=True))
        return structure.pad(a, shape=shape, start=tuple(w[0] for w in widths), step=(1,) * ndim)
    for axis, pair in enumerate(widths):
        if pair == (0, 0):
            continue
        if mode != "constant" and a.shape[axis] == 0:
            raise ShapeError.of(f"np.pad with mode={mode!r} along axis {axis}, which is empty",
                                "one element or more, or mode='constant'", "np.pad(x, 1)")
        if mode == "constant":
            a = _between(a, axis, *(_constant(a, axis, n, v) for n, v in zip(pair, constants[axis], strict=True)))
        elif mode in _STATISTICS:
            a = _with_statistics(a, axis, pair, _STATISTICS[mode], lengths[axis])
        elif mode == "linear_ramp":
            a = _with_ramps(a, axis, pair, ends[axis])
        elif reflect_type == "odd" and mode in ("reflect", "symmetric"):
            a = _mirrored(a, axis, pair, 1 if mode == "reflect" else 0)
        else:
            places: Any = np.pad(np.arange(a.shape[axis]), pair, mode)  # type: ignore[call-overload]
            a = take(a, places, axis=axis)
    return a


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        given = {axis_of(k, ndim): v for k, v in pad_width.items()}
        pad_width = [given.get(i, (0, 0)) for i in range(ndim)]
        pad_width = [(w, w) if isinstance(w, int) else w for w in pad_width]
    return [(int(b), int(a)) for b, a in np.broadcast_to(np.asarray(pad_width), (ndim, 2))]


def _pairs(values: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A value for each end of each axis, from one, a pair, or a pair for each axis."""
    if values is None:
        return [(None, None)] * ndim
    if isinstance(values, Traced):
        whole = expand(values, (ndim, 2))
        return [(whole[i, 0], whole[i, 1]) for i in range(ndim)]
    return [tuple(pair) for pair in np.broadcast_to(np.asarray(values), (ndim, 2))]


def _between(a: Any, axis: int, before: Any, after: Any) -> Any:
    parts = [p for p in (before, a, after) if p is a or p.shape[axis]]
    return structure.concatenate(*parts, axis=axis) if len(parts) > 1 else a


def _resized(a: Any, axis: int, n: int) -> tuple[int, ...]:
    return (*a.shape[:axis], n, *a.shape[axis + 1:])


def _constant(a: Any, axis: int, n: int, value: Any) -> Any:
    if isinstance(value, Traced):
        return expand(convert(value, a.dtype), _resized(a, axis, n))
    return filled(a, _resized(a, axis, n), np.asarray(value).astype(a.dtype), a.dtype)


def _with_statistics(a: Any, axis: int, pair: tuple[int, int], statistic: Any, lengths: tuple[Any, Any]) -> Any:
    extent = a.shape[axis]
    parts = []
    for at_end, (n, length) in enumerate(zip(pair, lengths, strict=True)):
        many = extent if length is None else min(int(length), extent)
        if many < 1:
            raise ArgumentError.of(f"np.pad with stat_length={length}", "one or more", "np.pad(x, 1, 'mean')")
        chosen = sliced(a, axis, extent - many, extent) if at_end else sliced(a, axis, 0, many)
        value = statistic(chosen, axis=axis, keepdims=True)
        if a.dtype.kind in "iu" and value.dtype.kind == "f":
            value = ew.rint(value)
        parts.append(expand(convert(value, a.dtype), _resized(a, axis, n)))
    return _between(a, axis, *parts)


def _with_ramps(a: Any, axis: int, pair: tuple[int, int], ends: tuple[Any, Any]) -> Any:
    """From the end values evenly to the edges of the array, which are not repeated."""
    extent = a.shape[axis]
    wide = dtypes.widened(a.dtype) if dtypes.is_inexact(a.dtype) else dtypes.FLOAT64
    parts = []
    for at_end, (n, end) in enumerate(zip(pair, ends, strict=True)):
        edge = convert(sliced(a, axis, extent - 1, extent) if at_end else sliced(a, axis, 0, 1), wide)
        first = convert(end, wide)
        step = ew.div(ew.sub(edge, first), float(max(n, 1)))
        number = positions(a, tuple(n if i == axis else 1 for i in range(len(a.shape))), axis, wide)
        ramp = ew.add(ew.mul(number, step), first)
        ramp = convert(ew.floor(ramp) if a.dtype.kind in "iu" else ramp, a.dtype)
        parts.append(structure.flip(ramp, axes=(axis,)) if at_end else ramp)
    return _between(a, axis, *parts)


def _mirrored(a: Any, axis: int, pair: tuple[int, int], without_edge: int) -> Any:
    """Reflected through the point of the edge: 2·edge - x; in rounds, where more is asked than there is."""
    before, after = pair
    while before or after:
        n = a.shape[axis]
        if n == 1 and without_edge:  # nothing beside the edge: it is repeated
            return _between(a, axis, *(expand(a, _resized(a, axis, k)) for k in (before, after)))
        left, right = (min(k, n - without_edge) for k in (before, after))
        ends = []
        for start, place in ((without_edge, 0), (n - without_edge - right, n - 1)):
            many = right if place else left
            chunk = structure.flip(sliced(a, axis, start, start + many), axes=(axis,))
            ends.append(ew.sub(ew.mul(sliced(a, axis, place, place + 1), 2), chunk))
        a = _between(a, axis, *ends)
        before, after = before - left, after - right
    return a
