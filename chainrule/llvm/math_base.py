"""What the vector mathematics shares: number formats, polynomials, rounding, signs, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.llvm.emitter import Emitter, Val

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True)
class Format:
    """Constants of one IEEE binary format, as Python numbers."""

    integer: np.dtype  # the signed integer of the same width
    fraction: int  # stored bits of the significand
    bias: int
    sign: int  # the sign bit, as a signed integer
    one: int  # the bits of 1.0
    root_half: int  # the bits of sqrt(1/2)
    infinity: int  # the bits of infinity
    tiny: float  # smallest normal number
    round: float  # 1.5·2^fraction: adding it rounds to an integer, left in the low bits


FORMATS = {
    F32: Format(np.dtype(np.int32), 23, 127, -(1 << 31), 0x3F800000, 0x3F3504F3, 0x7F800000, 2.0**-126, 1.5 * 2.0**23),
    F64: Format(np.dtype(np.int64), 52, 1023, -(1 << 63), 0x3FF << 52, 0x3FE6A09E667F3BCD, 0x7FF << 52,
                2.0**-1022, 1.5 * 2.0**52),
}

Table = dict[np.dtype, tuple[float, ...]]

# Constants as a sum of two numbers of the working precision, the first as near as it can be.
LN2: Table = {F32: (0.6931471824645996, -1.904654323148236e-09), F64: (0.6931471805599453, 2.3190468138462996e-17)}
HALF_PI: Table = {F32: (1.5707963705062866, -4.371138828673793e-08), F64: (1.5707963267948966, 6.123233995736766e-17)}


def polynomial(e: Emitter, x: Val, coefficients: Sequence[float]) -> Val:
    """The sum c[0] + c[1]·x + c[2]·x² + …, by Horner's rule."""
    total = e.like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = e.fma(total, x, e.like(x, c))
    return total


def halved(e: Emitter, x: Val, square: Val, coefficients: Sequence[float]) -> Val:
    """The same as two polynomials in x²: shorter chains of waiting. For terms that do not cancel each other."""
    odd = polynomial(e, square, coefficients[1::2])
    return e.fma(odd, x, polynomial(e, square, coefficients[0::2]))


def at_least(e: Emitter, x: Val, low: float) -> Val:
    """max(x, low) that keeps a NaN: one instruction on x86."""
    bound = e.like(x, low)
    return e.select(e.gt(bound, x), bound, x)


def at_most(e: Emitter, x: Val, high: float) -> Val:
    """min(x, high) that keeps a NaN: one instruction on x86."""
    bound = e.like(x, high)
    return e.select(e.lt(bound, x), bound, x)


def integer(e: Emitter, x: Val) -> Val:
    """The bits of a float as a signed integer."""
    return e.bitcast(x, FORMATS[x.dtype].integer)


def round_scaled(e: Emitter, x: Val, scale: float, offset: int = 0) -> tuple[Val, Val]:
    """The integer n nearest to x·scale, as a float; and an integer whose low bits are n + offset.

    Needs |x·scale| + |offset| < 2^(fraction - 1).
    """
    magic = e.like(x, FORMATS[x.dtype].round + offset)
    shifted = e.fma(x, e.like(x, scale), magic)
    return e.sub(shifted, magic), integer(e, shifted)


def power_of_two(e: Emitter, biased: Val, x: Val, shift: int = 0) -> Val:
    """The float like ``x`` whose biased exponent is 2^shift times the low bits of an integer."""
    return e.bitcast(e.shl(biased, e.like(biased, FORMATS[x.dtype].fraction + shift)), x.dtype)


def split_sign(e: Emitter, x: Val) -> tuple[Val, Val]:
    """|x|, and the sign bit of x as an integer."""
    bits = integer(e, x)
    sign = e.and_(bits, e.like(bits, FORMATS[x.dtype].sign))
    return e.bitcast(e.xor(bits, sign), x.dtype), sign


def flip_sign(e: Emitter, x: Val, sign: Val) -> Val:
    """x, negated where the sign bit is set in ``sign``."""
    return e.bitcast(e.xor(integer(e, x), sign), x.dtype)


def is_negative(e: Emitter, x: Val) -> Val:
    """Whether the sign bit is set."""
    bits = integer(e, x)
    return e.lt(bits, e.like(bits, 0))
