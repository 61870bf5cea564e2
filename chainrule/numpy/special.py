"""Functions of ``scipy.special`` that record: SciPy's are NumPy ufuncs, so they reach a tracer by NumPy's protocol.

The rules stand here by name, for SciPy need not be there. What has no rule is left to SciPy, without native code and
without a derivative (``ops/host.py``).

Example:
    >>> import chainrule as cr
    >>> from scipy import special                                       # doctest: +SKIP
    >>> cr.jit(cr.grad(lambda x: special.gammaln(x)))(3.0)              # doctest: +SKIP
    np.float64(0.9227843350984672)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.ops import elementwise as ew
from chainrule.ops.declare import unify
from chainrule.trace import SPECIAL

_SHIFT = 8  # from here on the asymptotic series below are exact to rounding
# B₂ₙ / (2n (2n - 1)) and B₂ₙ / 2n with the Bernoulli numbers B (Abramowitz and Stegun, 6.1.40 and 6.3.18)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def _named(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(rule: Callable[..., Any]) -> Callable[..., Any]:
        SPECIAL[name] = lambda *args: rule(*unify(*args, floats=True))
        return rule
    return keep


def _where(condition: Any, x: Any, y: Any) -> Any:
    return ew.select(condition, x, y)


for _name, _op in (("erf", ew.erf), ("erfc", ew.erfc), ("expit", ew.sigmoid)):
    _named(_name)(_op)


@_named("log_expit")
def log_expit(x: Any) -> Any:
    """log(1 / (1 + exp(-x)))."""
    return ew.neg(ew.softplus(ew.neg(x)))


@_named("logit")
def logit(x: Any) -> Any:
    """log(x / (1 - x))."""
    return ew.sub(ew.log(x), ew.log1p(ew.neg(x)))


@_named("ndtr")
def ndtr(x: Any) -> Any:
    """The normal distribution function."""
    return ew.mul(ew.erfc(ew.mul(x, -math.sqrt(0.5))), 0.5)


@_named("exp10")
def exp10(x: Any) -> Any:
    """10ˣ."""
    return ew.pow_(10.0, x)


@_named("xlogy")
def xlogy(x: Any, y: Any) -> Any:
    """The product x · log(y), and 0 where x is 0."""
    none = ew.bit_and(ew.eq(x, 0.0), ew.bit_not(ew.is_nan(y)))
    return _where(none, 0.0, ew.mul(x, ew.log(_where(none, 1.0, y))))


@_named("xlog1py")
def xlog1py(x: Any, y: Any) -> Any:
    """The product x · log(1 + y), and 0 where x is 0."""
    none = ew.bit_and(ew.eq(x, 0.0), ew.bit_not(ew.is_nan(y)))
    return _where(none, 0.0, ew.mul(x, ew.log1p(_where(none, 0.0, y))))


@_named("entr")
def entr(x: Any) -> Any:
    """-x · log(x); 0 at 0, and -∞ below."""
    positive = ew.gt(x, 0.0)
    inside = ew.neg(ew.mul(x, ew.log(_where(positive, x, 1.0))))
    return _where(positive, inside, _where(ew.lt(x, 0.0), -math.inf, ew.mul(x, 0.0)))


@_named("rel_entr")
def rel_entr(x: Any, y: Any) -> Any:
    """The product x · log(x / y); 0 where x is 0 and y is not negative, else ∞."""
    inside = ew.bit_and(ew.gt(x, 0.0), ew.gt(y, 0.0))
    outside = _where(ew.bit_and(ew.eq(x, 0.0), ew.ge(y, 0.0)), 0.0, math.inf)
    quotient = ew.div(_where(inside, x, 1.0), _where(inside, y, 1.0))
    found = _where(inside, ew.mul(x, ew.log(quotient)), outside)
    return _where(ew.bit_or(ew.is_nan(x), ew.is_nan(y)), math.nan, found)


@_named("kl_div")
def kl_div(x: Any, y: Any) -> Any:
    """The divergence x · log(x / y) - x + y."""
    return ew.add(ew.sub(rel_entr(x, y), x), y)


def _series(coefficients: Sequence[float], w: Any) -> Any:
    """Σ c[n] · wⁿ."""
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = ew.add(ew.mul(total, w), c)
    return total


def _reflected(x: Any) -> tuple[Any, Any, Any]:
    """Where x is below ½; x or 1 - x, the one that is not; and that, or more, from ``_SHIFT`` on."""
    low = ew.lt(x, 0.5)
    high = _where(low, ew.sub(1.0, x), x)
    return low, high, _where(ew.lt(high, float(_SHIFT)), ew.add(high, float(_SHIFT)), high)


def _turns(x: Any) -> Any:
    """The distance of x from the nearest whole number: sin(πx) has this argument but for its sign."""
    return ew.sub(x, ew.rint(x))


@_named("gammaln")
def gammaln(x: Any) -> Any:
    """Log |Γ(x)|: Stirling's series from 8 on, Γ(x + 1) = x Γ(x) below, and the reflection formula below ½."""
    low, high, z = _reflected(x)
    small = ew.lt(high, float(_SHIFT))
    product: Any = 1.0
    for k in range(_SHIFT):
        product = ew.mul(product, ew.add(_where(small, high, 1.0), float(k)))
    inverse = ew.div(1.0, z)
    found = ew.add(ew.mul(ew.sub(z, 0.5), ew.log(z)), ew.add(ew.neg(z), 0.5 * math.log(2 * math.pi)))
    found = ew.add(found, ew.mul(inverse, _series(_STIRLING, ew.mul(inverse, inverse))))
    found = _where(small, ew.sub(found, ew.log(product)), found)
    found = _where(ew.is_inf(x), math.inf, found)
    sine = ew.abs_(ew.sin(ew.mul(_turns(_where(low, x, 0.5)), math.pi)))
    return _where(low, ew.sub(math.log(math.pi), ew.add(ew.log(sine), found)), found)


