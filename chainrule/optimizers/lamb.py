"""Lamb."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype, norm, power
from chainrule.optimizers.layout import Layout


class Lamb(Optimizer):
    """Adam's direction for each parameter array, at a length in proportion to the array's own: for huge batches.

    With Adam's corrected means, ``d = m̂ / (√v̂ + ε)`` and ``p ← p - η ‖p‖ / ‖d‖ d``; where a norm is 0 the
    quotient is 1.

    Args:
        learning_rate: η.
        beta_1: of the mean of gradients.
        beta_2: of the mean of squares.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> sorted(Lamb().init(np.zeros(2)))
        ['m', 'v']

    Source: You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1, self.beta_2 = share("beta_1", beta_1), share("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)

    def start(self, params: Any, layout: Layout) -> State:
        """Both means at 0."""
        return {"m": np.zeros_like(params), "v": np.zeros_like(params)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        m = state["m"] + (grads - state["m"]) * (1 - self.beta_1)
        v = state["v"] + (grads * grads - state["v"]) * (1 - self.beta_2)
        first = as_dtype(1.0 / (1.0 - power(self.beta_1, step + 1)), params)
        second = as_dtype(1.0 / (1.0 - power(self.beta_2, step + 1)), params)
        direction = m * first / (np.sqrt(v * second) + self.epsilon)
        rate = as_dtype(learning_rate, params)
        return layout.map(lambda p, d: p - d * (rate * _trust(p, d)), params, direction), {"m": m, "v": v}


def _trust(params: Any, direction: Any) -> Any:
    size, length = norm(params), norm(direction)
    usable = (size > 0) & (length > 0)
    return np.where(usable, size / np.where(usable, length, 1.0), 1.0).astype(params.dtype)


__all__ = ["Lamb"]
