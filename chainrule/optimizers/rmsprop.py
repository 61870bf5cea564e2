"""RMSprop."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class RMSprop(Optimizer):
    """Divides the gradient by a running mean of its size.

    ``v ← ρ v + (1 - ρ) g²`` and ``p ← p - η g / √(v + ε)``. If ``centered``, v is lowered by the square of the running
    mean of g. With momentum the change is collected in ``m ← μ m + η g / √(v + ε)`` and ``p ← p - m``.

    Args:
        learning_rate: η.
        rho: ρ, how much of the running mean is kept.
        momentum: μ, from 0 to 1.
        epsilon: ε.
        centered: whether v is an estimate of the variance.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> RMSprop(learning_rate=0.01).rho
        0.9

    Source: Hinton, Srivastava and Swersky, lecture 6 of "Neural networks for machine learning", 2012.
    """

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
                 centered: bool = False, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.rho, self.momentum = share("rho", rho), share("momentum", momentum, one=True)
        self.epsilon, self.centered = positive("epsilon", epsilon), bool(centered)

    def start(self, params: Any, layout: Layout) -> State:
        """The running means, and the momentum if there is any."""
        wanted = {"velocity": True, "mean": self.centered, "momentum": self.momentum > 0}
        return {name: np.zeros_like(params) for name, here in wanted.items() if here}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        new = {"velocity": state["velocity"] * self.rho + grads * grads * (1 - self.rho)}
        size = new["velocity"]
        if self.centered:
            new["mean"] = state["mean"] * self.rho + grads * (1 - self.rho)
            size = size - new["mean"] * new["mean"]
        change = grads * as_dtype(learning_rate, params) / np.sqrt(size + self.epsilon)
        if self.momentum:
            change = new["momentum"] = state["momentum"] * self.momentum + change
        return params - change, new
