"""Continuous distributions as functions of uniform numbers: each is differentiable by its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert
from chainrule.random.keys import bits, fold_in
from chainrule.random.parameters import FLOAT64, Shape, extents, not_negative, ordered, working
from chainrule.random.special import normal_cdf, normal_quantile


def uniform(key: Any, shape: Shape = None, dtype: Any = np.float32, minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """Numbers in [minval, maxval), all equally likely.

    Example:
        >>> from chainrule import random
        >>> u = random.uniform(random.key(1), (2, 3), minval=-1.0)
        >>> u.shape, u.dtype
        ((2, 3), dtype('float32'))
    """
    size, kind, result = extents(shape, minval, maxval), working(dtype), np.dtype(dtype)
    ordered("minval", minval, "maxval", maxval)
    x = unit(key, size, kind)
    if result.itemsize == 2:  # as many bits as its significand holds: more would round, up to 1
        step = 2.0**11 if result == np.float16 else 2.0**8
        x = ew.mul(ew.floor(ew.mul(x, step)), 1 / step)
    if (type(minval), type(maxval)) == (float, float) and (minval, maxval) == (0.0, 1.0):
        return convert(x, result)
    low, high = convert(minval, kind), convert(maxval, kind)
    x = convert(x * (high - low) + low, result)
    low, high = convert(low, result), convert(high, result)
    return ew.select(ew.lt(x, high), x, low)  # the sum may have been rounded up to maxval


def normal(key: Any, shape: Shape = None, dtype: Any = np.float32, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Normal numbers of mean ``loc`` and standard deviation ``scale``.

    Example:
        >>> from chainrule import random
        >>> random.normal(random.key(1), scale=np.array([0.1, 10.0])).shape
        (2,)

    Source: Box and Muller, "A note on the generation of random normal deviates", 1958.
    """
    size, kind = extents(shape, loc, scale), working(dtype)
    return _placed(standard_normal(key, size, kind), loc, scale, kind, dtype)


