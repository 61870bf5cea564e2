"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
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


class EinsumDense(KernelLayer):
    """A kernel applied by ``np.einsum``: Dense over any axes.

    Args:
        equation: of input and kernel, such as ``"abc,cd->abd"`` or ``"...x,xy->...y"``; the first letter, or what the
            dots stand for, is the batch.
        output_shape: of a sample, None where it follows from the input; one number stands for the last axis.
        activation: a name or a function of an array; None for none.
        bias_axes: the letters of the output along which there is a bias; None for no bias.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Example:
        >>> EinsumDense("abc,cde->abde", output_shape=(None, 4, 8), bias_axes="de")(np.ones((2, 5, 3))).shape
        (2, 5, 4, 8)
    """

    fixed_axes: tuple[int, ...] = ()

    def __init__(self, equation: str, output_shape: int | Sequence[int | None], activation: Any = None,
                 bias_axes: str | None = None, **options: Any) -> None:
        super().__init__(activation, bias_axes is not None, **options)
        self.equation, self.bias_axes = equation.replace(" ", ""), bias_axes
        self.partial_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        given, arrow, self.output_labels = self.equation.partition("->")
        self.input_labels, comma, self.kernel_labels = given.partition(",")
        if not (arrow and comma) or "." in self.kernel_labels or set(self.bias_axes or "") - set(self.output_labels):
            raise ArgumentError.of(f"layer {self.name!r} got equation={equation!r}, bias_axes={bias_axes!r}",
                                   "one input, one kernel, one output; a bias along axes of the output",
                                   'EinsumDense("...x,xy->...y", output_shape=64, bias_axes="y")')

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias: extents of the input where it has the letter, else of the output."""
        known = {**_extents(self.output_labels, (None, *self.partial_shape)),
                 **_extents(self.input_labels, input_shape)}
        wrong = [c for c in self.kernel_labels if known.get(c) is None]
        if wrong or len(self.input_labels.replace("...", "")) > len(input_shape):
            raise ShapeError.of(f"layer {self.name!r} (EinsumDense) got an input of shape {input_shape} for "
                                f"{self.equation!r} and output_shape={self.partial_shape}",
                                f"known extents of {', '.join(wrong) or 'all letters'}", "output_shape=(None, 64)")
        kept = [c in self.output_labels for c in self.kernel_labels]
        axes = [i for i, stays in enumerate(kept) if not stays], [i for i, stays in enumerate(kept) if stays]
        self.kernel = self.add_kernel([known[c] or 1 for c in self.kernel_labels], axes=axes)
        if self.bias_axes:
            labels = self.output_labels.replace("...", "")
            labels = labels[min(map(labels.index, self.bias_axes)):]
            dots = self.output_labels.endswith("...")
            known.update({c: n for c, n in _extents(self.output_labels, (None, *self.partial_shape)).items() if n})
            shape = [(known[c] or 1) if c in self.bias_axes else 1 for c in labels]
            elided = len(input_shape) - len(self.input_labels.replace("...", "")) if dots else 0
            self.bias = self.add_bias([*shape, *(1,) * elided])

    def call(self, x: Any) -> Any:
        """The outputs."""
        return self.activated(np.einsum(self.equation, x, self.kernel))

    def describe(self) -> str:
        """The equation and the activation."""
        return self.shown(repr(self.equation), self.partial_shape)


def _extents(labels: str, shape: Sequence[int | None]) -> dict[str, int | None]:
    """The extents of letters: those before the dots from the front, those after them from the end."""
    before, _, after = labels.partition("...")
    found = dict(zip(before, shape, strict=False))
    found.update(zip(reversed(after), reversed(shape), strict=False))
    return found


__all__ = ["Dense", "EinsumDense"]