@_named("psi")
def digamma(x: Any) -> Any:
    """The derivative of log Γ(x)."""
    low, high, z = _reflected(x)
    total: Any = 0.0
    for k in range(_SHIFT):
        total = ew.add(total, ew.div(1.0, ew.add(high, float(k))))
    inverse = ew.div(1.0, z)
    square = ew.mul(inverse, inverse)
    found = ew.sub(ew.sub(ew.log(z), ew.mul(inverse, 0.5)), ew.mul(square, _series(_DIGAMMA, square)))
    found = _where(ew.lt(high, float(_SHIFT)), ew.sub(found, total), found)
    cotangent = ew.div(math.pi, ew.tan(ew.mul(_turns(_where(low, x, 0.25)), math.pi)))
    return _where(low, ew.sub(found, cotangent), found)


@_named("gamma")
def gamma(x: Any) -> Any:
    """Γ(x); NaN at -1, -2, …, and ∞ at 0 with its sign."""
    odd = ew.ne(ew.remainder(ew.floor(x), 2.0), 0.0)
    size = ew.exp(gammaln(x))
    signed = _where(ew.bit_and(ew.lt(x, 0.0), odd), ew.neg(size), size)
    pole = ew.bit_and(ew.lt(x, 0.0), ew.eq(ew.floor(x), x))
    at_zero = ew.bit_and(ew.eq(x, 0.0), ew.signbit(x))
    return _where(pole, math.nan, _where(at_zero, -math.inf, signed))


@_named("betaln")
def betaln(a: Any, b: Any) -> Any:
    """Log |B(a, b)|."""
    return ew.sub(ew.add(gammaln(a), gammaln(b)), gammaln(ew.add(a, b)))


@_named("beta")
def beta(a: Any, b: Any) -> Any:
    """B(a, b) = Γ(a) Γ(b) / Γ(a + b)."""
    return ew.div(ew.mul(gamma(a), gamma(b)), gamma(ew.add(a, b)))
