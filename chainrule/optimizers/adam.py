"""Adam and AdamW."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import positive, share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Adam(Optimizer):
    """Running means of the gradient and of its square, corrected for starting at 0.

    ``m ← m + (1 - β₁)(g - m)``, ``v ← v + (1 - β₂)(g² - v)`` and ``p ← p - α m / (√v + ε)`` with
    ``α = η √(1 - β₂ᵗ) / (1 - β₁ᵗ)`` at step t = 1, 2, …  With ``amsgrad`` the largest v so far stands for v.

    Args:
        learning_rate: η.
        beta_1: β₁.
        beta_2: β₂.
        epsilon: ε.
        amsgrad: see above.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> rule = Adam(learning_rate=0.1)
        >>> p, state = rule.update(np.zeros(1), np.ones(1), rule.init(np.zeros(1)), 0.1)
        >>> p.round(3)
        array([-0.1])

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; Reddi, Kale and Kumar, "On the
    convergence of Adam and beyond", ICLR 2018.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 amsgrad: bool = False, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1, self.beta_2 = share("beta_1", beta_1), share("beta_2", beta_2)
        self.epsilon, self.amsgrad = positive("epsilon", epsilon), bool(amsgrad)

    def start(self, params: Any, layout: Layout) -> State:
        """The two means at 0, and the powers β₁ᵗ and β₂ᵗ at t = 0."""
        one = np.ones((), np.float64)
        state = {"m": np.zeros_like(params), "v": np.zeros_like(params), "power_1": one, "power_2": one.copy()}
        return {**state, "largest": np.zeros_like(params)} if self.amsgrad else state

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step: a multiplication by α for each element, α itself once."""
        power_1, power_2 = state["power_1"] * self.beta_1, state["power_2"] * self.beta_2
        alpha = as_dtype(learning_rate * np.sqrt(1.0 - power_2) / (1.0 - power_1), params)
        m = state["m"] + (grads - state["m"]) * (1.0 - self.beta_1)
        v = state["v"] + (grads * grads - state["v"]) * (1.0 - self.beta_2)
        new = {"m": m, "v": v, "power_1": power_1, "power_2": power_2}
        size = v
        if self.amsgrad:
            size = new["largest"] = np.maximum(state["largest"], v)
        return params - m * alpha / (np.sqrt(size) + self.epsilon), new


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``p ← p - η λ p`` before each step, with λ 0.004 by default.

    Args:
        learning_rate: η.
        weight_decay: λ.
        beta_1: as in :class:`Adam`.
        beta_2: as in :class:`Adam`.
        epsilon: as in :class:`Adam`.
        amsgrad: as in :class:`Adam`.
        options: those of every :class:`Optimizer`.

    Example:
        >>> AdamW().weight_decay
        0.004

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def __init__(self, learning_rate: Rate = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
                 beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **options)
