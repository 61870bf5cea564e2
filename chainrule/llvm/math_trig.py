"""Trigonometric functions and their inverses.

x = n·π + r after Cody and Waite with fused multiply-add, then one polynomial. Reduction by π, not π/2: one
polynomial instead of two and a select. π is a sum of three numbers; the first product is subtracted exactly, so r
keeps its relative accuracy where x is next to a multiple of π. That goes for |x| <= 1e5 in float32, 2^40 in
float64; larger arguments, rare as they are, are left to the C library one by one.
"""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import (
    F32,
    F64,
    FORMATS,
    HALF_PI,
    Table,
    at_least,
    at_most,
    flip_sign,
    integer,
    is_negative,
    polynomial,
    round_scaled,
    split_sign,
)

ONE_BY_PI = 0.3183098861837907
LARGEST = {F32: 1e5, F64: 2.0**40}  # arguments that the reduction takes
# Each part is rounded down, so that -n·part keeps the sign of a zero.
PI: Table = {
    F32: (3.141592502593994, 1.5099578831723193e-07, 1.0780605906948477e-14),
    F64: (3.141592653589793, 1.224646799147353e-16, 2.1657133478438256e-32),
}
# sin(r)/r - 1 in powers of r^2 on |r| <= 1.585. Relative error of the whole 2^-27 / 2^-56.7.
# The first coefficient stands for 0: it makes the sum positive at r = 0, so that r·sum has the sign of r.
SIN: Table = {
    F32: (2.0**-126, -0.16666659712791443, 0.008333064615726471, -0.00019809220975730568, 2.6045265713037224e-06),
    F64: (2.0**-1022, -0.16666666666666666, 0.008333333333333193, -0.00019841269841208673, 2.755731921104043e-06,
          -2.505210686366262e-08, 1.6058939233856505e-10, -7.642978899834927e-13, 2.721039393946943e-15),
}
# (tan(r)/r - 1)/r^2 in powers of r^2 on |r| <= 1.01·π/4. Relative error of the whole 2^-29.3 / 2^-56.9.
TAN: Table = {
    F32: (0.3333335220813751, 0.1333257108926773, 0.05407097190618515, 0.0212226714938879, 0.01099535170942545,
          -0.00011850633018184453, 0.004481433890759945),
    F64: (0.333333333333334, 0.13333333333322894, 0.05396825397422988, 0.021869488363120377, 0.008863238505986318,
          0.0035920948084367525, 0.001456088545214822, 0.0005886506709552646, 0.0002445117320566388,
          8.16169788284306e-05, 7.075187095651797e-05, -3.0091201352134402e-05, 5.2350871954403367e-05,
          -2.61108766649764e-05, 1.0207101929427537e-05),
}
# (asin(x)/x - 1)/x^2 in powers of x^2 on |x| <= 1/2. Relative error of the whole 2^-27.6 / 2^-58.
ASIN: Table = {
    F32: (0.16666752099990845, 0.07495307177305222, 0.04546966031193733, 0.024181365966796875, 0.04216534644365311),
    F64: (0.1666666666666676, 0.07499999999970614, 0.04464285717479701, 0.030381942698510227, 0.02237221525954377,
          0.017351606950909804, 0.01398088323403171, 0.011398384014210998, 0.010783294624711752,
          0.0036946257456598954, 0.021736803028484356, -0.021041547195262363, 0.0326557655274828),
}
# (atan(x)/x - 1)/x^2 in powers of x^2 on |x| <= 1. Relative error of the whole 2^-25.8 / 2^-54.3.
ATAN: Table = {
    F32: (-0.33333152532577515, 0.19993767142295837, -0.14211010932922363, 0.1066584587097168,
          -0.07551911473274231, 0.04320867732167244, -0.016366183757781982, 0.0029203020967543125),
    F64: (-0.3333333333333186, 0.19999999999755072, -0.1428571427133704, 0.11111110678808823, -0.09090901236397725,
          0.07692212941579267, -0.06665860446833462, 0.05877308226321397, -0.05239234826527127, 0.04673955110297111,
          -0.0409265084318504, 0.03406803252343491, -0.025827094534161252, 0.01697833958829589,
          -0.009184790282431615, 0.0038561018787478503, -0.001164119360040999, 0.00022303329305756287,
          -2.025970094822412e-05),
}


