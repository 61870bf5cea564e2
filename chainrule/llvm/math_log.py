"""Logarithms: x = 2^k·(1 + f) with 1 + f in [√½, √2), and a minimax fit of log(1 + f)."""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import F32, F64, FORMATS, Table, integer, polynomial
from chainrule.llvm.math_exp import LN2

# float32: (log(1 + f) - f)/f^2 on [√½ - 1, √2 - 1], relative error of the whole 2^-27.3.
LOG = (-0.5, 0.3333333134651184, -0.2500081956386566, 0.20001228153705597, -0.1662338376045227,
       0.14201807975769043, -0.13160164654254913, 0.127615824341774, -0.07634621858596802)
# float64: (2·atanh(s) - 2s)/s^3 in powers of s^2 for s = f/(2 + f), relative error of the whole 2^-57.9.
ATANH = (0.6666666666666734, 0.3999999999941435, 0.2857142874245611, 0.2222219856635734,
         0.1818356468106956, 0.15314041287753652, 0.14796045450264234)


def minus_exponent(e: Emitter, bits: Val, x: Val) -> tuple[Val, Val]:
    """Of x = 2^k·m, whose bits are given: k·2^fraction as an integer, and -k as a float."""
    form = FORMATS[x.dtype]
    if x.dtype == F32:
        k = e.and_(e.sub(bits, e.like(bits, form.root_half)), e.like(bits, -(1 << 23)))
        return k, e.mul(e.cast(k, F32), e.like(x, -(2.0**-23)))
    # no int64 to float64 in AVX2: the biased exponent becomes the low bits of 2^52
    biased = e.add(bits, e.like(bits, form.one - form.root_half))
    k = e.and_(biased, e.like(bits, form.exponent))
    count = e.bitcast(k, "uint64")
    count = e.or_(e.shr(count, e.like(count, 52)), e.like(count, 0x4330000000000000))
    return e.sub(k, e.like(bits, form.one)), e.sub(e.like(x, 2.0**52 + form.bias), e.bitcast(count, F64))


def log1p_fraction(e: Emitter, f: Val) -> Val:
    """log(1 + f) for f in [√½ - 1, √2 - 1]."""
    if f.dtype == F32:
        return e.fma(e.mul(f, f), polynomial(e, f, LOG), f)
    s = e.div(f, e.add(f, e.like(f, 2)))
    square = e.mul(s, s)
    half = e.mul(e.mul(f, e.like(f, 0.5)), f)
    # f - (f²/2 - s·(f²/2 + s²·R))
    inner = e.mul(s, e.fma(square, polynomial(e, square, ATANH), half))
    return e.sub(f, e.sub(half, inner))


def log_of_parts(e: Emitter, minus_k: Val, f: Val) -> Val:
    """k·ln 2 + log(1 + f); keeps the sign of a zero f."""
    high, low = LN2[f.dtype]
    if f.dtype == F64:
        # NumPy's float64 has room for the second part only here
        return e.fma(minus_k, e.like(f, -high), e.fma(minus_k, e.like(f, -low), log1p_fraction(e, f)))
    return e.fma(minus_k, e.like(f, -high), log1p_fraction(e, f))


def log_ends(e: Emitter, x: Val, result: Val) -> Val:
    """``result``, but -inf for x = 0, NaN for x < 0, and x for +inf and NaN."""
    zero = e.like(x, 0)
    end = e.select(e.eq(x, zero), e.like(x, float("-inf")), e.like(x, float("nan")))
    result = e.select(e.gt(x, zero), result, end)
    return e.select(e.lt(x, e.like(x, float("inf"))), result, x)


def log(e: Emitter, x: Val) -> Val:
    """Natural logarithm."""
    form = FORMATS[x.dtype]
    small = e.lt(x, e.like(x, form.tiny))
    lifted = e.select(small, e.mul(x, e.like(x, 2.0**form.fraction)), x)
    bits = integer(e, lifted)
    k, minus_k = minus_exponent(e, bits, x)
    minus_k = e.add(minus_k, e.select(small, e.like(x, form.fraction), e.like(x, 0)))
    f = e.sub(e.bitcast(e.sub(bits, k), x.dtype), e.like(x, 1))
    return log_ends(e, x, log_of_parts(e, minus_k, f))


def log1p(e: Emitter, x: Val) -> Val:
    """log(1 + x), exact also near 0: f = 2^-k·x + (2^-k - 1) for the k of the rounded 1 + x."""
    form = FORMATS[x.dtype]
    u = e.add(x, e.like(x, 1))
    bits = integer(e, u)
    k, minus_k = minus_exponent(e, bits, x)
    # four times 2^-k is a normal number for every k
    s = e.bitcast(e.sub(e.like(k, form.one + (2 << form.fraction)), k), x.dtype)
    f = e.fma(e.mul(x, e.like(x, 0.25)), s, e.fma(s, e.like(x, 0.25), e.like(x, -1)))
    result = log_ends(e, u, log_of_parts(e, minus_k, f))
    return e.select(e.lt(e.abs(x), e.like(x, form.tiny * 4)), x, result)
