"""Functions of float64 arrays, known or traced, that samplers need: composites, differentiable as they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ops import elementwise as ew


def normal_cdf(x: Any) -> Any:
    """The probability that a standard normal number is below ``x``: exact to 16 decimals after the point."""
    return ew.mul(ew.add(ew.erf(ew.mul(x, math.sqrt(0.5))), 1.0), 0.5)


# numerators and denominators of the three rational functions, the highest power first
_CENTRAL = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0))
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0))
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0))


def normal_quantile(p: Any) -> Any:
    """The inverse of :func:`normal_cdf` for 0 < p < 1, to 16 digits.

    Source: Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988.
    """
    q = ew.sub(p, 0.5)
    central = ew.le(ew.abs_(q), 0.425)
    # an argument of its own for each branch: one that is not taken must not make NaN in a derivative
    near = ew.select(central, q, 0.0)
    rest = ew.select(central, 0.25, ew.minimum(p, ew.sub(1.0, p)))
    r = ew.sqrt(ew.neg(ew.log(rest)))
    far = ew.gt(r, 5.0)
    inner = ew.mul(near, _ratio(_CENTRAL, ew.sub(0.180625, ew.mul(near, near))))
    outer = ew.select(far, _ratio(_FAR_TAIL, ew.sub(ew.maximum(r, 5.0), 5.0)),
                      _ratio(_TAIL, ew.sub(ew.minimum(r, 5.0), 1.6)))
    return ew.select(central, inner, ew.select(ew.lt(q, 0.0), ew.neg(outer), outer))


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Any) -> Any:
    return ew.div(polynomial(coefficients[0], x), polynomial(coefficients[1], x))


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Horner's rule, the highest power first."""
    total = ew.add(ew.mul(x, coefficients[0]), coefficients[1])
    for c in coefficients[2:]:
        total = ew.add(ew.mul(total, x), c)
    return total


_SHIFT = 8
_STIRLING = (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


def log_gamma(x: Any) -> Any:
    """The logarithm of Γ(x) for x ≥ 1, to 15 digits: Stirling's series at x + 8, and back by Γ(x + 1) = x Γ(x)."""
    product = x
    for i in range(1, _SHIFT):
        product = ew.mul(product, ew.add(x, float(i)))
    z = ew.add(x, float(_SHIFT))
    inverse = ew.div(1.0, z)
    series = ew.mul(polynomial(_STIRLING, ew.mul(inverse, inverse)), inverse)
    stirling = ew.add(ew.sub(ew.mul(ew.sub(z, 0.5), ew.log(z)), z), ew.add(series, 0.5 * math.log(2 * math.pi)))
    return ew.sub(stirling, ew.log(product))


def log_factorials(n: int) -> np.ndarray:
    """The logarithms of 0!, 1! … (n-1)!."""
    return np.array([math.lgamma(k + 1.0) for k in range(n)])
