"""Ftrl."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import not_negative
from chainrule.errors import ArgumentError
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Ftrl(Optimizer):
    """Follow the regularized leader: for many sparse features, with parameters that are exactly 0 under ``l1``.

    With ``a' = a + g²`` and ``q(a) = a^(-power) / η``, ``z ← z + g + 2 s p - (q(a') - q(a)) p``, then
    ``p ← (clip(z, ±l1) - z) / (q(a') + 2 l2 + β / η)``.

    Args:
        learning_rate: η.
        learning_rate_power: 0 or less; -0.5 makes steps shrink as in Adagrad, 0 keeps them.
        initial_accumulator_value: a before the first step.
        l1_regularization_strength: l1.
        l2_regularization_strength: l2.
        l2_shrinkage_regularization_strength: s, a decay of the size of the parameters rather than of their changes.
        beta: β.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> sorted(Ftrl().init(np.zeros(2)))
        ['accumulator', 'linear']

    Source: McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013.
    """

    def __init__(self, learning_rate: Rate = 0.001, learning_rate_power: float = -0.5,
                 initial_accumulator_value: float = 0.1, l1_regularization_strength: float = 0.0,
                 l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
                 beta: float = 0.0, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        if not learning_rate_power <= 0:
            raise ArgumentError.of(f"got learning_rate_power={learning_rate_power!r}", "0 or less",
                                   "learning_rate_power=-0.5")
        self.learning_rate_power = float(learning_rate_power)
        self.initial_accumulator_value = not_negative("initial_accumulator_value", initial_accumulator_value)
        self.l1_regularization_strength = not_negative("l1_regularization_strength", l1_regularization_strength)
        self.l2_regularization_strength = not_negative("l2_regularization_strength", l2_regularization_strength)
        self.l2_shrinkage_regularization_strength = not_negative("l2_shrinkage_regularization_strength",
                                                                 l2_shrinkage_regularization_strength)
        self.beta = not_negative("beta", beta)

    def start(self, params: Any, layout: Layout) -> State:
        """The sum of squares at its initial value, the linear term at 0."""
        return {"accumulator": np.full_like(params, self.initial_accumulator_value), "linear": np.zeros_like(params)}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        rate = as_dtype(learning_rate, params)
        accumulator = state["accumulator"] + grads * grads
        before, after = self._root(state["accumulator"]), self._root(accumulator)
        shrunk = grads + params * (2 * self.l2_shrinkage_regularization_strength)
        linear = state["linear"] + shrunk - (after - before) / rate * params
        quadratic = after / rate + 2 * self.l2_regularization_strength + self.beta / rate
        l1 = self.l1_regularization_strength
        clipped = np.minimum(np.maximum(linear, -l1), l1)
        return (clipped - linear) / quadratic, {"accumulator": accumulator, "linear": linear}

    def _root(self, squares: Any) -> Any:
        return np.sqrt(squares) if self.learning_rate_power == -0.5 else squares ** -self.learning_rate_power


__all__ = ["Ftrl"]
