"""Layers without weights: the input, activations, and changes of shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule import activations
from chainrule.errors import ArgumentError
from chainrule.layers.base import Layer
from chainrule.ops.structure import reshape


class Input(Layer):
    """The shape of one sample, as the first entry of a model.

    Example:
        >>> Input((28, 28))
        Input(shape=(28, 28))
    """

    def __init__(self, shape: Sequence[int] | None = None, name: str | None = None) -> None:
        if shape is None:
            raise ArgumentError.of("Input without a shape", "the extents of one sample", "Input(shape=(10,))")
        super().__init__(name, input_shape=shape)

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch as it is."""
        return x

    def describe(self) -> str:
        """The shape."""
        return f"shape={self.given_shape}"


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

    def call(self, x: Any, training: bool = False) -> Any:
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

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch as a matrix."""
        return reshape(x, shape=(x.shape[0], math.prod(x.shape[1:])))
