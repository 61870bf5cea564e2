"""Adadelta."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Adadelta(Optimizer):
    """Divides the gradient by a running mean of its size and multiplies it by one of the size of the changes.

    ``a ← ρ a + (1 - ρ) g²``, ``d = g √(b + ε) / √(a + ε)``, ``b ← ρ b + (1 - ρ) d²`` and ``p ← p - η d``.

    Args:
        learning_rate: η; 1 in the paper.
        rho: ρ, how much of the running means is kept.
        epsilon: ε.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> Adadelta(learning_rate=1.0).rho
        0.95

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.rho, self.epsilon = share("rho", rho), positive("epsilon", epsilon)

    def start(self, params: Any, layout: Layout) -> State:
        """Both means at 0."""
        return {"gradients": np.zeros_like(params), "changes": np.zeros_like(params)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        gradients = state["gradients"] * self.rho + grads * grads * (1 - self.rho)
        change = grads * np.sqrt(state["changes"] + self.epsilon) / np.sqrt(gradients + self.epsilon)
        changes = state["changes"] * self.rho + change * change * (1 - self.rho)
        return params - change * as_dtype(learning_rate, params), {"gradients": gradients, "changes": changes}


__all__ = ["Adadelta"]
