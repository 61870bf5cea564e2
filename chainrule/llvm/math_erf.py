"""The error function and its complement."""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import F32, F64, Table, at_most, flip_sign, halved, is_negative, polynomial, split_sign
from chainrule.llvm.math_exp import LIFT, exp_of_minus, expm1_parts

# erf(x)/x - 1 in powers of x^2 on |x| <= 1. Relative error of the whole 2^-24.6 / 2^-55.
ERF: Table = {
    F32: (0.12837912142276764, -0.37612324953079224, 0.11280175298452377, -0.026711229234933853,
          0.004917488899081945, -0.0005631248350255191),
    F64: (0.12837916709551256, -0.3761263890318352, 0.11283791670944189, -0.026866170643112065,
          0.005223977606122523, -0.0008548325929470708, 0.00012055293580594586, -1.4924712357184338e-05,
          1.6447132090159855e-06, -1.6206316707172094e-07, 1.3710989495710606e-08, -7.779479851509258e-10),
}
# float32: erf(x) in powers of x - c on [1, 3.94]. Absolute error 2^-24.3. At this c erf is nearly a float32.
ERF_FAR_CENTRE = 2.500014305114746
ERF_FAR = (0.9995930790901184, 0.0021779255475848913, -0.005446295719593763, 0.00835278257727623,
           -0.008614697493612766, 0.006102873478084803, -0.002818530425429344, 0.0005705751245841384,
           0.0002868918818421662, -0.0002789864665828645, 6.169406697154045e-05, 2.1057370759081095e-05,
           -9.091056199395098e-06)
ERF_ONE = 3.94  # from here on erf(x) is 1 in float32
# (x + c)·e^(x²)·erfc(x) in powers of (x - c)/(x + c) for x >= 0, c = 3 and 4. Relative error 2^-26.9 / 2^-53.7.
ERFC_CENTRE = {F32: 3.0, F64: 4.0}
ERFC_ZERO = {F32: 10.1, F64: 27.3}  # beyond these erfc(x) is 0
ERFC: Table = {
    F32: (1.0740069150924683, -0.8833944797515869, 0.590228259563446, -0.31046628952026367,
          0.11952932924032211, -0.026837266981601715, -0.0012272059684619308, 0.0030712659936398268,
          -0.0004851333505939692, -0.0003140580956824124, 6.997265700192656e-06),
    F64: (1.095995661000491, -0.9765487290808821, 0.7732087022652369, -0.540853831313225, 0.33085158787802316,
          -0.17401093724028915, 0.07638151490915504, -0.02637005333462739, 0.006112055656697127,
          -0.0002809589158312322, -0.00045505268831458193, 0.00017681308662294789, -3.635151904922578e-06,
          -1.886178478812983e-05, 4.6943373709682424e-06, 1.426093473320142e-06, -8.460181445835496e-07,
          -7.79796511190664e-08, 1.239483528665033e-07, 2.6122538533328856e-09, -1.5395251937562575e-08,
          -3.8415832664894544e-10, 1.0171866447903787e-09),
}


def erfc_positive(e: Emitter, x: Val) -> Val:
    """erfc(x) for 0.5 <= x <= ERFC_ZERO: R(u)·e^(-x²)/(x + c), u = (x - c)/(x + c), what is lost in u and R kept."""
    centre, one = e.like(x, ERFC_CENTRE[x.dtype]), e.like(x, 1)
    constant, *others = ERFC[x.dtype]
    first = e.like(x, constant)
    with e.exact():
        bottom, top = e.add(x, centre), e.sub(x, centre)
        inverse = e.div(one, bottom)
        minus = e.neg(inverse)
        slip = e.fma(minus, e.sub(x, e.sub(bottom, centre)), e.fma(minus, bottom, one))  # of inverse, relative
        u = e.mul(top, inverse)
        top_low = e.sub(x, e.add(top, centre))
        u_low = e.fma(u, slip, e.fma(inverse, top_low, e.fma(top, inverse, e.neg(u))))
        slope = polynomial(e, u, others)
        product = e.mul(u, slope)
        product_low = e.fma(u_low, slope, e.fma(u, slope, e.neg(product)))
        ratio = e.add(first, product)
        ratio_low = e.add(e.sub(product, e.sub(ratio, first)), product_low)
        slow = e.mul(ratio, inverse)
        slow_low = e.fma(ratio_low, inverse, e.fma(ratio, inverse, e.neg(slow)))
        square = e.mul(x, x)
        r, t, s = expm1_parts(e, e.neg(square), LIFT)
        slip = e.sub(slip, e.fma(x, x, e.neg(square)))
        grown = e.add(e.add(r, t), one)
        low = e.fma(slow, e.fma(slip, grown, t), e.mul(slow_low, grown))
        low = e.fma(slow, r, low)
        return e.mul(e.mul(e.add(slow, low), s), e.like(x, 2.0**-LIFT))


def erf_near(e: Emitter, x: Val) -> Val:
    """erf(x) for |x| <= 1."""
    square = e.mul(x, x)
    if x.dtype == F32:
        slope = polynomial(e, square, ERF[F32])
    else:
        slope = halved(e, square, e.mul(square, square), ERF[F64])
    return e.fma(x, slope, x)


def erf(e: Emitter, x: Val) -> Val:
    """2/√π times the integral of e^(-t²) from 0 to x."""
    size, sign = split_sign(e, x)
    if x.dtype == F32:
        distance = e.sub(at_most(e, size, ERF_ONE), e.like(x, ERF_FAR_CENTRE))
        far = halved(e, distance, e.mul(distance, distance), ERF_FAR)
        far = e.select(e.ge(size, e.like(x, ERF_ONE)), e.like(x, 1), far)  # 1 + erf(-x) has to be 0 there
    else:
        bounded, centre, one = at_most(e, size, 6.0), e.like(x, ERFC_CENTRE[F64]), e.like(x, 1)
        inverse = e.div(one, e.add(bounded, centre))
        u = e.mul(e.sub(bounded, centre), inverse)
        slow = e.mul(inverse, halved(e, u, e.mul(u, u), ERFC[F64]))
        far = e.fma(e.neg(slow), exp_of_minus(e, e.mul(bounded, bounded)), one)
    return flip_sign(e, e.select(e.lt(size, e.like(x, 1)), erf_near(e, size), far), sign)


def erfc(e: Emitter, x: Val) -> Val:
    """1 - erf(x), accurate also where it is small."""
    size = e.abs(x)
    far = erfc_positive(e, at_most(e, size, ERFC_ZERO[x.dtype]))
    far = e.select(is_negative(e, x), e.sub(e.like(x, 2), far), far)
    near = e.sub(e.like(x, 1), erf_near(e, x))
    return e.select(e.lt(size, e.like(x, 0.5)), near, far)
