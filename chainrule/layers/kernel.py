"""What layers with a kernel and a bias share: their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule import activations, constraints, initializers, regularizers
from chainrule.layers.base import FLOAT, Layer

Initializer = str | Callable[..., Any]
Function = str | Callable[[Any], Any] | None  # a regularizer or constraint


class KernelLayer(Layer):
    """A layer with a kernel, perhaps a bias, and an activation.

    Args:
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        kernel_initializer: of the kernel.
        bias_initializer: of the bias.
        kernel_regularizer: a function of the kernel whose result is added to the loss, such as ``'l2'``.
        bias_regularizer: the same for the bias.
        activity_regularizer: the same for the output, divided by the batch size.
        kernel_constraint: a function applied to the kernel after each training step, such as ``'non_neg'``.
        bias_constraint: the same for the bias.
        options: those of every :class:`Layer`.
    """

    input_dtype = FLOAT
    fixed_axes: tuple[int, ...] = (-1,)
    shared_arguments: tuple[str, ...] = ("kernel_initializer", "bias_initializer", "kernel_regularizer",
                                         "bias_regularizer", "activity_regularizer", "kernel_constraint",
                                         "bias_constraint")

    def __init__(self, activation: Function = None, use_bias: bool = True,
                 kernel_initializer: Initializer = "glorot_uniform", bias_initializer: Initializer = "zeros",
                 kernel_regularizer: Function = None, bias_regularizer: Function = None,
                 activity_regularizer: Function = None, kernel_constraint: Function = None,
                 bias_constraint: Function = None, **options: Any) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.activation, self.use_bias = activations.get(activation), bool(use_bias)
        self.bias: Any = None  # until one is made
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def add_kernel(self, shape: Sequence[Any], name: str = "kernel",
                   axes: tuple[Sequence[int], Sequence[int]] | None = None) -> Any:
        """A kernel with the layer's initializer, regularizer and constraint; ``axes`` of inputs and of outputs."""
        make = self.kernel_initializer
        if axes is not None and isinstance(make, initializers.VarianceScaling):
            make = make.along(*axes)
        return self.add_weight(shape, make, regularizer=self.kernel_regularizer,
                               constraint=self.kernel_constraint, name=name)

    def add_bias(self, shape: Sequence[Any], name: str = "bias") -> Any:
        """A bias, likewise."""
        return self.add_weight(shape, self.bias_initializer, regularizer=self.bias_regularizer,
                               constraint=self.bias_constraint, name=name)

    def activated(self, x: Any) -> Any:
        """The output: with the bias, if there is one, and the activation."""
        return self.activation(x + self.bias if self.use_bias else x)

    def shown(self, *parts: Any) -> str:
        """Arguments and the activation, for ``repr``."""
        name = getattr(self.activation, "__name__", repr(self.activation))
        return ", ".join([*map(str, parts), *([] if name == "linear" else [f"activation={name!r}"])])


__all__ = ["KernelLayer"]
