"""The gamma distribution and what is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert, expand, shape_of
from chainrule.ops.random import log_gamma_path
from chainrule.random.continuous import open_unit, standard_normal
from chainrule.random.keys import fold_in
from chainrule.random.parameters import FLOAT64, Shape, extents, not_negative, positive, working

# Each round rejects at most 5 % (a = 1). All six reject in less than 2e-8 of the cases: then the last number is kept.
_ROUNDS = 6


def gamma(key: Any, a: Any, shape: Shape = None, dtype: Any = np.float32, scale: Any = 1.0) -> Any:
    """Density ∝ (x / scale)^(a - 1) exp(-x / scale) for x > 0: mean ``a * scale``.

    Computed in float64 by Marsaglia and Tsang's method with six rounds for everybody; the few numbers that all rounds
    reject (fewer than 2 of 100,000,000) keep the last proposal. The derivative by ``a`` is exact: that of
    the quantile (implicit reparametrisation).

    Args:
        key: of shape (2,).
        a: the shape of the distribution, above 0.
        shape: of the result; None: what the parameters broadcast to.
        dtype: floating.
        scale: 0 or more.

    Example:
        >>> from chainrule import random
        >>> x = random.gamma(random.key(1), 3.0, (10_000,))
        >>> bool(abs(x.mean() - 3.0) < 0.1)
        True

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000); Figurnov, Mohamed
    and Mnih, "Implicit reparameterization gradients", NeurIPS 2018.
    """
    size, kind = extents(shape, a, scale), working(dtype)
    x = convert(ew.exp(log_gamma_number(key, positive("a", a, FLOAT64), size)), kind)
    return convert(ew.mul(x, not_negative("scale", scale, kind)), np.dtype(dtype))


def beta(key: Any, a: Any, b: Any, shape: Shape = None, dtype: Any = np.float32) -> Any:
    """Density ∝ x^(a - 1) (1 - x)^(b - 1) for x from 0 to 1: a share x / (x + y) of gamma numbers.

    Example:
        >>> from chainrule import random
        >>> x = random.beta(random.key(1), 2.0, 6.0, (10_000,))
        >>> bool(abs(x.mean() - 0.25) < 0.01)
        True
    """
    size, kind = extents(shape, a, b), working(dtype)
    x = log_gamma_number(fold_in(key, 1), positive("a", a, FLOAT64), size)
    y = log_gamma_number(fold_in(key, 2), positive("b", b, FLOAT64), size)
    return convert(convert(ew.sigmoid(ew.sub(x, y)), kind), np.dtype(dtype))


def dirichlet(key: Any, alpha: Any, shape: Shape = None, dtype: Any = np.float32) -> Any:
    """Shares of a whole: gamma numbers of shapes ``alpha``, divided by their sum over the last axis.

    Args:
        key: of shape (2,).
        alpha: of shape (…, n), above 0.
        shape: of the result without its last axis; None: that of ``alpha``.
        dtype: floating.

    Example:
        >>> from chainrule import random
        >>> random.dirichlet(random.key(1), np.ones(3), 5).shape
        (5, 3)
    """
    kind = working(dtype)
    extent = shape_of(alpha)
    if not extent:
        raise ShapeError.of("dirichlet got a scalar alpha", "one number for each share", "alpha=np.ones(3)")
    alpha = positive("alpha", alpha, FLOAT64)
    lead = extent[:-1] if shape is None else extents(shape)
    y = log_gamma_number(key, alpha, extents((*lead, extent[-1]), alpha))
    powers = np.exp(y - ew.stop_gradient(np.max(y, axis=-1, keepdims=True)))
    return convert(convert(powers / np.sum(powers, axis=-1, keepdims=True), kind), np.dtype(dtype))


def log_gamma_number(key: Any, a: Any, shape: tuple[int, ...]) -> Any:
    """Logarithms of gamma numbers of float64 shapes ``a``: finite also where the numbers themselves would be 0."""
    small = ew.lt(a, 1.0)
    # shapes below 1: a gamma number of shape a + 1 times u^(1/a)
    d = ew.stop_gradient(ew.sub(ew.select(small, ew.add(a, 1.0), a), 1.0 / 3.0))
    c = ew.div(1.0 / 3.0, ew.sqrt(d))
    z = standard_normal(fold_in(key, 1), (_ROUNDS, *shape), FLOAT64)
    u = open_unit(fold_in(key, 2), (_ROUNDS, *shape), FLOAT64)
    t = ew.maximum(ew.mul(z, c), -0.999)  # (1 + t)³ is the proposal; below -1 there is none
    log_v = ew.mul(ew.log1p(t), 3.0)
    square = ew.mul(ew.mul(z, z), 0.5)
    bound = ew.add(square, ew.mul(ew.add(ew.sub(1.0, ew.exp(log_v)), log_v), d))
    accepted = ew.bit_and(ew.lt(ew.log(u), bound), ew.gt(t, -0.999))
    y = log_v[_ROUNDS - 1]
    for i in reversed(range(_ROUNDS - 1)):
        y = ew.select(accepted[i], log_v[i], y)
    y = ew.add(y, ew.log(d))
    boost = ew.div(ew.log(open_unit(fold_in(key, 3), shape, FLOAT64)), ew.stop_gradient(ew.select(small, a, 1.0)))
    y = ew.add(y, ew.select(small, boost, 0.0))
    return log_gamma_path(y, expand(a, shape))
