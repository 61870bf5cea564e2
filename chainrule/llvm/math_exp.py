"""Exponentials and what is made of them.

All reduce x = n·ln 2 + r as Cody and Waite ("Software Manual for the Elementary Functions", 1980), with n from
the low bits of x/ln 2 + 1.5·2^p, and fit the exponential of r by a minimax polynomial. Where subnormal results
or the last binade matter, n is even, n = 2m, and 2^m is multiplied in twice: one rounding, no special cases.
"""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import F32, F64, FORMATS, Table, at_least, at_most, flip_sign, integer, polynomial
from chainrule.llvm.math_base import round_scaled, split_sign

LOG2_E = 1.4426950408889634
# ln 2 as a sum of two numbers; the first has the working precision.
LN2: Table = {F32: (0.6931471824645996, -1.904654323148236e-09), F64: (0.6931471805599453, 2.3190468138462996e-17)}
# e^r on |r| <= ln 2. Relative error 2^-26 / 2^-55.5.
EXP: Table = {
    F32: (1.0, 1.0, 0.5000003576278687, 0.16666613519191742, 0.04166121408343315, 0.008336120285093784,
          0.001410515746101737, 0.00019610804156400263),
    F64: (1.0, 1.0, 0.4999999999999993, 0.16666666666666938, 0.04166666666670204, 0.008333333333269957,
          0.0013888888883581887, 0.0001984126989275942, 2.4801590827842605e-05, 2.7557300653191047e-06,
          2.7556158462852787e-07, 2.5055033909304784e-08, 2.1062299923199325e-09, 1.5935492502579425e-10),
}
# (e^r - 1)/r on |r| <= ln(2)/2, without its 1. Relative error 2^-26 / 2^-55.
EXPM1: Table = {
    F32: (0.4999999701976776, 0.16666541993618011, 0.041667353361845016, 0.008366825059056282,
          0.0013882352504879236),
    F64: (0.5000000000000006, 0.16666666666666588, 0.041666666666575425, 0.008333333333390551,
          0.0013888888932041131, 0.00019841269717271376, 2.4801504662170375e-05, 2.7557408530582716e-06,
          2.7626294332572583e-07, 2.5053677452200354e-08),
}
# tanh(r)/r in powers of r^2, without its 1, on |r| <= ln 2. Relative error 2^-26.1 / 2^-55.9.
TANH: Table = {
    F32: (-0.33333200216293335, 0.13329344987869263, -0.05357525125145912, 0.020136676728725433,
          -0.005180289037525654),
    F64: (-0.3333333333333313, 0.13333333333304917, -0.053968253954113435, 0.02186948818235771,
          -0.00886323032598099, 0.0035920790996424646, -0.0014555257002718377, 0.0005886870873777317,
          -0.00023508477873904464, 8.847953666207405e-05, -2.7359800367059354e-05, 4.905410379466076e-06),
}
# log(1 + x)/x on 0 <= x <= 1, without its 1. Relative error 2^-27.3 / 2^-55.6.
LOG1P_UNIT: Table = {
    F32: (-0.4999993145465851, 0.33330464363098145, -0.24958020448684692, 0.19692115485668182,
          -0.1534493863582611, 0.10661255568265915, -0.05745873600244522, 0.020087163895368576,
          -0.0032906970009207726),
    F64: (-0.49999999999999983, 0.33333333333329535, -0.24999999999707162, 0.19999999988402048,
          -0.16666666388097992, 0.14285709822748982, -0.12499949281218731, 0.11110684431581787,
          -0.09997259068310564, 0.09077146697803311, -0.08278337062840754, 0.0751485618688111,
          -0.06674938362393225, 0.056472918197145235, -0.043948763164460336, 0.03025374920234784,
          -0.017683962206921536, 0.008402505748811127, -0.0030824121166696137, 0.0008128451231553336,
          -0.00013640417022252397, 1.0900964976173208e-05),
}
# Beyond these e^x is 0 and infinity.
EXP_RANGE: Table = {F32: (-104.0, 89.0), F64: (-746.0, 710.0)}
# Beyond these 1 + e^-x rounds to 1.
ONE_BEYOND = {F32: 18.0, F64: 40.0}
# A power of two by which small results are kept normal until their last multiplication.
LIFT = 100


def exp_even(e: Emitter, x: Val) -> tuple[Val, Val]:
    """p and s with e^x = p·s·s, for x inside EXP_RANGE; s is a power of two."""
    form = FORMATS[x.dtype]
    high_ln2, low_ln2 = LN2[x.dtype]
    m, bits = round_scaled(e, x, LOG2_E / 2, form.bias)
    r = e.fma(m, e.like(x, -2 * high_ln2), x)
    r = e.fma(m, e.like(x, -2 * low_ln2), r)
    return polynomial(e, r, EXP[x.dtype]), power_of_two(e, bits, x)


