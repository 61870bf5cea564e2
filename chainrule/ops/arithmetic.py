"""Powers, by multiplications where the exponent is a small whole number, of integers by squaring."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Op, Traced, common_dtype, constant_node, convert, elementwise
from chainrule.ops.structure import broadcast

_MULTIPLY_UP_TO = 8  # x ** 5 is three multiplications


def _reference(x: Any, y: Any) -> Any:
    return np.where(y < 0, x.dtype.type(0), np.power(x, np.maximum(y, y.dtype.type(0))))


def _lower(e: Any, x: Any, y: Any) -> Any:
    """Square and multiply, one bit of the exponent after the other."""
    zero, one = e.like(y, 0), e.like(y, 1)
    out = e.like(x, 1)
    negative = e.lt(y, zero)
    for bit in range(8 * y.dtype.itemsize - (y.dtype.kind == "i")):
        if bit:
            x, y = e.mul(x, x), e.shr(y, one)
        out = e.select(e.ne(e.and_(y, one), zero), e.mul(out, x), out)
    return e.select(negative, e.like(x, 0), out)


integer_power: Op = elementwise(
    "integer_power", doc="x to the power of y for whole numbers, modulo 2 to the bits; 0 where y is negative.",
    reference=_reference, lower=_lower, arity=2, kinds="iu")


def power(x: Any, y: Any) -> Any:
    """``x ** y``; a small whole exponent becomes multiplications."""
    dtype = common_dtype((x, y))
    if dtype.kind == "b":
        return integer_power(convert(x, np.dtype(np.int8)), convert(y, np.dtype(np.int8)))
    if dtype.kind in "iu":
        if type(y) is not int:
            return integer_power(x, y)
        if y < 0:
            raise ArgumentError.of(f"whole numbers to the power of {y}", "floats", f"x.astype(float) ** {y}")
        return _multiplied(convert(x, dtype), y)
    if isinstance(x, Traced) and dtype == x.dtype and dtypes.is_float(dtype) and type(y) in (int, float):
        if float(y).is_integer() and abs(y) <= _MULTIPLY_UP_TO:
            return _multiplied(x, int(y))
        if y == 0.5:
            return ew.sqrt(x)
    return ew.pow_(x, y)


def _multiplied(x: Any, n: int) -> Any:
    if n < 0:  # powers of 1/x: the chain rule through x ** -n would multiply 0 by infinity at 0 and at infinity
        return _multiplied(ew.div(1.0, x), -n)
    if n == 0:  # 1, whatever x is
        return broadcast(type(x)(constant_node(np.ones((), x.dtype))), shape=x.shape, dims=())
    if n == 1:
        return ew.copy(x)
    half = x if n // 2 == 1 else _multiplied(x, n // 2)
    square = ew.mul(half, half)
    return ew.mul(square, x) if n % 2 else square
