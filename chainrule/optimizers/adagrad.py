"""Adagrad."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import not_negative, positive
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Adagrad(Optimizer):
    """Divides the gradient by the size of all gradients so far: ``a ← a + g²`` and ``p ← p - η g / √(a + ε)``.

    Args:
        learning_rate: η.
        initial_accumulator_value: a before the first step.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> Adagrad(learning_rate=0.1).init(np.zeros(2))
        {'accumulator': array([0.1, 0.1])}

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning", JMLR 2011.
    """

    def __init__(self, learning_rate: Rate = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.initial_accumulator_value = not_negative("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = positive("epsilon", epsilon)

    def start(self, params: Any, layout: Layout) -> State:
        """The sum of squares at its initial value."""
        return {"accumulator": np.full_like(params, self.initial_accumulator_value)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        accumulator = state["accumulator"] + grads * grads
        change = grads * as_dtype(learning_rate, params) / np.sqrt(accumulator + self.epsilon)
        return params - change, {"accumulator": accumulator}
