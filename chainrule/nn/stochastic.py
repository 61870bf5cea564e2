"""Functions that draw random numbers while a network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import random
from chainrule.arguments import share
from chainrule.errors import ShapeError
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import broadcast_shapes, shape_of


def dropout(key: Any, x: Any, rate: float, noise_shape: Sequence[int] | None = None) -> Any:
    """Elements of ``x`` set to 0 with probability ``rate``, the others divided by ``1 - rate``: the mean stays.

    Args:
        key: of ``chainrule.random``.
        x: floats of any shape.
        rate: from 0 to below 1.
        noise_shape: one decision for each element of this shape, which broadcasts to that of ``x``; None: for each
            element of ``x``. ``(batch, 1, channels)`` drops whole channels of sequences.

    Example:
        >>> from chainrule import nn, random
        >>> sorted(set(nn.dropout(random.key(1), np.ones(100), 0.5).tolist()))
        [0.0, 2.0]

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 2014.
    """
    rate, shape = share("rate", rate), shape_of(x)
    if not rate:
        return x
    noise = shape if noise_shape is None else tuple(noise_shape)
    if broadcast_shapes(noise, shape) != shape:
        raise ShapeError.of(f"the function dropout got noise_shape={noise} for an array of shape {shape}",
                            "a shape that broadcasts to it", f"noise_shape={(1, *shape[1:])}")
    kept = random.bernoulli(key, 1.0 - rate, noise)
    return ew.select(kept, ew.mul(x, 1.0 / (1.0 - rate)), 0.0)
