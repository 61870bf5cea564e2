"""Adamax."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype, power
from chainrule.optimizers.layout import Layout


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the running mean of squares.

    ``m ← m + (1 - β₁)(g - m)``, ``u ← max(β₂ u, |g|)`` and ``p ← p - η m / ((1 - β₁ᵗ)(u + ε))``.

    Args:
        learning_rate: η.
        beta_1: β₁.
        beta_2: β₂.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> sorted(Adamax().init(np.zeros(2)))
        ['m', 'u']

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1, self.beta_2 = share("beta_1", beta_1), share("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)

    def start(self, params: Any, layout: Layout) -> State:
        """The mean and the largest gradient at 0."""
        return {"m": np.zeros_like(params), "u": np.zeros_like(params)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        alpha = as_dtype(learning_rate / (1.0 - power(self.beta_1, step + 1)), params)
        m = state["m"] + (grads - state["m"]) * (1 - self.beta_1)
        u = np.maximum(state["u"] * self.beta_2, np.abs(grads))
        return params - m * alpha / (u + self.epsilon), {"m": m, "u": u}


__all__ = ["Adamax"]
