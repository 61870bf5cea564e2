"""Exponentials and what is made of them.

All reduce x = n·ln 2 + r as Cody and Waite ("Software Manual for the Elementary Functions", 1980), with n from
the low bits of x/ln 2 + 1.5·2^p, and fit the exponential of r by a minimax polynomial.
"""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import (
    F32,
    F64,
    FORMATS,
    LN2,
    Table,
    at_least,
    at_most,
    flip_sign,
    halved,
    is_negative,
    polynomial,
    power_of_two,
    round_scaled,
    split_sign,
)

LOG2_E = 1.4426950408889634
# (e^r - 1 - r)/r^2 on |r| <= ln 2. Relative error of the whole 2^-26 / 2^-55.5.
EXP: Table = {
    F32: (0.5000003576278687, 0.16666613519191742, 0.04166121408343315, 0.008336120285093784,
          0.001410515746101737, 0.00019610804156400263),
    F64: (0.4999999999999993, 0.16666666666666938, 0.04166666666670204, 0.008333333333269957,
          0.0013888888883581887, 0.0001984126989275942, 2.4801590827842605e-05, 2.7557300653191047e-06,
          2.7556158462852787e-07, 2.5055033909304784e-08, 2.1062299923199325e-09, 1.5935492502579425e-10),
}
# (2^r - 1)/r on |r| <= 1. Relative error of the whole 2^-26.1 / 2^-53.9.
EXP2: Table = {
    F32: (0.6931472420692444, 0.24022668600082397, 0.055503666400909424, 0.009616835042834282,
          0.001334150554612279, 0.0001564646663609892, 1.4932535123080015e-05),
    F64: (0.6931471805599453, 0.24022650695910022, 0.055504108664823214, 0.009618129107638379,
          0.001333355814629137, 0.00015403530386779273, 1.525273385150155e-05, 1.3215488802544985e-06,
          1.0178078301949106e-07, 7.05460294810493e-09, 4.446099751300133e-10, 2.5910393990704282e-11,
          1.3578881392554095e-12),
}
# (e^r - 1 - r)/r^2 on |r| <= ln(2)/2. Error relative to e^r - 1 2^-26 / 2^-55.
EXPM1: Table = {
    F32: (0.4999999701976776, 0.16666541993618011, 0.041667353361845016, 0.008366825059056282,
          0.0013882352504879236),
    F64: (0.5000000000000006, 0.16666666666666588, 0.041666666666575425, 0.008333333333390551,
          0.0013888888932041131, 0.00019841269717271376, 2.4801504662170375e-05, 2.7557408530582716e-06,
          2.7626294332572583e-07, 2.5053677452200354e-08),
}
# (tanh(r)/r - 1)/r^2 in powers of r^2 on |r| <= ln(2) / ln(2) + 0.1. Relative error of the whole 2^-25.5 (near
# ln 2, where it counts most, 2^-26.6) / 2^-55.3.
TANH: Table = {
    F32: (-0.33333149552345276, 0.1332828253507614, -0.053507763892412186, 0.019969580695033073,
          -0.005038388539105654),
    F64: (-0.3333333333333308, 0.13333333333301872, -0.05396825395439127, 0.02186948822761687,
          -0.00886323146527383, 0.0035920934749342527, -0.0014556346821549967, 0.000589218893880254,
          -0.0002367979510530053, 9.21065425998022e-05, -3.2218376792906665e-05, 8.641215000651255e-06,
          -1.2567706620481363e-06),
}
# (sinh(x)/x - 1)/x^2 in powers of x^2 on |x| <= 1. Relative error of the whole 2^-25.3 / 2^-56.6.
SINH: Table = {
    F32: (0.1666671633720398, 0.008330271579325199, 0.00020373139705043286),
    F64: (0.16666666666666669, 0.008333333333333148, 0.00019841269841431816, 2.755731915708849e-06,
          2.505212313431609e-08, 1.6057259939077905e-10, 7.758744088584346e-13),
}
# Beyond these e^x and 2^x are 0 and infinity.
EXP_RANGE: Table = {F32: (-104.0, 89.0), F64: (-746.0, 710.0)}
EXP2_RANGE: Table = {F32: (-151.0, 129.0), F64: (-1076.0, 1025.0)}
# Beyond these 1 + e^-x rounds to 1.
ONE_BEYOND = {F32: 18.0, F64: 40.0}
# Beyond these e^x/2 is infinity.
HALF_EXP_HIGH = {F32: 89.5, F64: 710.5}
# An exponent by which small results are lifted to stay normal numbers until their last multiplication.
LIFT = 100


