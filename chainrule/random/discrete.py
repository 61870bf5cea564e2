"""Whole numbers, classes, choices and orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import axis_of
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, convert, dtype_of, shape_of
from chainrule.ops.index import take
from chainrule.ops.random import shuffled
from chainrule.random.continuous import open_unit, unit
from chainrule.random.keys import bits
from chainrule.random.parameters import FLOAT64, Shape, extents, known, ordered, probability, whole_dtype

_WIDE = np.dtype(np.uint64)


def bernoulli(key: Any, p: Any = 0.5, shape: Shape = None) -> Any:
    """True with probability ``p``, exact to 32 bits.

    Example:
        >>> from chainrule import random
        >>> bool(abs(random.bernoulli(random.key(1), 0.3, (10_000,)).mean() - 0.3) < 0.02)
        True
    """
    size = extents(shape, p)
    words = bits(key, size)
    if isinstance(p, float):  # the same comparison without floats
        limit = int(np.ceil(float(probability("p", p)) * 2.0**32))
        return ew.lt(words, np.uint32(limit)) if limit < 2**32 else ew.ge(words, np.uint32(0))
    return ew.lt(ew.cast(words, dtype=FLOAT64), ew.mul(probability("p", p), 2.0**32))


def rademacher(key: Any, shape: Shape = (), dtype: Any = np.float32) -> Any:
    """-1 or 1, equally likely.

    Example:
        >>> from chainrule import random
        >>> sorted(set(random.rademacher(random.key(1), (20,)).tolist()))
        [-1.0, 1.0]
    """
    one = np.ones((), np.dtype(dtype))
    return ew.select(ew.lt(bits(key, extents(shape)), np.uint32(2**31)), -one, one)


def randint(key: Any, shape: Shape, minval: Any, maxval: Any, dtype: Any = np.int64) -> Any:
    """Whole numbers in [minval, maxval), equally likely to within 2⁻⁶⁴.

    Example:
        >>> from chainrule import random
        >>> sorted(set(random.randint(random.key(1), (100,), 0, 3).tolist()))
        [0, 1, 2]
    """
    size, result = extents(shape, minval, maxval), whole_dtype(dtype)
    for name, bound in (("minval", minval), ("maxval", maxval)):
        if dtype_of(bound).kind not in "iu":
            raise ArgumentError.of(f"got {name} of dtype {dtype_of(bound)}", "whole numbers", f"{name}=10")
        values, limits = known(bound), np.iinfo(result)
        if values is not None and np.any((np.asarray(values) < limits.min) | (np.asarray(values) - 1 > limits.max)):
            raise ArgumentError.of(f"got {name}={values} for numbers of dtype {result}",
                                   f"{limits.min} to {limits.max}", "dtype=np.int64")
    ordered("minval", minval, "maxval", maxval, strictly=True)
    wide = _WIDE if result == _WIDE else np.dtype(np.int64)
    low = convert(minval, wide)
    # differences wrap around: as unsigned numbers they are right
    span = convert(ew.sub(convert(maxval, wide), low), _WIDE)
    offset = _high_product(bits(key, size, np.uint64), span)
    return convert(ew.add(low, convert(offset, wide)), result)


def _high_product(x: Any, y: Any) -> Any:
    """The upper 64 of the 128 bits of a product."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    x1, x0, y1, y0 = ew.shift_right(x, half), ew.bit_and(x, mask), ew.shift_right(y, half), ew.bit_and(y, mask)
    middle = ew.add(ew.mul(x1, y0), ew.shift_right(ew.mul(x0, y0), half))
    other = ew.add(ew.mul(x0, y1), ew.bit_and(middle, mask))
    return ew.add(ew.add(ew.mul(x1, y1), ew.shift_right(middle, half)), ew.shift_right(other, half))


def categorical(key: Any, logits: Any, axis: int = -1, shape: Shape = None) -> Any:
    """Classes (int64) with probabilities softmax(logits) along ``axis``.

    The largest of logits + Gumbel numbers, in float64.

    Args:
        key: of shape (2,).
        logits: logarithms of probabilities, up to a constant; -inf for a class that never comes.
        axis: that of the classes.
        shape: of the result: any axes in front of those of ``logits`` without ``axis``; None: none.

    Example:
        >>> from chainrule import random
        >>> random.categorical(random.key(1), np.log([0.5, 0.5, 1e-30]), shape=(1000,)).max()
        np.int64(1)

    Source: Gumbel, "Statistical theory of extreme values and some practical applications", 1954.
    """
    logits = convert(logits, FLOAT64)
    extent = shape_of(logits)
    if not extent or 0 in extent:
        raise ShapeError.of(f"categorical got logits of shape {extent}", "an axis of one class or more",
                            "logits=np.zeros(3)")
    along = axis_of(axis, len(extent))
    batch = tuple(n for i, n in enumerate(extent) if i != along)
    wanted = batch if shape is None else extents(shape)
    lead = len(wanted) - len(batch)
    if lead < 0 or wanted[lead:] != batch:
        raise ShapeError.of(f"categorical got logits of batch shape {batch} for a result of shape {wanted}",
                            f"a shape that ends with {batch}", f"shape=(100, {', '.join(map(str, batch))})")
    noise = _gumbel(key, (*wanted[:lead], *extent))
    return np.argmax(ew.add(logits, noise), axis=lead + along)


