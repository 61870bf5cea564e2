"""Sine and cosine: x = n·π + r after Cody and Waite with fused multiply-add, then one polynomial.

Reduction by π, not π/2: one polynomial instead of two and a select. π is a sum of three numbers; the first
product is subtracted exactly, so r keeps its relative accuracy where x is next to a multiple of π.
"""

from __future__ import annotations

from chainrule.llvm.emitter import Emitter, Val
from chainrule.llvm.math_base import F32, F64, FORMATS, Table, at_least, at_most, flip_sign, integer, polynomial
from chainrule.llvm.math_base import round_scaled

ONE_BY_PI = 0.3183098861837907
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


def sin_reduced(e: Emitter, r: Val, bits: Val) -> Val:
    """sin(r), negated where the lowest of ``bits`` is set."""
    r = at_most(e, at_least(e, r, -1.6), 1.6)  # arguments too large to reduce: at least within [-1, 1]
    square = e.mul(r, r)
    sign = e.shl(bits, e.like(bits, 8 * r.dtype.itemsize - 1))
    return flip_sign(e, e.fma(r, polynomial(e, square, SIN[r.dtype]), r), sign)


def sin(e: Emitter, x: Val) -> Val:
    """Sine of x radians."""
    n, bits = round_scaled(e, x, ONE_BY_PI)
    r = x
    for part in PI[x.dtype]:
        r = e.fma(n, e.like(x, -part), r)
    return sin_reduced(e, r, bits)


def cos(e: Emitter, x: Val) -> Val:
    """Cosine of x radians: the sine of the distance to the nearest (n + ½)·π."""
    magic = e.like(x, FORMATS[x.dtype].round)
    shifted = e.add(e.fma(x, e.like(x, ONE_BY_PI), e.like(x, -0.5)), magic)
    n = e.add(e.sub(shifted, magic), e.like(x, 0.5))
    first, *others = PI[x.dtype]
    r = e.fma(n, e.like(x, first), e.neg(x))
    for part in others:
        r = e.fma(n, e.like(x, part), r)
    return sin_reduced(e, r, integer(e, shifted))
