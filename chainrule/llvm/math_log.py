"""Logarithms: x = 2^k·(1 + f) with 1 + f in [√½, √2), and a minimax fit of log(1 + f)."""

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
    integer,
    polynomial,
    split_sign,
)
from chainrule.llvm.math_exp import exp_of_minus

# float32: (log(1 + f) - f)/f^2 on [√½ - 1, √2 - 1], relative error of the whole 2^-27.3.
LOG = (-0.5, 0.3333333134651184, -0.2500081956386566, 0.20001228153705597, -0.1662338376045227,
       0.14201807975769043, -0.13160164654254913, 0.127615824341774, -0.07634621858596802)
# float32: the same on [0, 1], relative error of the whole 2^-27.5.
LOG_UNIT = (-0.4999993145465851, 0.33330464363098145, -0.24958020448684692, 0.1969211846590042,
            -0.15344952046871185, 0.1066129207611084, -0.057459309697151184, 0.02008761465549469,
            -0.0032908355351537466)
# float64: (2·atanh(s) - 2s)/s^3 in powers of s^2 for s = f/(2 + f), relative error of the whole 2^-59.5.
ATANH_LOG = (0.6666666666666734, 0.399999999994171, 0.28571428741864585, 0.2222219862582325,
             0.18183561635670867, 0.15314118285176292, 0.14795282836888343)
# float64: the same for 0 <= f <= 1, relative error of the whole 2^-58.7.
ATANH_UNIT = (0.6666666666666631, 0.4000000000015524, 0.28571428548102806, 0.22222223954599193,
              0.18181744444319212, 0.15386549168883365, 0.13301110646872105, 0.12105034325348057,
              0.08344560787397379, 0.1701055444185057)
# (asinh(x)/x - 1)/x^2 and (atanh(x)/x - 1)/x^2 in powers of x^2 on |x| <= 1/2.
# Relative errors of the whole 2^-29.6 / 2^-59.7 and 2^-29.3 / 2^-58.5.
ASINH: Table = {
    F32: (-0.1666664332151413, 0.07498640567064285, -0.04438294097781181, 0.028160760179162025,
          -0.013222366571426392),
    F64: (-0.1666666666666661, 0.07499999999984364, -0.04464285712778415, 0.03038194371431806,
          -0.022372138305882538, 0.01735238613099955, -0.013960223814136603, 0.011512926824232057,
          -0.00953388743638944, 0.007464881933210285, -0.004746356197200102, 0.0017172718516434984),
}
ATANH: Table = {
    F32: (0.33333298563957214, 0.20002615451812744, 0.14220961928367615, 0.11837831139564514,
          0.050856251269578934, 0.17736347019672394),
    F64: (0.3333333333333328, 0.20000000000018245, 0.14285714283425052, 0.11111111256079327,
          0.09090903658838718, 0.07692439077124219, 0.06664506808120661, 0.05907227038117058,
          0.050594815765254236, 0.05948999787581718, -0.005071998245872875, 0.17433750159850467,
          -0.1953082589750151, 0.24064264690052276),
}
# (acosh(1 + t)/√(2t) - 1)/t on 0 <= t <= 3/4. Relative error of the whole 2^-30.4 / 2^-57.7.
ACOSH: Table = {
    F32: (-0.08333327621221542, 0.018748456612229347, -0.005566359963268042, 0.0018393595237284899,
          -0.0005657036090269685, 0.00010796564311021939),
    F64: (-0.0833333333333332, 0.018749999999983596, -0.005580357142148318, 0.0018988715122632692,
          -0.000699129769668817, 0.00027113523628785727, -0.00010909043253562532, 4.5083411404453705e-05,
          -1.8943837756134492e-05, 7.927299400362616e-06, -3.1421737892751826e-06, 1.0682664754193688e-06,
          -2.6307975696639176e-07, 3.349783446422636e-08),
}
LOG2_E: Table = {F32: (1.4426950216293335, 1.925963033500011e-08), F64: (1.4426950408889634, 2.0355273740931033e-17)}
LOG10_E = 0.4342944819032518
LOG10_2: Table = {F32: (0.3010300099849701, -1.432098883924482e-08), F64: (0.3010299956639812, -2.8037281277851704e-18)}
INFINITY = float("inf")


