"""Nadam."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype, power
from chainrule.optimizers.layout import Layout

_DECAY = 0.96  # of the warm-up of the momentum


class Nadam(Optimizer):
    """Adam with Nesterov's momentum, which warms up: ``μ_t = β₁ (1 - 0.5 · 0.96ᵗ)``.

    With m and v as in :class:`~chainrule.optimizers.Adam` and ``Π_t = μ_1 ⋯ μ_t``,
    ``p ← p - η (μ_{t+1} m / (1 - Π_{t+1}) + (1 - μ_t) g / (1 - Π_t)) / (√(v / (1 - β₂ᵗ)) + ε)``.

    Args:
        learning_rate: η.
        beta_1: β₁.
        beta_2: β₂.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> float(Nadam().init(np.zeros(2))["product"])
        1.0

    Source: Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1, self.beta_2 = share("beta_1", beta_1), share("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)

    def start(self, params: Any, layout: Layout) -> State:
        """The means at 0, the product of the momenta at 1."""
        return {"m": np.zeros_like(params), "v": np.zeros_like(params), "product": np.ones((), np.float64)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        warming = power(_DECAY, step + 1)
        now, after = self.beta_1 * (1.0 - 0.5 * warming), self.beta_1 * (1.0 - 0.5 * _DECAY * warming)
        product = state["product"] * now
        m = state["m"] + (grads - state["m"]) * (1 - self.beta_1)
        v = state["v"] + (grads * grads - state["v"]) * (1 - self.beta_2)
        ahead = as_dtype(learning_rate * after / (1.0 - product * after), params)
        here = as_dtype(learning_rate * (1.0 - now) / (1.0 - product), params)
        size = np.sqrt(v * as_dtype(1.0 / (1.0 - power(self.beta_2, step + 1)), params)) + self.epsilon
        return params - (m * ahead + grads * here) / size, {"m": m, "v": v, "product": product}


__all__ = ["Nadam"]