def sin_reduced(e: Emitter, r: Val, n: Val) -> Val:
    """sin(r), negated where the integer n is odd."""
    sign = e.shl(n, e.like(n, 8 * r.dtype.itemsize - 1))
    sine = e.fma(r, polynomial(e, e.mul(r, r), SIN[r.dtype]), r)
    # not beyond 1 by rounding
    return flip_sign(e, at_most(e, at_least(e, sine, -1.0), 1.0), sign)


def beyond(e: Emitter, x: Val, usual: Val, name: str) -> Val:
    """``usual``, but what the C library says for arguments too large for the reduction."""
    return e.mended(e.gt(e.abs(x), e.like(x, LARGEST[x.dtype])), usual, lambda: e.intrinsic(name, x))


def sin(e: Emitter, x: Val) -> Val:
    """Sine of x radians."""
    n, bits = round_scaled(e, x, ONE_BY_PI)
    r = x
    for part in PI[x.dtype]:
        r = e.fma(n, e.like(x, -part), r)
    return beyond(e, x, sin_reduced(e, r, bits), "sin")


def cos(e: Emitter, x: Val) -> Val:
    """Cosine of x radians: the sine of the distance to the nearest (n + ½)·π."""
    magic = e.like(x, FORMATS[x.dtype].round)
    shifted = e.add(e.fma(x, e.like(x, ONE_BY_PI), e.like(x, -0.5)), magic)
    n = e.add(e.sub(shifted, magic), e.like(x, 0.5))
    first, *others = PI[x.dtype]
    r = e.fma(n, e.like(x, first), e.neg(x))
    for part in others:
        r = e.fma(n, e.like(x, part), r)
    return beyond(e, x, sin_reduced(e, r, integer(e, shifted)), "cos")


def tan(e: Emitter, x: Val) -> Val:
    """Tangent of x radians: that of r for x = n·π/2 + r or, where n is odd, -1 divided by it."""
    n, bits = round_scaled(e, x, 2 * ONE_BY_PI)
    first, second, third = (e.like(x, -part / 2) for part in PI[x.dtype])
    high = e.fma(n, first, x)
    with e.exact():  # r + rest = high + n·(second + third), the sum of Knuth and Møller
        product = e.mul(n, second)
        r = e.add(high, product)
        part = e.sub(r, high)
        rest = e.add(e.sub(high, e.sub(r, part)), e.sub(product, part))
        rest = e.add(rest, e.fma(n, third, e.fma(n, second, e.neg(product))))
    square = e.mul(r, r)
    slope = e.fma(square, rest, rest)
    t = e.add(r, e.fma(e.mul(r, square), polynomial(e, square, TAN[x.dtype]), slope))
    bit = e.and_(bits, e.like(bits, 1))
    odd = e.eq(bit, e.like(bits, 1))
    result = e.div(e.select(odd, e.like(x, -1), t), e.select(odd, t, e.like(x, 1)))
    return beyond(e, x, e.select(e.eq(x, e.like(x, 0)), x, result), "tan")


# Sums of a product and what is selected are written as one multiply-add: the compiler would make one of some of them,
# by the number of lanes and the processor.


