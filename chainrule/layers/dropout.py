"""Dropout."""

from __future__ import annotations

from typing import Any

from chainrule.arguments import share
from chainrule.layers.base import Layer
from chainrule.nn.stochastic import dropout


class Dropout(Layer):
    """Sets a share ``rate`` of the elements to 0 while training and divides the others by ``1 - rate``.

    Otherwise it does nothing. Which elements is a function of the model's seed and the step, so that equal seeds give
    equal numbers.

    Args:
        rate: from 0 to below 1.
        seed: a seed of this layer's own.
        name: of the layer.
        options: ``input_shape`` or ``input_dim``, for a first layer.

    Example:
        >>> Dropout(0.5)(np.ones((2, 3)))
        array([[1., 1., 1.],
               [1., 1., 1.]], dtype=float32)

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 2014.
    """

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.rate, self.seed = share("rate", rate), seed

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch, thinned out while training."""
        if not (training and self.rate):
            return x
        return dropout(self.next_key(self.seed), x, self.rate)

    def describe(self) -> str:
        """The rate."""
        return str(self.rate)
