"""Numbers of events: Poisson and binomial. Both compute in float64, by inversion where the mean is small, else by
rejection with a fixed number of rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert, expand
from chainrule.random.continuous import open_unit, unit
from chainrule.random.discrete import count_below
from chainrule.random.keys import fold_in
from chainrule.random.parameters import FLOAT64, Shape, extents, known, not_negative, probability, whole_dtype
from chainrule.random.special import log_factorials, log_gamma

_SMALL = 10.0  # a mean below it: inversion
_STEPS = 56  # a count of mean below 10 is at least 56 with probability below 1e-21
_COUNTS = np.arange(float(_STEPS))
# A round rejects at most 30 %: all sixteen do so in less than 1e-8 of the cases, which give the rounded mean.
_ROUNDS = 16


def poisson(key: Any, lam: Any, shape: Shape = None, dtype: Any = np.int64) -> Any:
    """Counts of mean ``lam``: probability of k is exp(-lam) lam^k / k!.

    Means of 10 and more go through sixteen rounds of rejection for everybody; what all reject (fewer than 1 of
    100,000,000) becomes the rounded mean. Not differentiable.

    Example:
        >>> from chainrule import random
        >>> k = random.poisson(random.key(1), np.array([0.5, 100.0]), (1000, 2))
        >>> k.mean(axis=0).round()
        array([  0., 100.])

    Source: Hörmann, "The transformed rejection method for generating Poisson random variables", 1993.
    """
    size, result = extents(shape, lam), whole_dtype(dtype)
    lam = ew.stop_gradient(not_negative("lam", lam, FLOAT64))
    large = ew.ge(lam, _SMALL)

    def small_count() -> Any:
        few = ew.select(large, 1.0, lam)
        log_mass = _times(_COUNTS, ew.log(few)[..., None]) - few[..., None] - log_factorials(_STEPS)
        return _inverted(fold_in(key, 1), size, log_mass)

    def large_count() -> Any:
        mean = ew.select(large, lam, _SMALL)
        b = ew.sqrt(mean) * 2.53 + 0.931
        log_mean = ew.log(mean)
        return _transformed(fold_in(key, 2), size, a=b * 0.02483 - 0.059, b=b, centre=mean + 0.43, most=np.inf,
                            squeeze=0.9277 - 3.6224 / (b - 2.0), factor=1.1239 + 1.1328 / (b - 3.4), mean=mean,
                            log_mass=lambda k: k * log_mean - mean - log_gamma(k + 1.0))
    return convert(_either(large, large_count, small_count), result)


def binomial(key: Any, n: Any, p: Any, shape: Shape = None, dtype: Any = np.int64) -> Any:
    """How many of ``n`` trials succeed, each with probability ``p``.

    Means ``n * min(p, 1 - p)`` of 10 and more go through sixteen rounds of rejection for everybody; what all reject
    (fewer than 1 of 100,000,000) becomes the rounded mean. Not differentiable.

    Example:
        >>> from chainrule import random
        >>> k = random.binomial(random.key(1), 100, 0.25, (1000,))
        >>> bool(abs(k.mean() - 25) < 1)
        True

    Source: Hörmann, "The generation of binomial random variates", 1993.
    """
    size, result = extents(shape, n, p), whole_dtype(dtype)
    n = ew.floor(ew.stop_gradient(not_negative("n", n, FLOAT64)))
    p = ew.stop_gradient(probability("p", p))
    mirrored = ew.gt(p, 0.5)
    p = ew.select(mirrored, 1.0 - p, p)
    large = ew.ge(n * p, _SMALL)

    def small_count() -> Any:
        return _few_successes(fold_in(key, 1), size, n, ew.select(large, 0.0, p))

    def large_count() -> Any:
        trials, q = ew.select(large, n, 4 * _SMALL), ew.select(large, p, 0.25)
        spread = ew.sqrt(trials * q * (1.0 - q))
        b = spread * 2.53 + 1.15
        log_odds = ew.log(q / (1.0 - q))

        def log_mass(k: Any) -> Any:
            return k * log_odds - log_gamma(k + 1.0) - log_gamma(trials - k + 1.0)
        top = log_mass(ew.floor((trials + 1.0) * q))
        return _transformed(fold_in(key, 2), size, a=b * 0.0248 + q * 0.01 - 0.0873, b=b, centre=trials * q + 0.5,
                            most=trials, squeeze=0.92 - 4.2 / b, factor=(5.1 / b + 2.83) * spread, mean=trials * q,
                            log_mass=lambda k: log_mass(k) - top)
    count = ew.minimum(_either(large, large_count, small_count), expand(n, size))
    return convert(ew.select(mirrored, n - count, count), result)


def _either(condition: Any, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    """A choice of two results, of which only one is computed where it is known to be the same for all."""
    values = known(condition)
    if values is not None and np.all(values):
        return if_true()
    return if_false() if values is not None and not np.any(values) else ew.select(condition, if_true(), if_false())


def _few_successes(key: Any, shape: tuple[int, ...], n: Any, p: Any) -> Any:
    before = np.arange(float(_STEPS - 1))
    left = n[..., None] - before
    ratios = np.log(ew.maximum(left, 1.0) / (before + 1.0))
    ways = np.cumsum(np.concatenate([np.zeros_like(ratios[..., :1]), ratios], axis=-1), axis=-1)
    log_mass = ways + _times(_COUNTS, ew.log(p)[..., None]) + _times(n[..., None] - _COUNTS, ew.log1p(-p)[..., None])
    return _inverted(key, shape, ew.select(ew.le(_COUNTS, n[..., None]), log_mass, -np.inf))


def _times(k: Any, log_p: Any) -> Any:
    """``k log p``, and 0 for k = 0 whatever p is."""
    return ew.select(ew.eq(k, 0.0), 0.0, ew.mul(k, log_p))


def _inverted(key: Any, shape: tuple[int, ...], log_mass: Any) -> Any:
    """Counts of the probabilities exp(log_mass) of 0, 1, 2 … along the last axis: how many running sums are below u."""
    running = np.cumsum(ew.exp(log_mass), axis=-1)[..., :-1]
    return convert(count_below(unit(key, shape, FLOAT64), running), FLOAT64)


def _transformed(key: Any, shape: tuple[int, ...], a: Any, b: Any, centre: Any, most: Any, squeeze: Any, factor: Any,
                 mean: Any, log_mass: Callable[[Any], Any]) -> Any:
    """Transformed rejection: the first accepted round's count, the rounded mean if there is none."""
    u = open_unit(fold_in(key, 1), (_ROUNDS, *shape), FLOAT64) - 0.5
    v = open_unit(fold_in(key, 2), (_ROUNDS, *shape), FLOAT64)
    us = 0.5 - np.abs(u)
    k = ew.floor((a / us * 2.0 + b) * u + centre)
    inside = ew.bit_and(ew.ge(k, 0.0), ew.le(k, most))
    within = ew.minimum(ew.maximum(k, 0.0), most)
    exact = ew.le(ew.log(v * factor / (a / (us * us) + b)), log_mass(within))
    quick = ew.bit_and(ew.ge(us, 0.07), ew.le(v, squeeze))
    accepted = ew.bit_and(inside, ew.bit_or(quick, exact))
    count = expand(ew.rint(mean), shape)
    for i in reversed(range(_ROUNDS)):
        count = ew.select(accepted[i], k[i], count)
    return count
