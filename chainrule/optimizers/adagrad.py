"""Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import not_negative, positive
from chainrule.optimizers.base import Optimizer, State, as_dtype


class Adagrad(Optimizer):
    """Divides the gradient by the size of all gradients so far: ``a ← a + g²`` and ``p ← p - η g / √(a + ε)``.

    Args:
        learning_rate: η.
        initial_accumulator_value: a before the first step.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        name: of the optimizer.

    Example:
        >>> Adagrad(learning_rate=0.1).init(np.zeros(2))
        {'accumulator': array([0.1, 0.1])}

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning", JMLR 2011.
    """

    def __init__(self, learning_rate: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7,
                 weight_decay: float | None = None, name: str | None = None) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.initial_accumulator_value = not_negative("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = positive("epsilon", epsilon)

    def init(self, params: Any) -> State:
        """The sum of squares at its initial value."""
        return {"accumulator": np.full_like(params, self.initial_accumulator_value)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any) -> tuple[Any, State]:
        """One step."""
        accumulator = state["accumulator"] + grads * grads
        change = grads * as_dtype(learning_rate, params) / np.sqrt(accumulator + self.epsilon)
        return params - change, {"accumulator": accumulator}
