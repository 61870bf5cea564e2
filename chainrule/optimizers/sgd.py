"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import share
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    Without momentum ``p ← p - η g``. With momentum ``m ← μ m - η g`` and ``p ← p + m``, or ``p ← p + μ m - η g``
    if ``nesterov``. With the whole data as one batch it is plain gradient descent.

    Args:
        learning_rate: η.
        momentum: μ, from 0 to 1.
        nesterov: whether the gradient counts as if taken after the momentum's step.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> rule = SGD(learning_rate=0.5)
        >>> rule.update(np.array([1.0]), np.array([0.2]), {}, 0.5)[0]
        array([0.9])

    Source: Polyak 1964; Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
    in deep learning", ICML 2013.
    """

    def __init__(self, learning_rate: Rate = 0.01, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.momentum, self.nesterov = share("momentum", momentum, one=True), bool(nesterov)

    def start(self, params: Any, layout: Layout) -> State:
        """The momentum, if there is any."""
        return {"momentum": np.zeros_like(params)} if self.momentum else {}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step of descent."""
        change = grads * as_dtype(learning_rate, params)
        if not self.momentum:
            return params - change, {}
        momentum = state["momentum"] * self.momentum - change
        moved = params + momentum * self.momentum - change if self.nesterov else params + momentum
        return moved, {"momentum": momentum}


class Momentum(SGD):
    """:class:`SGD` with momentum, 0.9 by default: the heavy ball.

    Args:
        learning_rate: η.
        momentum: μ.
        options: ``nesterov``, ``weight_decay``, and those of every :class:`Optimizer`.

    Example:
        >>> Momentum(0.1).momentum
        0.9
    """

    def __init__(self, learning_rate: Rate = 0.01, momentum: float = 0.9, **options: Any) -> None:
        super().__init__(learning_rate, momentum, **options)


__all__ = ["SGD", "Momentum"]
