"""Layers without weights: the input, activations, and changes of shape."""

from __future__ import annotations

import math
from typing import Any

from chainrule import activations
from chainrule.layers.base import Layer
from chainrule.ops.structure import reshape


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: a name, such as ``'relu'``, or a function of an array.
        name: of the layer.
        options: ``input_shape`` or ``input_dim``, for a first layer.

    Example:
        >>> Activation("relu")(np.array([[-1.0, 2.0]]))
        array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: str | activations.Activation, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.activation = activations.get(activation)

    def call(self, x: Any) -> Any:
        """The function of every element (softmax: of every row)."""
        return self.activation(x)

    def describe(self) -> str:
        """The function's name."""
        return repr(getattr(self.activation, "__name__", self.activation))


class Flatten(Layer):
    """Each sample as a vector: ``(batch, a, b, …)`` becomes ``(batch, a·b·…)``.

    Example:
        >>> Flatten()(np.zeros((5, 2, 3))).shape
        (5, 6)
    """

    def call(self, x: Any) -> Any:
        """The batch as a matrix."""
        return reshape(x, shape=(x.shape[0], math.prod(x.shape[1:])))
