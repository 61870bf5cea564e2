"""Powers and roots."""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import (
    F32,
    F64,
    FORMATS,
    Table,
    at_least,
    at_most,
    flip_sign,
    integer,
    polynomial,
    split_sign,
)
from chainrule.llvm.math_exp import EXP_RANGE, exp_parts
from chainrule.llvm.math_log import split_any

INFINITY = float("inf")
# ln 2 as a sum whose first part has so few bits that its product with an exponent is exact.
LN2_SHORT: Table = {
    F32: (0.693145751953125, 1.428606765330187e-06),
    F64: (0.6931471805598903, 5.497923018708371e-14),
}
# 1/12 as a sum of two numbers.
TWELFTH: Table = {F32: (0.0833333358168602, -2.4835270396561873e-09), F64: (0.08333333333333333, 4.625929269271485e-18)}
# What makes the bits of x, divided by -3, a guess of x^(-1/3): least largest error.
INVERSE_CBRT_BIAS = -0.068
# (2·atanh(s/2) - s - s³/12)/s^5 in powers of s^2 on |s| <= 0.3432. Absolute error 2^-45 / 2^-72.
ATANH_TAIL: Table = {
    F32: (0.01250004768371582, 0.0022302414290606976, 0.0004574151535052806),
    F64: (0.01250000000000071, 0.00223214285703844, 0.00043402778361967953, 8.877824335692634e-05,
          1.8782670179878868e-05, 4.045615174282575e-06, 1.006906215763842e-06),
}


def log_pair(e: Emitter, x: Val) -> tuple[Val, Val]:
    """log(x) as a sum of two numbers, for positive x; relative error 2^-34 in float32, 2^-63.5 in float64.

    log(x) = k·ln 2 + s + s³/12 + …, s = 2f/(2 + f), the first terms in double working precision as in Dekker,
    "A Floating-Point Technique for Extending the Available Precision" (1971).
    """
    minus_k, f = split_any(e, x)
    two = e.like(x, 2)
    twelfth, twelfth_low = (e.like(x, part) for part in TWELFTH[x.dtype])
    ln2, ln2_low = (e.like(x, -part) for part in LN2_SHORT[x.dtype])
    with e.exact():
        below = e.add(f, two)
        lost = e.sub(f, e.sub(below, two))
        inverse = e.div(e.like(x, 1), below)
        twice = e.add(f, f)
        s = e.mul(twice, inverse)
        minus_s = e.neg(s)
        s_low = e.mul(e.fma(minus_s, lost, e.fma(minus_s, below, twice)), inverse)
        z = e.mul(s, s)
        z_low = e.fma(e.add(s, s), s_low, e.fma(s, s, e.neg(z)))
        first = e.mul(z, twelfth)
        first_low = e.fma(z_low, twelfth, e.fma(z, twelfth_low, e.fma(z, twelfth, e.neg(first))))
        others = e.mul(e.mul(z, z), polynomial(e, z, ATANH_TAIL[x.dtype]))
        v = e.add(first, others)
        v_low = e.add(first_low, e.sub(others, e.sub(v, first)))
        cube = e.mul(s, v)
        cube_low = e.fma(s_low, v, e.fma(s, v_low, e.fma(s, v, e.neg(cube))))
        whole = e.mul(minus_k, ln2)
        rest = e.fma(minus_k, ln2_low, e.add(s_low, cube_low))
        fraction = e.add(s, cube)
        rest = e.add(rest, e.sub(cube, e.sub(fraction, s)))
        total = e.add(whole, fraction)
        return total, e.add(rest, e.sub(fraction, e.sub(total, whole)))


def pow_positive(e: Emitter, x: Val, y: Val) -> Val:
    """x^y for positive finite x."""
    low, high = EXP_RANGE[x.dtype]
    limit = 2.0 ** (FORMATS[x.dtype].fraction + 12)  # with more, every x but 1 gives 0 or infinity
    y = at_most(e, at_least(e, y, -limit), limit)
    main, rest = log_pair(e, x)
    with e.exact():
        product = e.mul(y, main)
        product_low = e.fma(y, rest, e.fma(y, main, e.neg(product)))
    product_low = at_most(e, at_least(e, product_low, -0.5), 0.5)
    product = at_most(e, at_least(e, product, low - 2), high + 1)
    p, s = exp_parts(e, product, product_low)
    return e.mul(e.mul(p, s), s)