def whole_exponent(e: Emitter, x: Val) -> tuple[Val, Val]:
    """Of x = 2^k·m, a positive normal number: k·2^fraction as an integer, and -k as a float."""
    form = FORMATS[x.dtype]
    bits = integer(e, x)
    field = -(1 << form.fraction)
    if x.dtype == F32:
        k = e.and_(e.sub(bits, e.like(bits, form.root_half)), e.like(bits, field))
        return k, e.mul(e.cast(k, F32), e.like(x, -(2.0**-23)))
    # AVX2 cannot convert int64: the biased exponent becomes the low bits of 2^52
    biased = e.add(bits, e.like(bits, form.one - form.root_half))
    count = e.bitcast(biased, "uint64")
    count = e.or_(e.shr(count, e.like(count, 52)), e.like(count, 0x433 << 52))
    k = e.sub(e.and_(biased, e.like(bits, field)), e.like(bits, form.one))
    return k, e.sub(e.like(x, 2.0**52 + form.bias), e.bitcast(count, F64))


def split(e: Emitter, x: Val) -> tuple[Val, Val]:
    """The -k and f of x = 2^k·(1 + f), a positive normal number."""
    k, minus_k = whole_exponent(e, x)
    return minus_k, e.sub(e.bitcast(e.sub(integer(e, x), k), x.dtype), e.like(x, 1))


def split_any(e: Emitter, x: Val) -> tuple[Val, Val]:
    """The -k and f of x = 2^k·(1 + f), any positive number."""
    form = FORMATS[x.dtype]
    small = e.lt(x, e.like(x, form.tiny))
    minus_k, f = split(e, e.select(small, e.mul(x, e.like(x, 2.0**form.fraction)), x))
    return e.add(minus_k, e.select(small, e.like(x, form.fraction), e.like(x, 0))), f


def log_fraction(e: Emitter, f: Val, unit: bool = False) -> Val:
    """log(1 + f) for f in [√½ - 1, √2 - 1], or in [0, 1] if ``unit``; keeps the sign of a zero."""
    if f.dtype == F32:
        square = e.mul(f, f)
        return e.fma(square, polynomial(e, f, LOG_UNIT) if unit else halved(e, f, square, LOG), f)
    # s = f/(2 + f): log(1 + f) = 2s + s³·R = f - (f²/2 - s·(f²/2 + s²·R))
    s = e.div(f, e.add(f, e.like(f, 2)))
    square = e.mul(s, s)
    half = e.mul(e.mul(f, e.like(f, 0.5)), f)
    series = halved(e, square, e.mul(square, square), ATANH_UNIT if unit else ATANH_LOG)
    return e.sub(f, e.fma(e.neg(s), e.fma(square, series, half), half))


def log_sum(e: Emitter, minus_k: Val, f: Val) -> Val:
    """k·ln 2 + log(1 + f); keeps the sign of a zero f."""
    high, low = LN2[f.dtype]
    tail = log_fraction(e, f)
    if f.dtype == F64:
        tail = e.fma(minus_k, e.like(f, -low), tail)
    return e.fma(minus_k, e.like(f, -high), tail)


def log_ends(e: Emitter, x: Val, result: Val) -> Val:
    """``result``, but -inf for x = 0, NaN for x < 0, and x for infinity and NaN."""
    zero = e.like(x, 0)
    end = e.select(e.eq(x, zero), e.like(x, -INFINITY), e.like(x, float("nan")))
    result = e.select(e.gt(x, zero), result, end)
    return e.select(e.lt(x, e.like(x, INFINITY)), result, x)


def log(e: Emitter, x: Val) -> Val:
    """Natural logarithm."""
    return log_ends(e, x, log_sum(e, *split_any(e, x)))


def log2(e: Emitter, x: Val) -> Val:
    """Logarithm to base 2."""
    minus_k, f = split_any(e, x)
    high, low = LOG2_E[x.dtype]
    tail = log_fraction(e, f)
    return log_ends(e, x, e.fma(tail, e.like(x, high), e.fma(tail, e.like(x, low), e.neg(minus_k))))


