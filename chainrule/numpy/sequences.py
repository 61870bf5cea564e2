"""Functions of sequences and sampled curves: interpolation, convolution, slopes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.numpy.assembly import concatenate, diff
from chainrule.numpy.common import array, axes_of, axis_of, records, reshaped, sliced
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.contract import contract
from chainrule.ops.declare import Traced, common_dtype, convert, is_weak
from chainrule.ops.index import take
from chainrule.ops.running import cumsum
from chainrule.ops.sort import argsort, search

_SHIFTS = 32  # up to so many taps, a convolution is a sum of shifted copies in one loop


def vector(x: Any, what: str) -> Any:
    """An argument that must have one axis."""
    x = array(x)
    if len(x.shape) != 1:
        raise ShapeError.of(f"{what} of shape {x.shape}", "a vector", "np.ravel(x)")
    return x


@records(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Any:
    """The piecewise linear function through the points (xp, fp), xp ascending, at ``x``.

    The derivative by ``x`` is the slope of the piece; at a point, that of the piece to its right.
    """
    dtype = dtypes.floating(common_dtype([a if type(a) in (int, float) else array(a) for a in (x, xp, fp)] +
                                         [np.float64(0)]))
    x, xp, fp = convert(x, dtype), convert(vector(xp, "xp"), dtype), convert(vector(fp, "fp"), dtype)
    n = xp.shape[0]
    if n == 0 or fp.shape[0] != n:
        raise ShapeError.of(f"{n} positions and {fp.shape[0]} values", "as many, one or more", "np.interp(x, xp, fp)")
    if period is not None:
        if period == 0:
            raise ArgumentError.of("period=0", "a number other than 0", "np.interp(x, xp, fp, period=2 * np.pi)")
        length, left, right = abs(float(period)), None, None
        x, xp = ew.remainder(x, length), ew.remainder(xp, length)
        order = argsort(xp, descending=False)
        xp, fp = take(xp, order, axis=0), take(fp, order, axis=0)
        xp = concatenate([ew.sub(xp[-1:], length), xp, ew.add(xp[:1], length)])
        fp = concatenate([fp[-1:], fp, fp[:1]])
        n += 2
    at = ew.minimum(ew.maximum(ew.sub(search(xp, x, right=True), 1), 0), max(n - 2, 0))
    following = ew.minimum(ew.add(at, 1), n - 1)
    x0, x1, y0, y1 = (take(row, i, axis=0) for row, i in ((xp, at), (xp, following), (fp, at), (fp, following)))
    width = ew.sub(x1, x0)
    flat = ew.eq(width, 0.0)
    slope = ew.div(ew.sub(y1, y0), ew.select(flat, 1.0, width))
    inside = ew.select(flat, y1, ew.add(y0, ew.mul(slope, ew.sub(x, x0))))
    first, end = fp[0] if left is None else left, fp[n - 1] if right is None else right
    inside = ew.select(ew.eq(x, xp[n - 1]), fp[n - 1], inside)
    result = ew.select(ew.lt(x, xp[0]), first, ew.select(ew.gt(x, xp[n - 1]), end, inside))
    return ew.select(ew.is_nan(x), x, result)


# ---------------------------------------------------------------- convolution


@records(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The convolution of two vectors: out[k] = Σ_i a[i]·v[k - i]; all of it, its middle (same), or where both overlap
    wholly (valid).
    """
    a, v = vector(np.atleast_1d(a), "a"), vector(np.atleast_1d(v), "v")
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    n, k = a.shape[0], v.shape[0]
    if k == 0:
        raise ShapeError.of("the convolution with an empty vector", "one element or more", "np.convolve(x, [1.0])")
    if mode not in ("full", "same", "valid"):
        raise unknown_name("mode", mode, ("full", "same", "valid"))
    dtype = common_dtype((a, v))
    before = {"full": k - 1, "same": (k - 1) - (k - 1) // 2, "valid": 0}[mode]
    length = {"full": n + k - 1, "same": n, "valid": n - k + 1}[mode]
    a, v = convert(a, dtype), structure.flip(convert(v, dtype), axes=(0,))
    # out[i] = Σ_j padded[i + j] · v[k - 1 - j]
    padded = structure.pad(a, shape=(n + 2 * (k - 1),), start=(k - 1,), step=(1,))
    padded = sliced(padded, 0, k - 1 - before, k - 1 - before + length + k - 1)
    if k <= _SHIFTS or dtype.kind == "b":
        total = None
        for j in range(k):
            term = ew.mul(sliced(padded, 0, j, j + length), v[j])
            total = term if total is None else ew.add(total, term)
        return total
    windows = take(padded, np.arange(length)[:, None] + np.arange(k), axis=0)
    return contract(windows, v, a_axes=(0, 1), b_axes=(1,), out_axes=(0,))


@records(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The sums of products of one vector with the other, moved along it: out[k] = Σ_i a[i + k]·v[i]."""
    a, v = vector(np.atleast_1d(a), "a"), vector(np.atleast_1d(v), "v")
    if v.shape[0] > a.shape[0]:  # the same sums, in the other direction
        return structure.flip(correlate(v, a, mode), axes=(0,))
    return convolve(a, structure.flip(v, axes=(0,)), mode)


# ---------------------------------------------------------------- phases and slopes


@records(np.unwrap)
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    """Steps of more than half a period along an axis taken back by whole periods."""
    p = array(p)
    axis = axis_of(axis, len(p.shape))
    dtype = common_dtype((p, period))
    p = convert(p, dtype)
    n, steps = p.shape[axis], diff(p, axis=axis)
    discont = period / 2 if discont is None else discont
    if dtypes.is_float(dtype):
        half, edge = period / 2, True
    else:
        half, rest = divmod(period, 2)
        edge = rest == 0
    near = ew.sub(ew.remainder(ew.add(steps, half), period), half)
    if edge:
        near = ew.select(ew.bit_and(ew.eq(near, -half), ew.gt(steps, 0)), half, near)
    correction = ew.select(ew.lt(ew.abs_(steps), discont), 0, ew.sub(near, steps))
    moved = ew.add(sliced(p, axis, 1, n), cumsum(correction, axis=axis, reverse=False))
    return concatenate([sliced(p, axis, 0, min(1, n)), moved], axis=axis)


@records(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes along axes: central differences inside, one-sided ones at the ends.

    ``varargs`` are the distances between samples: none (1), one number, or for each axis a number or the positions.
    """
    f = array(f)
    if not dtypes.is_float(f.dtype):
        f = convert(f, dtypes.FLOAT64)
    axes = axes_of(None, len(f.shape)) if axis is None else (axis_of(axis, len(f.shape)),) if isinstance(
        axis, int | np.integer) else tuple(axis_of(a, len(f.shape)) for a in axis)
    spacings = [1.0] * len(axes) if not varargs else list(varargs) * (len(axes) if len(varargs) == 1 else 1)
    if len(spacings) != len(axes):
        raise ArgumentError.of(f"{len(varargs)} distances for {len(axes)} axes", "none, one, or one for each axis",
                               "np.gradient(f, dx, dy)")
    if edge_order not in (1, 2):
        raise ArgumentError.of(f"edge_order={edge_order}", "1 or 2", "np.gradient(f, edge_order=2)")
    out = [_slope(f, spacing, a, edge_order) for a, spacing in zip(axes, spacings, strict=True)]
    return out[0] if len(out) == 1 else tuple(out)


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ShapeError.of(f"the slope along an axis of extent {n}", f"an extent of {edge_order + 1} or more", "")
    if not isinstance(spacing, Traced | np.ndarray | np.generic) and not np.isscalar(spacing):
        spacing = np.asarray(spacing)

    def part(start: int, stop: int) -> Any:
        return sliced(f, axis, start, stop)

    if is_weak(spacing):
        spacing = convert(spacing, f.dtype)
    if np.isscalar(spacing) or not spacing.shape:
        inside = ew.div(ew.sub(part(2, n), part(0, n - 2)), ew.mul(spacing, 2.0))
        if edge_order == 1:
            first = ew.div(ew.sub(part(1, 2), part(0, 1)), spacing)
            end = ew.div(ew.sub(part(n - 1, n), part(n - 2, n - 1)), spacing)
        else:
            a, b, c = ew.div(-1.5, spacing), ew.div(2.0, spacing), ew.div(-0.5, spacing)
            first = _weighted([(a, part(0, 1)), (b, part(1, 2)), (c, part(2, 3))])
            end = ew.neg(_weighted([(c, part(n - 3, n - 2)), (b, part(n - 2, n - 1)), (a, part(n - 1, n))]))
        return concatenate([first, inside, end], axis=axis)
    if spacing.shape != (n,):
        raise ShapeError.of(f"positions of shape {spacing.shape} for an axis of extent {n}", f"({n},)", "")
    gaps = diff(spacing)
    gaps = convert(gaps, f.dtype) if dtypes.is_float(f.dtype) and gaps.dtype.kind in "iu" else gaps
    along = [n - 2 if i == axis else 1 for i in range(len(f.shape))]
    h0, h1 = sliced(gaps, 0, 0, n - 2), sliced(gaps, 0, 1, n - 1)
    both = ew.add(h0, h1)
    weights = [ew.div(ew.neg(h1), ew.mul(h0, both)), ew.div(ew.sub(h1, h0), ew.mul(h0, h1)),
               ew.div(h0, ew.mul(h1, both))]
    inside = _weighted([(reshaped(w, along), part(i, n - 2 + i)) for i, w in enumerate(weights)])
    if edge_order == 1:
        first = ew.div(ew.sub(part(1, 2), part(0, 1)), gaps[0])
        end = ew.div(ew.sub(part(n - 1, n), part(n - 2, n - 1)), gaps[n - 2])
    else:
        first = _end_slope(gaps[0], gaps[1], [part(i, i + 1) for i in range(3)])
        end = ew.neg(_end_slope(gaps[n - 2], gaps[n - 3], [part(n - 1 - i, n - i) for i in range(3)]))
    return concatenate([first, inside, end], axis=axis)


def _end_slope(h0: Any, h1: Any, samples: list[Any]) -> Any:
    """The slope at the first of three samples, by the parabola through them."""
    both = ew.add(h0, h1)
    weights = [ew.neg(ew.div(ew.add(ew.mul(h0, 2.0), h1), ew.mul(h0, both))), ew.div(both, ew.mul(h0, h1)),
               ew.neg(ew.div(h0, ew.mul(h1, both)))]
    return _weighted(list(zip(weights, samples, strict=True)))


def _weighted(terms: list[tuple[Any, Any]]) -> Any:
    total = None
    for weight, sample in terms:
        term = ew.mul(weight, sample)
        total = term if total is None else ew.add(total, term)
    return total