def power(e: Emitter, x: Val, y: Val) -> Val:
    """x^y with the special cases of IEEE 754 and NumPy."""
    form = FORMATS[x.dtype]
    size, sign = split_sign(e, x)
    zero, one = e.like(x, 0), e.like(x, 1)
    result = pow_positive(e, size, y)
    # 0 and infinity: themselves or, for y < 0, each other
    bits = integer(e, size)
    swapped = e.bitcast(e.sub(e.like(bits, form.infinity), bits), x.dtype)
    end = e.select(e.lt(y, zero), swapped, size)
    # an unsigned comparison: all bits - 1 from those of infinity - 1 on, and that of 0
    is_end = e.ge(e.add(bits, e.like(bits, -1 - form.sign)), e.like(bits, form.infinity - 1 + form.sign))
    whole = e.eq(e.rint(y), y)
    result = e.select(e.and_(e.lt(x, zero), e.not_(whole)), e.like(x, float("nan")), result)
    result = e.select(is_end, end, result)
    half = e.mul(y, e.like(x, 0.5))
    odd = e.and_(whole, e.ne(e.rint(half), half))
    result = flip_sign(e, result, e.select(odd, sign, e.like(sign, 0)))
    result = e.select(e.or_(e.isnan(x), e.isnan(y)), e.like(x, float("nan")), result)
    return e.select(e.or_(e.eq(x, one), e.eq(y, zero)), one, result)


def cbrt(e: Emitter, x: Val) -> Val:
    """Cube root: x·y² for y = x^(-1/3), from a guess, by steps that raise its error to the fourth power."""
    form = FORMATS[x.dtype]
    size, sign = split_sign(e, x)
    small = e.lt(size, e.like(x, form.tiny))
    step = 24 if x.dtype == F32 else 54
    a = e.select(small, e.mul(size, e.like(x, 2.0**step)), size)
    y = inverse_cbrt_guess(e, a)
    for _ in range(1 if x.dtype == F32 else 2):
        h = e.fma(e.neg(e.mul(e.mul(a, y), y)), y, e.like(x, 1))
        y = e.fma(e.mul(y, h), polynomial(e, h, (1 / 3, 2 / 9, 14 / 81)), y)
    square = e.mul(y, y)
    root = e.mul(a, square)
    left = e.fma(e.neg(e.mul(root, root)), root, a)
    root = e.fma(left, e.mul(square, e.like(x, 1 / 3)), root)
    root = e.select(small, e.mul(root, e.like(x, 2.0 ** (-step // 3))), root)
    root = e.select(e.lt(size, e.like(x, INFINITY)), root, size)
    return flip_sign(e, root, sign)


def inverse_cbrt_guess(e: Emitter, x: Val) -> Val:
    """x^(-1/3) within 4 %, from the bits of x as a number, which are near a logarithm, divided by -3."""
    form = FORMATS[x.dtype]
    bits = integer(e, x)
    drop = 10 if x.dtype == F32 else 30  # bits that the guess does without
    scale = 2.0 ** (form.fraction - drop)
    bias = (4 / 3 * form.bias + INVERSE_CBRT_BIAS) * scale + form.round
    bits = e.shr(bits, e.like(bits, drop))
    if x.dtype == F32:
        number = e.cast(bits, F32)
    else:
        number = e.bitcast(e.or_(bits, e.like(bits, 0x433 << 52)), F64)
        bias += 2.0**52 / 3
    guess = integer(e, e.fma(number, e.like(x, -1 / 3), e.like(x, bias)))
    return e.bitcast(e.shl(guess, e.like(guess, drop)), x.dtype)


def hypot(e: Emitter, x: Val, y: Val) -> Val:
    """√(x² + y²) without overflow or underflow in between."""
    form = FORMATS[x.dtype]
    width, height = e.abs(x), e.abs(y)
    largest = e.select(e.gt(width, height), width, height)
    half = (form.bias + 1) // 2
    big, small = e.gt(largest, e.like(x, 2.0 ** (half - 4))), e.lt(largest, e.like(x, 2.0 ** (4 - half)))

    def scale(down: int, up: int) -> Val:
        return e.select(big, e.like(x, 2.0**down), e.select(small, e.like(x, 2.0**up), e.like(x, 1)))

    there = scale(-half - 2, half + form.fraction)
    width, height = e.mul(width, there), e.mul(height, there)
    root = e.mul(e.sqrt(e.fma(width, width, e.mul(height, height))), scale(half + 2, -half - form.fraction))
    infinity = e.like(x, INFINITY)
    return e.select(e.or_(e.eq(width, infinity), e.eq(height, infinity)), infinity, root)
