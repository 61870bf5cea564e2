"""Activations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import activations, constraints, initializers, regularizers
from chainrule.arguments import not_negative
from chainrule.errors import ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape

Axes = int | Sequence[int]


class _Elementwise(Layer):
    input_dtype = FLOAT
    supports_masking = True


class Activation(_Elementwise):
    """An activation function as a layer.

    Args:
        activation: a name, such as ``'relu'``, or a function of an array.
        options: those of every :class:`Layer`.

    Example:
        >>> Activation("relu")(np.array([[-1.0, 2.0]]))
        array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: str | activations.Activation, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, x: Any) -> Any:
        """The function of every element (softmax: of every row)."""
        return self.activation(x)

    def describe(self) -> str:
        """The function's name."""
        return repr(getattr(self.activation, "__name__", self.activation))


class ReLU(_Elementwise):
    """``x`` from ``threshold`` up to ``max_value``, above that ``max_value``, below ``negative_slope (x - threshold)``.

    Args:
        max_value: the largest output; None for no bound.
        negative_slope: the slope below the threshold.
        threshold: where the slope changes.
        options: those of every :class:`Layer`.

    Example:
        >>> ReLU(max_value=6.0, negative_slope=0.1)(np.array([[-1.0, 2.0, 9.0]]))
        array([[-0.1,  2. ,  6. ]], dtype=float32)
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0,
                 **options: Any) -> None:
        super().__init__(**options)
        self.max_value = None if max_value is None else not_negative("max_value", max_value)
        self.negative_slope = not_negative("negative_slope", negative_slope)
        self.threshold = not_negative("threshold", threshold)

    def call(self, x: Any) -> Any:
        """The rectified batch."""
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Elementwise):
    """``x`` where it is positive, else ``negative_slope * x``.

    Args:
        negative_slope: the slope on the negative side.
        options: those of every :class:`Layer`.

    Example:
        >>> LeakyReLU()(np.array([[-1.0, 2.0]]))
        array([[-0.3,  2. ]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        super().__init__(**options)
        self.negative_slope = not_negative("negative_slope", negative_slope)

    def call(self, x: Any) -> Any:
        """The rectified batch."""
        return activations.leaky_relu(x, self.negative_slope)


class PReLU(_Elementwise):
    """``x`` where it is positive, else ``alpha * x`` with an ``alpha`` that is learned for each element of a sample.

    Args:
        alpha_initializer: of ``alpha``.
        alpha_regularizer: a function of ``alpha`` whose result is added to the loss.
        alpha_constraint: a function applied to ``alpha`` after each training step.
        shared_axes: axes along which all elements share one ``alpha``: ``(1, 2)`` for one per channel of an image.
        options: those of every :class:`Layer`.

    Example:
        >>> PReLU(alpha_initializer="ones")(np.array([[-1.0, 2.0]]))
        array([[-1.,  2.]], dtype=float32)

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """

    def __init__(self, alpha_initializer: Any = "zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
                 shared_axes: Axes | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = () if shared_axes is None else (
            (shared_axes,) if isinstance(shared_axes, int) else tuple(shared_axes))

    def build(self, input_shape: Shape) -> None:
        """Make ``alpha``."""
        shape = [1 if i + 1 in self.shared_axes else n for i, n in enumerate(input_shape[1:])]
        self.alpha = self.add_weight([n or 1 for n in shape], self.alpha_initializer,
                                     regularizer=self.alpha_regularizer, constraint=self.alpha_constraint)

    def call(self, x: Any) -> Any:
        """The rectified batch."""
        return np.where(x > 0, x, x * self.alpha)


class ELU(_Elementwise):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    Args:
        alpha: the limit on the negative side, with its sign turned.
        options: those of every :class:`Layer`.

    Example:
        >>> ELU()(np.array([[0.0, 2.0]]))
        array([[0., 2.]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, x: Any) -> Any:
        """The batch."""
        return activations.elu(x, self.alpha)


class Softmax(_Elementwise):
    """``exp(x) / Σ exp(x)`` along ``axis``: positive, with sum 1.

    Args:
        axis: one, or several that are normalised together.
        options: those of every :class:`Layer`.

    ``mask`` of the call, bools of the shape of ``x``: what is False gets probability 0.

    Example:
        >>> Softmax()(np.array([[0.0, 0.0]]))
        array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, axis: Axes = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, x: Any, mask: Any = None) -> Any:
        """The probabilities; all 0 where nothing along the axis is left."""
        if mask is None:
            return activations.softmax(x, self.axis)
        fits = zip(reversed(mask.shape), reversed(x.shape), strict=False)
        if len(mask.shape) > len(x.shape) or any(m not in (1, n) for m, n in fits):
            raise ShapeError.of(f"layer {self.name!r} (Softmax) got a mask of shape {tuple(mask.shape)} for a batch of "
                                f"shape {tuple(x.shape)}", "one that broadcasts to it", "mask=np.ones(x.shape, bool)")
        seen = mask if mask.dtype == bool else mask > 0.5
        shares = activations.softmax(np.where(seen, x, np.float32(-1e9)), self.axis)
        return np.where(seen, shares, np.float32(0))


__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]
