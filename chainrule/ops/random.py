"""Counter-based random numbers: the same in reference and compiled mode, whatever the number of threads.

A *key* is two uint32 words. Numbers are a function of the key and of the position in the array, computed by
Threefry-2x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Op, convert, elementwise, leading
from chainrule.ops.reduce import sum_
from chainrule.ops.structure import broadcast

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _rounds(add: Any, xor: Any, rotate: Any, constant: Any, k0: Any, k1: Any, x0: Any, x1: Any) -> Any:
    """Twenty rounds of Threefry-2x32 in whatever arithmetic the caller brings; the first output word."""
    keys = (k0, k1, xor(xor(k0, k1), constant(_PARITY)))
    x0, x1 = add(x0, k0), add(x1, k1)
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            x0 = add(x0, x1)
            x1 = xor(rotate(x1, r), x0)
        x0 = add(x0, keys[(group + 1) % 3])
        x1 = add(x1, add(keys[(group + 2) % 3], constant(group + 1)))
    return x0


def _reference(k0: Any, k1: Any, counter: Any, stream: Any) -> Any:
    with np.errstate(over="ignore"):
        return _rounds(np.add, np.bitwise_xor, lambda x, r: (x << np.uint32(r)) | (x >> np.uint32(32 - r)), np.uint32,
                       *(np.asarray(v, np.uint32) for v in (k0, k1, counter, stream)))


def _lower(e: Any, k0: Any, k1: Any, counter: Any, stream: Any) -> Any:
    return _rounds(e.add, e.xor, lambda x, r: e.or_(e.shl(x, e.like(x, r)), e.shr(x, e.like(x, 32 - r))),
                   lambda value: e.like(k0, value), k0, k1, counter, stream)


threefry: Op = elementwise(
    "threefry", doc="Random 32 bits from a key (two words), a counter and a stream number, all uint32.",
    reference=_reference, lower=_lower, arity=4, kinds="u")


def _permutation_reference(bits: Any) -> Any:
    order = list(range(len(bits)))
    for i in range(len(order) - 1, 0, -1):
        j = (int(bits[i]) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


def _lower_permutation(e: Any, source: Any, target: Any) -> None:
    """Fisher-Yates: swap every element from the last down with one at or below it."""
    n = target.shape[0]
    with e.each(0, n) as i:
        e.write(i, target, i)
    with e.down(1, n) as i:
        word = e.cast(e.read(source, i), target.dtype)
        j = e.shr(e.mul(word, e.add(i, e.index(1))), e.index(32))
        x, y = e.read(target, i), e.read(target, j)
        e.write(y, target, i)
        e.write(x, target, j)


shuffled: Op = Op(
    "shuffled", "0 … n-1 in random order, from n random words (Fisher and Yates; Durstenfeld 1964).", "custom",
    infer=lambda bits: (bits[0], np.dtype(np.int64)), reference=_permutation_reference, lower=_lower_permutation)

# ---------------------------------------------------------------- the gamma distribution's derivative

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2  # on (0, 1)
_NEGLIGIBLE = 36.0  # exp(-36) is below the rounding unit


def _digamma(x: Any) -> Any:
    """The derivative of log Γ at x > 0: its asymptotic series at x + 10, and back by ψ(x + 1) = ψ(x) + 1 / x."""
    lower = ew.div(1.0, x)
    for i in range(1, 10):
        lower = ew.add(lower, ew.div(1.0, ew.add(x, float(i))))
    z = ew.add(x, 10.0)
    inverse = ew.div(1.0, ew.mul(z, z))
    series = ew.mul(inverse, 1 / 132)
    for c in (-1 / 240, 1 / 252, -1 / 120, 1 / 12):
        series = ew.mul(ew.add(series, c), inverse)
    return ew.sub(ew.sub(ew.sub(ew.log(z), ew.div(0.5, z)), series), lower)


def _log_gamma_slope(y: Any, a: Any) -> Any:
    """∂y/∂a of y = log x, where x is that quantile of the gamma distribution of shape a which the derivative keeps.

    The distribution function F(y, a) stays as it is, hence ∂y/∂a = -(∂F/∂a) / (∂F/∂y), which is, with e = exp,
    -∫ (y + s - ψ(a)) e(a s - x (e(s) - 1)) ds over s < 0, or the same with + over s > 0. The side where the integrand
    falls off from the start is taken, as far as it matters, by Gauss and Legendre's rule. Positions have a new first
    axis.
    """
    dtype = y.dtype
    y, a = convert(y, np.dtype(np.float64)), convert(a, np.dtype(np.float64))
    x = ew.exp(y)
    below = ew.lt(x, a)
    # where the exponent has fallen by 36, from bounds of exp by rational functions: never too near
    b = ew.sub(ew.mul(ew.sub(a, x), 2.0), _NEGLIGIBLE)
    down = ew.div(ew.add(ew.sqrt(ew.add(ew.mul(b, b), ew.mul(a, 8 * _NEGLIGIBLE))), ew.mul(b, -1.0)), ew.mul(a, 2.0))
    above = ew.maximum(x, a)
    gap = ew.sub(above, a)
    up = ew.div(ew.sub(ew.sqrt(ew.add(ew.mul(gap, gap), ew.mul(above, 2 * _NEGLIGIBLE))), gap), above)
    for _ in range(3):
        up = ew.minimum(up, ew.log1p(ew.div(ew.add(ew.mul(a, up), _NEGLIGIBLE), above)))
    length = ew.stop_gradient(ew.select(below, ew.mul(down, -1.0), up))
    n, shape = len(_NODES), (len(_NODES), *y.shape)

    def along(values: np.ndarray) -> Any:
        return broadcast(values, shape=shape, dims=(0,))
    s = ew.mul(along(_NODES), leading(length, False, n))
    exponent = ew.sub(ew.mul(leading(a, False, n), s), ew.mul(leading(x, False, n), ew.expm1(s)))
    height = ew.mul(ew.add(leading(ew.sub(y, _digamma(a)), False, n), s), ew.exp(exponent))
    return convert(ew.mul(sum_(ew.mul(height, along(_WEIGHTS)), axes=(0,)), length), dtype)


log_gamma_path: Op = elementwise(
    "log_gamma_path", doc="The first array: logarithms of gamma numbers, which follow the second, their shapes, as "
    "quantiles do (Figurnov, Mohamed and Mnih, \"Implicit reparameterization gradients\", 2018).",
    reference=lambda y, a: np.array(y), lower=lambda e, y, a: y, arity=2, kinds="f",
    partials=[None, lambda y, a, out: _log_gamma_slope(out, a)])
