"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from chainrule.arguments import whole
from chainrule.errors import ShapeError
from chainrule.layers.base import Shape
from chainrule.layers.kernel import KernelLayer


class Dense(KernelLayer):
    """Every output from every input: ``activation(x @ kernel + bias)``.

    Args:
        units: the number of outputs.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Shapes: ``(batch, …, inputs)`` to ``(batch, …, units)``; the kernel is ``(inputs, units)``.

    Example:
        >>> Dense(4, activation="relu")(np.zeros((2, 3))).shape
        (2, 4)
    """

    supports_masking = True

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True, **options: Any) -> None:
        super().__init__(activation, use_bias, **options)
        self.units = whole("units", units)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for ``input_shape[-1]`` inputs."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ShapeError.of(f"layer {self.name!r} (Dense) got an input of shape {input_shape}",
                                "a batch of vectors, (batch, …, inputs)", "x.reshape(len(x), -1)")
        self.kernel = self.add_kernel((input_shape[-1], self.units))
        if self.use_bias:
            self.bias = self.add_bias((self.units,))

    def call(self, x: Any) -> Any:
        """The outputs."""
        return self.activated(x @ self.kernel)

    def describe(self) -> str:
        """Units and activation."""
        return self.shown(self.units)