def truncated_normal(key: Any, lower: Any = -2.0, upper: Any = 2.0, shape: Shape = None, dtype: Any = np.float32,
                     loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """``loc + scale * z`` with standard normal z between ``lower`` and ``upper``, which may be infinite.

    By inversion of the distribution function, in float64. Its tail is known to 16 decimals after the point: where both
    bounds are beyond 8 standard deviations on one side, the numbers crowd at the nearer one.

    Example:
        >>> from chainrule import random
        >>> z = random.truncated_normal(random.key(1), 1.0, np.inf, (1000,))
        >>> bool(z.min() >= 1.0)
        True
    """
    size, kind = extents(shape, lower, upper, loc, scale), working(dtype)
    ordered("lower", lower, "upper", upper)
    a, b = convert(lower, FLOAT64), convert(upper, FLOAT64)
    # mirrored where more of the interval is above 0: the distribution function is most exact far below
    mirrored = ew.lt(-a, b)
    low, high = ew.select(mirrored, -b, a), ew.select(mirrored, -a, b)
    start, end = normal_cdf(low), normal_cdf(high)
    z = normal_quantile(start + open_unit(key, size, FLOAT64) * (end - start))
    z = ew.minimum(ew.maximum(z, low), high)
    z = convert(ew.select(mirrored, -z, z), kind)
    # once more in the working dtype: a bound itself may have been rounded
    z = ew.minimum(ew.maximum(z, convert(lower, kind)), convert(upper, kind))
    return _placed(z, loc, scale, kind, dtype)


def exponential(key: Any, shape: Shape = None, dtype: Any = np.float32, scale: Any = 1.0) -> Any:
    """Waiting times of mean ``scale``: density exp(-x / scale) / scale for x ≥ 0.

    Example:
        >>> from chainrule import random
        >>> bool(random.exponential(random.key(1), (100,)).min() >= 0)
        True
    """
    size, kind = extents(shape, scale), working(dtype)
    return convert(not_negative("scale", scale, kind) * -np.log1p(-unit(key, size, kind)), np.dtype(dtype))


def laplace(key: Any, shape: Shape = None, dtype: Any = np.float32, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Density exp(-abs(x - loc) / scale) / (2 scale).

    Example:
        >>> from chainrule import random
        >>> random.laplace(random.key(1), (3,)).shape
        (3,)
    """
    size, kind = extents(shape, loc, scale), working(dtype)
    u = open_unit(key, size, kind)
    below = ew.lt(u, 0.5)
    tail = np.log(2.0 * ew.select(below, u, 1.0 - u))
    return _placed(ew.select(below, tail, -tail), loc, scale, kind, dtype)


def logistic(key: Any, shape: Shape = None, dtype: Any = np.float32, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The distribution function is sigmoid((x - loc) / scale).

    Example:
        >>> from chainrule import random
        >>> random.logistic(random.key(1), (3,)).shape
        (3,)
    """
    size, kind = extents(shape, loc, scale), working(dtype)
    u = open_unit(key, size, kind)
    return _placed(np.log(u) - np.log1p(-u), loc, scale, kind, dtype)


def cauchy(key: Any, shape: Shape = None, dtype: Any = np.float32, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Density scale / (π (scale² + (x - loc)²)): without mean or variance.

    Example:
        >>> from chainrule import random
        >>> random.cauchy(random.key(1), (3,)).shape
        (3,)
    """
    size, kind = extents(shape, loc, scale), working(dtype)
    return _placed(np.tan(np.pi * (open_unit(key, size, kind) - 0.5)), loc, scale, kind, dtype)


def gumbel(key: Any, shape: Shape = None, dtype: Any = np.float32, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The distribution function is exp(-exp(-(x - loc) / scale)): that of the largest of many.

    Example:
        >>> from chainrule import random
        >>> random.gumbel(random.key(1), (3,)).shape
        (3,)
    """
    size, kind = extents(shape, loc, scale), working(dtype)
    return _placed(-np.log(-np.log(open_unit(key, size, kind))), loc, scale, kind, dtype)


# ---------------------------------------------------------------- the standard numbers


def unit(key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Numbers in [0, 1) with as many random bits as the dtype's significand holds: each is exact and below 1."""
    if dtype.itemsize == 4:
        top = ew.shift_right(bits(key, shape), np.uint32(8))
        return ew.mul(ew.cast(top, dtype=dtype), np.asarray(2.0**-24, dtype))
    return ew.mul(_wide(key, shape, 27), 2.0**-53)


def open_unit(key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Numbers in (0, 1), symmetric about 1/2: with one random bit less, the middle of each step."""
    if dtype.itemsize == 4:
        top = ew.shift_right(bits(key, shape), np.uint32(9))
        return ew.mul(ew.add(ew.cast(top, dtype=dtype), np.asarray(0.5, dtype)), np.asarray(2.0**-23, dtype))
    return ew.mul(ew.add(_wide(key, shape, 26), 0.5), 2.0**-52)


def _wide(key: Any, shape: tuple[int, ...], top: int) -> Any:
    """Whole float64 numbers of ``top`` + 26 random bits."""
    high = ew.cast(ew.shift_right(bits(key, shape), np.uint32(32 - top)), dtype=FLOAT64)
    low = ew.cast(ew.shift_right(bits(key, shape, stream=1), np.uint32(6)), dtype=FLOAT64)
    return ew.add(ew.mul(high, 2.0**26), low)


def standard_normal(key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Normal numbers of mean 0 and standard deviation 1, in float32 or float64."""
    u = unit(fold_in(key, 1), shape, dtype)
    angle = unit(fold_in(key, 2), shape, dtype)
    radius = ew.sqrt(ew.mul(ew.log1p(ew.neg(u)), np.asarray(-2.0, dtype)))
    return ew.mul(radius, ew.cos(ew.mul(angle, np.asarray(2 * np.pi, dtype))))


def _placed(x: Any, loc: Any, scale: Any, kind: np.dtype, dtype: Any) -> Any:
    """``loc + scale * x``."""
    scale = not_negative("scale", scale, kind)
    return convert(ew.add(ew.mul(x, scale), convert(loc, kind)), np.dtype(dtype))