def exp_parts(e: Emitter, x: Val, low: Val | None = None) -> tuple[Val, Val]:
    """The p and s with e^(x + low) = p·s·s, for x in EXP_RANGE; s is a power of two.

    As n is even, n = 2m, each factor is a normal number and only the last product rounds, to a subnormal
    number or infinity if need be.
    """
    high_ln2, low_ln2 = LN2[x.dtype]
    one = e.like(x, 1)
    m, biased = round_scaled(e, x, LOG2_E / 2, FORMATS[x.dtype].bias)
    s = power_of_two(e, biased, x)
    high = e.fma(m, e.like(x, -2 * high_ln2), x)
    if low is not None:
        low = e.fma(m, e.like(x, -2 * low_ln2), low)
        r = e.add(high, low)
        square = e.mul(r, r)
        return e.add(e.add(high, one), e.fma(square, halved(e, r, square, EXP[x.dtype]), low)), s
    r = e.fma(m, e.like(x, -2 * low_ln2), high)
    if x.dtype == F32:
        return polynomial(e, r, (1.0, 1.0, *EXP[F32])), s
    square = e.mul(r, r)
    return e.add(e.fma(square, halved(e, r, square, EXP[F64]), r), one), s


def exp(e: Emitter, x: Val) -> Val:
    """e^x; what underflows, as masked weights do, takes no detour through subnormal numbers, which are slow."""
    low, high = EXP_RANGE[x.dtype]
    none, gone = e.like(x, 0), e.lt(x, e.like(x, low))
    p, s = exp_parts(e, at_most(e, e.select(gone, none, x), high))
    return e.select(gone, none, e.mul(e.mul(p, s), s))


def exp2(e: Emitter, x: Val) -> Val:
    """2^x, reduced as exp is: x = 2m + r."""
    low, high = EXP2_RANGE[x.dtype]
    x = at_most(e, at_least(e, x, low), high)
    m, biased = round_scaled(e, x, 0.5, FORMATS[x.dtype].bias)
    r = e.fma(m, e.like(x, -2), x)
    s = power_of_two(e, biased, x)
    if x.dtype == F32:
        p = polynomial(e, r, (1.0, *EXP2[F32]))
    else:
        p = e.fma(r, halved(e, r, e.mul(r, r), EXP2[F64]), e.like(x, 1))
    return e.mul(e.mul(p, s), s)


def expm1_parts(e: Emitter, x: Val, offset: int = 0) -> tuple[Val, Val, Val]:
    """The r, t and s with e^x = (1 + r + t)·s/2^offset; s is a power of two and has to be a normal number."""
    high_ln2, low_ln2 = LN2[x.dtype]
    n, biased = round_scaled(e, x, LOG2_E, FORMATS[x.dtype].bias + offset)
    r = e.fma(n, e.like(x, -high_ln2), x)
    r = e.fma(n, e.like(x, -low_ln2), r)
    square = e.mul(r, r)
    if x.dtype == F32:
        t = e.mul(square, polynomial(e, r, EXPM1[F32]))
    else:
        t = e.mul(square, halved(e, r, square, EXPM1[F64]))
    return r, t, power_of_two(e, biased, x)


