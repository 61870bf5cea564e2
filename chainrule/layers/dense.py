"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import activations, initializers
from chainrule.arguments import whole
from chainrule.errors import ShapeError
from chainrule.layers.base import Layer, Shape


class Dense(Layer):
    """Every output from every input: ``activation(x @ kernel + bias)``.

    Args:
        units: the number of outputs.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        kernel_initializer: of the ``(inputs, units)`` kernel.
        bias_initializer: of the ``(units,)`` bias.
        name: of the layer.
        options: ``input_shape`` or ``input_dim``, for a first layer.

    Shapes: ``(batch, …, inputs)`` to ``(batch, …, units)``.

    Example:
        >>> Dense(4, activation="relu")(np.zeros((2, 3))).shape
        (2, 4)
    """

    def __init__(self, units: int, activation: str | activations.Activation | None = None, use_bias: bool = True,
                 kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
                 bias_initializer: str | Callable[..., Any] = "zeros", name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.units = whole("units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for ``input_shape[-1]`` inputs."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ShapeError.of(f"layer {self.name!r} (Dense) got an input of shape {input_shape}",
                                "a batch of vectors, (batch, …, inputs)", "x.reshape(len(x), -1)")
        self.kernel = self.add_weight((input_shape[-1], self.units), self.kernel_initializer)
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer)

    def call(self, x: Any, training: bool = False) -> Any:
        """The outputs."""
        x = x @ self.kernel
        if self.use_bias:
            x = x + self.bias
        return self.activation(x)

    def describe(self) -> str:
        """Units and activation."""
        name = getattr(self.activation, "__name__", repr(self.activation))
        return str(self.units) if name == "linear" else f"{self.units}, activation={name!r}"
