"""Random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.declare import broadcast_shapes, convert, shape_of
from chainrule.random.continuous import standard_normal, unit
from chainrule.random.keys import fold_in
from chainrule.random.parameters import Shape, extents, working


def multivariate_normal(key: Any, mean: Any, cov: Any, shape: Shape = None, dtype: Any = np.float32) -> Any:
    """Normal vectors ``mean + L z`` with the Cholesky factor L of ``cov`` and standard normal z.

    Args:
        key: of shape (2,).
        mean: of shape (…, n).
        cov: covariances of shape (…, n, n), positive definite.
        shape: of the result without its last axis; None: what those of ``mean`` and ``cov`` broadcast to.
        dtype: floating.

    Example:
        >>> from chainrule import random
        >>> random.multivariate_normal(random.key(1), np.zeros(2), np.eye(2), 5).shape
        (5, 2)
    """
    kind = working(dtype)
    extent, square = shape_of(mean), shape_of(cov)
    if not extent or len(square) < 2 or square[-2:] != (extent[-1], extent[-1]):
        raise ShapeError.of(f"got a mean of shape {extent} and covariances of shape {square}",
                            "shapes (…, n) and (…, n, n)", "random.multivariate_normal(key, np.zeros(2), np.eye(2))")
    n = extent[-1]
    lead = broadcast_shapes(extent[:-1], square[:-2]) if shape is None else extents(shape)
    extents((*lead, n), np.empty(extent), np.empty((*square[:-2], n)))
    try:
        factor = np.linalg.cholesky(convert(cov, kind))
    except np.linalg.LinAlgError:
        raise ArgumentError.of("got covariances that are not positive definite", "a symmetric matrix of positive "
                               "eigenvalues", "cov + 1e-6 * np.eye(n)") from None
    z = standard_normal(key, (*lead, n), kind)
    return convert(convert(mean, kind) + np.matmul(factor, z[..., None])[..., 0], np.dtype(dtype))


def sphere(key: Any, n: int, shape: Shape = (), dtype: Any = np.float32) -> Any:
    """Directions: vectors of ``n`` numbers and length 1, of shape ``(*shape, n)``.

    Example:
        >>> from chainrule import random
        >>> bool(np.allclose(np.linalg.norm(random.sphere(random.key(1), 3, 4), axis=-1), 1))
        True
    """
    z = standard_normal(key, (*extents(shape), whole("n", n)), working(dtype))
    return convert(z / np.sqrt(np.sum(z * z, axis=-1, keepdims=True)), np.dtype(dtype))


def ball(key: Any, n: int, shape: Shape = (), dtype: Any = np.float32) -> Any:
    """Points of the ball of radius 1 in ``n`` dimensions, all equally likely, of shape ``(*shape, n)``.

    Example:
        >>> from chainrule import random
        >>> bool((np.linalg.norm(random.ball(random.key(1), 3, 100), axis=-1) <= 1).all())
        True
    """
    kind = working(dtype)
    radius = unit(fold_in(key, 3), extents(shape), kind) ** (1.0 / whole("n", n))
    return convert(sphere(key, n, shape, kind) * radius[..., None], np.dtype(dtype))