def asin_parts(e: Emitter, size: Val) -> tuple[Val, Val, Val, Val]:
    """far, s, v and w with asin(s) = s + v·w; where far, s = √((1 - x)/2) and asin(x) = π/2 - 2·asin(s), else s = x."""
    far = e.gt(size, e.like(size, 0.5))
    z = e.select(far, e.fma(size, e.like(size, -0.5), e.like(size, 0.5)), e.mul(size, size))
    s = e.select(far, e.sqrt(z), size)
    return far, s, e.mul(s, z), polynomial(e, z, ASIN[size.dtype])


def asin(e: Emitter, x: Val) -> Val:
    """Inverse of sin, in [-π/2, π/2]; NaN for |x| > 1."""
    size, sign = split_sign(e, x)
    far, s, v, w = asin_parts(e, size)
    high, low = HALF_PI[x.dtype]
    angle = e.add(s, e.fma(v, w, e.select(far, e.like(x, -low / 2), e.like(x, 0))))
    return flip_sign(e, e.select(far, e.fma(angle, e.like(x, -2), e.like(x, high)), angle), sign)


def acos(e: Emitter, x: Val) -> Val:
    """Inverse of cos, in [0, π]; NaN for |x| > 1."""
    size, sign = split_sign(e, x)
    far, s, v, w = asin_parts(e, size)
    high, low = HALF_PI[x.dtype]
    zero = e.like(x, 0)
    # far: 2·(s + w) or π - 2·(s + w); near: π/2 - (s + w) with the sign of x
    negative = is_negative(e, x)
    base_far = e.select(negative, e.like(x, 2 * high), zero)
    low_far = e.select(negative, e.like(x, 2 * low), zero)
    base = e.select(far, base_far, e.like(x, high))
    small = e.select(far, low_far, e.like(x, low))
    factor = flip_sign(e, e.select(far, e.like(x, 2), e.like(x, -1)), sign)
    return e.add(e.fma(s, factor, base), e.fma(e.mul(v, w), factor, small))


def atan_more(e: Emitter, t: Val, low: Val) -> Val:
    """atan(t) - t + low for |t| <= 1."""
    square = e.mul(t, t)
    return e.fma(e.mul(t, square), polynomial(e, square, ATAN[t.dtype]), low)


def atan(e: Emitter, x: Val) -> Val:
    """Inverse of tan, in [-π/2, π/2]; for |x| > 1 as π/2 plus that of -1/|x|."""
    size, sign = split_sign(e, x)
    one, zero = e.like(x, 1), e.like(x, 0)
    far = e.gt(size, one)
    t = e.div(e.select(far, e.like(x, -1), size), e.select(far, size, one))
    high, low = (e.select(far, e.like(x, part), zero) for part in HALF_PI[x.dtype])
    return flip_sign(e, e.add(e.add(high, t), atan_more(e, t, low)), sign)


def atan2(e: Emitter, y: Val, x: Val) -> Val:
    """The angle of the point (x, y), in [-π, π]; NumPy's arctan2."""
    height, sign = split_sign(e, y)
    width, side = split_sign(e, x)
    zero, infinity = e.like(x, 0), e.like(x, float("inf"))
    steep = e.gt(height, width)
    top, bottom = e.select(steep, width, height), e.select(steep, height, width)
    t = e.div(top, bottom)
    t = e.select(e.eq(bottom, zero), zero, e.select(e.eq(top, infinity), e.like(x, 1), t))
    # steep: π/2 - atan(t), or + on the left; flat: atan(t), or π - atan(t) on the left
    left = is_negative(e, x)
    bits = e.xor(side, e.select(steep, e.like(side, FORMATS[x.dtype].sign), e.like(side, 0)))
    t = flip_sign(e, t, bits)
    parts = []
    for part in HALF_PI[x.dtype]:
        flat = e.select(left, e.like(x, 2 * part), zero)
        parts.append(e.select(steep, e.like(x, part), flat))
    angle = e.add(e.add(parts[0], t), atan_more(e, t, parts[1]))
    return e.select(e.or_(e.isnan(x), e.isnan(y)), e.like(x, float("nan")), flip_sign(e, angle, sign))