def power_of_two(e: Emitter, bits: Val, x: Val) -> Val:
    """The power of two whose biased exponent is in the low bits of ``bits``, as a float like ``x``."""
    return e.bitcast(e.shl(bits, e.like(bits, FORMATS[x.dtype].fraction)), x.dtype)


def exp(e: Emitter, x: Val) -> Val:
    """e^x."""
    low, high = EXP_RANGE[x.dtype]
    p, s = exp_even(e, at_most(e, at_least(e, x, low), high))
    return e.mul(e.mul(p, s), s)


def expm1_parts(e: Emitter, x: Val, offset: int = 0) -> tuple[Val, Val]:
    """q and s with e^x = (1 + q)·s/2^offset; s is a power of two and must be a normal number."""
    high_ln2, low_ln2 = LN2[x.dtype]
    n, bits = round_scaled(e, x, LOG2_E, FORMATS[x.dtype].bias + offset)
    r = e.fma(n, e.like(x, -high_ln2), x)
    r = e.fma(n, e.like(x, -low_ln2), r)
    return e.fma(e.mul(r, r), polynomial(e, r, EXPM1[x.dtype]), r), power_of_two(e, bits, x)


def expm1(e: Emitter, x: Val) -> Val:
    """e^x - 1, exact also near 0."""
    low, high = -ONE_BEYOND[x.dtype], EXP_RANGE[x.dtype][1]
    q, half = expm1_parts(e, at_most(e, at_least(e, x, low), high), -1)
    result = e.fma(half, q, e.sub(half, e.like(x, 0.5)))
    result = e.add(result, result)
    # near 0: q loses the sign of zero, and half of q the last bit of a subnormal
    return e.select(e.lt(e.abs(x), e.like(x, FORMATS[x.dtype].tiny * 4)), x, result)


def exp_small(e: Emitter, x: Val) -> Val:
    """e^x for x up to ONE_BEYOND."""
    q, s = expm1_parts(e, at_least(e, x, EXP_RANGE[x.dtype][0]), LIFT)
    return e.mul(e.fma(q, s, s), e.like(x, 2.0**-LIFT))


def sigmoid(e: Emitter, x: Val) -> Val:
    """1/(1 + e^-x): y = s/(1 + e^-|x|)·(1 + q) with e^-|x| = s·(1 + q) or, for x > 0, 1 - y."""
    q, s = expm1_parts(e, at_least(e, e.neg(e.abs(x)), EXP_RANGE[x.dtype][0]), LIFT)
    unlift, one = e.like(x, 2.0**-LIFT), e.like(x, 1)
    y = e.div(s, e.fma(e.fma(q, s, s), unlift, one))
    y = e.mul(e.fma(y, q, y), unlift)
    bits = integer(e, x)
    return e.select(e.lt(bits, e.like(bits, 0)), y, e.sub(one, y))


def softplus(e: Emitter, x: Val) -> Val:
    """log(1 + e^x), as max(x, 0) + log(1 + e^-|x|)."""
    power = exp_small(e, e.neg(e.abs(x)))
    tail = e.fma(e.mul(power, power), polynomial(e, power, LOG1P_UNIT[x.dtype]), power)
    return e.add(at_least(e, x, 0.0), tail)


def tanh(e: Emitter, x: Val) -> Val:
    """For |x| = 2m·ln 2 + r and t = tanh(r): t where m = 0, else 1 - 2·(1 - t)/(1 - t + 16^m·(1 + t))."""
    size, sign = split_sign(e, x)
    size = at_most(e, size, ONE_BEYOND[x.dtype] / 2 + 1)
    m, bits = round_scaled(e, size, LOG2_E / 2, (FORMATS[x.dtype].bias + 1) // 4)
    r = size
    for part in LN2[x.dtype][: 1 if x.dtype == F32 else 2]:
        r = e.fma(m, e.like(x, -2 * part), r)
    square = e.mul(r, r)
    t = e.fma(e.mul(r, square), polynomial(e, square, TANH[x.dtype]), r)
    twice = e.bitcast(e.shl(bits, e.like(bits, FORMATS[x.dtype].fraction + 2)), x.dtype)  # 2·16^m
    below = e.fma(t, e.like(x, -2), e.like(x, 2))
    ratio = e.div(below, e.fma(twice, e.add(t, e.like(x, 1)), below))
    far = e.fma(ratio, e.like(x, -2), e.like(x, 1))
    return flip_sign(e, e.select(e.eq(m, e.like(x, 0)), t, far), sign)