def log10(e: Emitter, x: Val) -> Val:
    """Logarithm to base 10."""
    minus_k, f = split_any(e, x)
    high, low = LOG10_2[x.dtype]
    tail = e.fma(minus_k, e.like(x, -low), e.mul(log_fraction(e, f), e.like(x, LOG10_E)))
    return log_ends(e, x, e.fma(minus_k, e.like(x, -high), tail))


def log1p(e: Emitter, x: Val) -> Val:
    """log(1 + x), accurate also near 0: f = 2^-k·x + (2^-k - 1) for the k of the rounded 1 + x."""
    form = FORMATS[x.dtype]
    u = e.add(x, e.like(x, 1))
    k, minus_k = whole_exponent(e, u)
    # four times 2^-k is a normal number for every k
    scale = e.bitcast(e.sub(e.like(k, form.one + (2 << form.fraction)), k), x.dtype)
    quarter = e.like(x, 0.25)
    f = e.fma(e.mul(x, quarter), scale, e.fma(scale, quarter, e.like(x, -1)))
    result = log_ends(e, u, log_sum(e, minus_k, f))
    return e.select(e.lt(e.abs(x), e.like(x, 4 * form.tiny)), x, result)


def softplus(e: Emitter, x: Val) -> Val:
    """log(1 + e^x), as max(x, 0) + log(1 + e^-|x|)."""
    return e.add(at_least(e, x, 0.0), log_fraction(e, exp_of_minus(e, x), unit=True))


def odd_near(e: Emitter, x: Val, coefficients: tuple[float, ...]) -> Val:
    """An odd polynomial: x + x³·(c[0] + c[1]·x² + …)."""
    square = e.mul(x, x)
    return e.fma(e.mul(x, square), polynomial(e, square, coefficients), x)


def log_of_sum(e: Emitter, x: Val, one: float) -> Val:
    """log(x + √(x² + one)) for x >= ½ and one = ±1."""
    limit = 2.0**40  # where the root equals x; its square does not overflow
    size = at_most(e, x, limit)
    root = e.sqrt(e.fma(size, size, e.like(x, one)))
    half = e.like(x, 0.5)
    sum_root = e.select(e.lt(x, e.like(x, limit)), root, x)
    minus_k, f = split(e, e.fma(x, half, e.mul(sum_root, half)))
    result = log_sum(e, e.sub(minus_k, e.like(x, 1)), f)
    # what the sum and the root have lost, relative to the sum
    with e.exact():
        total = e.add(size, root)
        lost = e.sub(size, e.sub(total, root)) if one > 0 else e.sub(root, e.sub(total, size))
        square = e.fma(e.sub(size, root), total, e.like(x, one))  # x² + one - root²
        twice = e.add(root, root)
        correction = e.div(e.fma(twice, lost, square), e.mul(twice, total))
        return e.add(result, correction)


def asinh(e: Emitter, x: Val) -> Val:
    """Inverse of sinh."""
    size, sign = split_sign(e, x)
    far = e.select(e.lt(size, e.like(x, INFINITY)), log_of_sum(e, size, 1.0), size)
    near = e.lt(size, e.like(x, 0.5))
    return flip_sign(e, e.select(near, odd_near(e, size, ASINH[x.dtype]), far), sign)


def acosh(e: Emitter, x: Val) -> Val:
    """Inverse of cosh; NaN for x < 1."""
    t = e.sub(x, e.like(x, 1))
    root = e.sqrt(e.add(t, t))
    near = e.fma(e.mul(root, t), polynomial(e, t, ACOSH[x.dtype]), root)
    result = e.select(e.lt(t, e.like(x, 0.75)), near, log_of_sum(e, x, -1.0))
    return e.select(e.lt(x, e.like(x, INFINITY)), result, x)


def atanh(e: Emitter, x: Val) -> Val:
    """Inverse of tanh; infinite at ±1, NaN beyond."""
    size, sign = split_sign(e, x)
    one = e.like(x, 1)
    ratio = e.div(e.add(one, size), e.sub(one, size))
    far = e.mul(log_ends(e, ratio, log_sum(e, *split(e, ratio))), e.like(x, 0.5))
    near = e.lt(size, e.like(x, 0.5))
    return flip_sign(e, e.select(near, odd_near(e, size, ATANH[x.dtype]), far), sign)
