"""The residual block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import activations
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer


class Residual(Layer):
    """Layers whose output is added to their input: ``activation(x + f(x))``.

    Args:
        layers: a layer, or several, one after the other.
        shortcut: a layer for the other way, where the shapes differ: often ``Dense(n)`` or ``Conv2D(n, 1, strides=2)``.
        activation: of the sum; a name or a function of an array; None for none.
        options: those of every :class:`Layer`.

    Example:
        >>> Residual([Dense(8, activation="relu"), Dense(4)])(np.ones((2, 4))).shape
        (2, 4)

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016.
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, layers: Layer | Sequence[Layer], shortcut: Layer | None = None, activation: Any = None,
                 **options: Any) -> None:
        super().__init__(**options)
        self.branch = [layers] if isinstance(layers, Layer) else list(layers)
        if not self.branch or not all(isinstance(layer, Layer) for layer in self.branch):
            raise ArgumentError.of(f"Residual got layers={layers!r}", "a layer or a list of layers",
                                   "Residual([Dense(8, activation='relu'), Dense(8)])")
        self.shortcut, self.activation = shortcut, activations.get(activation)

    def call(self, x: Any) -> Any:
        """The sum of both ways."""
        y = x
        for layer in self.branch:
            y = layer(y)
        x = x if self.shortcut is None else self.shortcut(x)
        if x.shape != y.shape:
            raise ShapeError.of(f"layer {self.name!r} (Residual) adds shapes {tuple(x.shape)} and {tuple(y.shape)}",
                                "equal shapes", "Residual(layers, shortcut=Dense(8))   # or Conv2D(8, 1, strides=2)")
        return self.activation(x + y)

    def describe(self) -> str:
        """The layers."""
        return "[" + ", ".join(repr(layer) for layer in self.branch) + "]"


__all__ = ["Residual"]