def expm1(e: Emitter, x: Val) -> Val:
    """e^x - 1, accurate also near 0."""
    low, high = -ONE_BEYOND[x.dtype], EXP_RANGE[x.dtype][1]
    r, t, half = expm1_parts(e, at_most(e, at_least(e, x, low), high), -1)
    result = e.fma(half, t, e.fma(half, r, e.sub(half, e.like(x, 0.5))))
    result = e.add(result, result)
    # near 0: the sum loses the sign of zero, and the half the last bit of a subnormal number
    return e.select(e.lt(e.abs(x), e.like(x, 4 * FORMATS[x.dtype].tiny)), x, result)


def exp_of_minus(e: Emitter, x: Val) -> Val:
    """e^-|x|."""
    r, t, s = expm1_parts(e, at_least(e, e.neg(e.abs(x)), EXP_RANGE[x.dtype][0]), LIFT)
    return e.mul(e.fma(e.add(r, t), s, s), e.like(x, 2.0**-LIFT))


def sigmoid(e: Emitter, x: Val) -> Val:
    """1/(1 + e^-x): with p = e^-|x|, y = p - p·(p/(1 + p)) for x < 0, and 1 - y for the others.

    The quotient alone, p/(1 + p), would be off by 2.5 ulp where y is just below a power of two.
    """
    p, one = exp_of_minus(e, x), e.like(x, 1)
    y = e.fma(e.neg(p), e.div(p, e.add(p, one)), p)
    return e.select(is_negative(e, x), y, e.sub(one, y))


def tanh(e: Emitter, x: Val) -> Val:
    """Hyperbolic tangent, from t = tanh of r = |x| - 2m·ln 2.

    It is t where m = 0, else 1 - 2·(1 - t)/(1 - t + 16^m·(1 + t)).
    """
    size, sign = split_sign(e, x)
    size = at_most(e, size, ONE_BEYOND[x.dtype] / 2 + 1)
    high_ln2, low_ln2 = LN2[x.dtype]
    # float64 goes on longer with m = 0, where 1 - 2·… would not be accurate enough
    to_round = size if x.dtype == F32 else e.sub(size, e.like(x, 0.1))
    m, biased = round_scaled(e, to_round, LOG2_E / 2, (FORMATS[x.dtype].bias + 1) // 4)
    r = e.fma(m, e.like(x, -2 * high_ln2), size)
    square = e.mul(r, r)
    if x.dtype == F32:
        t = e.fma(r, e.mul(square, polynomial(e, square, TANH[F32])), r)
    else:
        t = e.mul(square, halved(e, square, e.mul(square, square), TANH[F64]))
        t = e.add(r, e.fma(r, t, e.mul(m, e.like(x, -2 * low_ln2))))
    one, twice = e.like(x, 1), power_of_two(e, biased, x, 2)  # twice = 2·16^m
    below = e.fma(t, e.like(x, -2), e.like(x, 2))
    ratio = e.div(below, e.fma(twice, e.add(t, one), below))
    far = e.fma(ratio, e.like(x, -2), one)
    return flip_sign(e, e.select(e.eq(m, e.like(x, 0)), t, far), sign)


def half_exps(e: Emitter, size: Val) -> tuple[Val, Val]:
    """e^x/4 and e^-x/2, for x >= 0."""
    r, t, s = expm1_parts(e, at_most(e, size, HALF_EXP_HIGH[size.dtype]), -2)
    quarter = e.fma(e.add(r, t), s, s)
    return quarter, e.div(e.like(size, 0.125), quarter)


def cosh(e: Emitter, x: Val) -> Val:
    """(e^x + e^-x)/2."""
    quarter, rest = half_exps(e, e.abs(x))
    return e.fma(quarter, e.like(x, 2), rest)


def sinh(e: Emitter, x: Val) -> Val:
    """(e^x - e^-x)/2, a polynomial for |x| < 1."""
    size, sign = split_sign(e, x)
    quarter, rest = half_exps(e, size)
    square = e.mul(size, size)
    near = e.fma(e.mul(size, square), polynomial(e, square, SINH[x.dtype]), size)
    far = e.fma(quarter, e.like(x, 2), e.neg(rest))
    return flip_sign(e, e.select(e.lt(size, e.like(x, 1)), near, far), sign)