def _gumbel(key: Any, shape: tuple[int, ...]) -> Any:
    return ew.neg(ew.log(ew.neg(ew.log(open_unit(key, shape, FLOAT64)))))


def permutation(key: Any, x: Any, axis: int = 0) -> Any:
    """0 … x-1 in random order (int64) for a whole number ``x``; for an array, its entries along ``axis`` so.

    Example:
        >>> from chainrule import random
        >>> sorted(random.permutation(random.key(1), 5).tolist())
        [0, 1, 2, 3, 4]
    """
    if _is_count(x):
        if x < 0:
            raise ArgumentError.of(f"a permutation of {x} elements", "0 or more", "random.permutation(key, 10)")
        return shuffled(bits(key, (int(x),)))
    array = _with_axes("permutation", x)
    along = axis_of(axis, len(array.shape))
    return take(array, permutation(key, array.shape[along]), axis=along)


def choice(key: Any, a: Any, shape: Shape = (), replace: bool = True, p: Any = None, axis: int = 0) -> Any:
    """Elements of ``a`` picked at random.

    Args:
        key: of shape (2,).
        a: an array, or a whole number n for 0 … n-1.
        shape: how many: it takes the place of ``axis`` in the result.
        replace: whether an element can be picked more than once.
        p: the probabilities of the elements; they are divided by their sum. None: all alike.
        axis: the axis of ``a`` along which its entries are picked.

    Raises:
        ArgumentError: more elements asked for than there are, without replacement.

    Example:
        >>> from chainrule import random
        >>> random.choice(random.key(1), np.array([3.0, 5.0]), (4,), p=[0.0, 1.0])
        array([5., 5., 5., 5.])

    Source: without replacement, weighted: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    size = extents(shape)
    array = None if _is_count(a) else _with_axes("choice", a)
    along = 0 if array is None else axis_of(axis, len(array.shape))
    n = int(a) if array is None else array.shape[along]
    count = int(np.prod(size))
    if (n < 1 and count) or (not replace and count > n):
        raise ArgumentError.of(f"a choice of {count} from {n} elements{'' if replace else ' without replacement'}",
                               "as many elements as are picked, or replacement", f"random.choice(key, {max(n, 1)})")
    if p is None:
        picked = randint(key, size, 0, n) if replace and count else permutation(key, n)[:count].reshape(size)
    else:
        picked = _weighted(key, _weights(p, n), size, replace)
    return picked if array is None else take(array, picked, axis=along)


def _weights(p: Any, n: int) -> Any:
    values = known(p)
    if values is not None and not (np.all(np.asarray(values) >= 0) and np.sum(values) > 0):
        raise ArgumentError.of(f"got p={values}", "probabilities of 0 or more, not all 0", f"p=np.ones({n})")
    if shape_of(p) != (n,):
        raise ShapeError.of(f"got p of shape {shape_of(p)} for {n} elements", f"shape ({n},)", f"p=np.ones({n})")
    return convert(p, FLOAT64)


def _weighted(key: Any, p: Any, shape: tuple[int, ...], replace: bool) -> Any:
    if replace:
        running = np.cumsum(p)
        return count_below(unit(key, shape, FLOAT64) * running[-1], running[:-1])
    values, count = known(p), int(np.prod(shape))
    if values is not None and np.count_nonzero(values) < count:
        raise ArgumentError.of(f"a choice of {count} without replacement from {np.count_nonzero(values)} elements of "
                               "probability above 0", "as many as are picked", "replace=True")
    waiting = ew.div(ew.neg(ew.log(open_unit(key, shape_of(p), FLOAT64))), p)
    return np.argsort(waiting)[:count].reshape(shape)


def count_below(x: Any, steps: Any) -> Any:
    """How many of the ``steps``, ascending along their last axis, are not above each x."""
    if isinstance(x, Traced) or isinstance(steps, Traced) or steps.ndim > 1:
        return np.sum(ew.cast(ew.ge(x[..., None], steps), dtype=np.dtype(np.int64)), axis=-1)
    return np.asarray(np.searchsorted(steps, x, side="right"), np.int64)


def _is_count(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _with_axes(name: str, x: Any) -> Any:
    array = x if isinstance(x, Traced) else np.asarray(x)
    if not array.shape:
        raise ShapeError.of(f"{name} got a scalar of dtype {array.dtype}", "an array, or a known whole number",
                            f"random.{name}(key, 10)")
    return array


__all__ = ["bernoulli", "categorical", "choice", "permutation", "rademacher", "randint"]
