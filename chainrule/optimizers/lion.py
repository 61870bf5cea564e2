"""Lion."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Lion(Optimizer):
    """Steps of one size, by the sign of the momentum: ``p ← p - η sign(β₁ m + (1 - β₁) g)``.

    Then ``m ← β₂ m + (1 - β₂) g``. It wants a learning rate 3 to 10 times smaller than Adam, and as much more decay.

    Args:
        learning_rate: η.
        beta_1: β₁.
        beta_2: β₂.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> rule = Lion(learning_rate=0.5)
        >>> rule.update(np.zeros(2), np.array([3.0, -0.1]), rule.init(np.zeros(2)), 0.5)[0]
        array([-0.5,  0.5])

    Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.99,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1, self.beta_2 = share("beta_1", beta_1), share("beta_2", beta_2)

    def start(self, params: Any, layout: Layout) -> State:
        """The momentum at 0."""
        return {"m": np.zeros_like(params)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        direction = np.sign(state["m"] * self.beta_1 + grads * (1 - self.beta_1))
        m = state["m"] * self.beta_2 + grads * (1 - self.beta_2)
        return params - direction * as_dtype(learning_rate, params), {"m": m}


__all__ = ["Lion"]
