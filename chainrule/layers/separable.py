"""Convolutions of each channel by itself, and these followed by a mixture of the channels."""

from __future__ import annotations

from typing import Any

from chainrule import constraints, initializers, nn, regularizers
from chainrule.arguments import whole
from chainrule.layers.base import Shape
from chainrule.layers.conv import ConvBase
from chainrule.numpy.common import reshaped


class _Depthwise(ConvBase):
    def __init__(self, filters: int | None, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = 1, depth_multiplier: int = 1,
                 activation: Any = None, use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
                 depthwise_regularizer: Any = None, depthwise_constraint: Any = None, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                         **options)
        self.depth_multiplier = whole("depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def add_depthwise(self, channels: int, name: str) -> Any:
        """The ``(*window, in, depth_multiplier)`` kernel."""
        return self.add_weight((*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
                               regularizer=self.depthwise_regularizer, constraint=self.depthwise_constraint, name=name)

    def depthwise(self, x: Any, kernel: Any) -> Any:
        """Each channel convolved with its own filters."""
        channels = kernel.shape[-2]
        kernel = reshaped(kernel, (*self.kernel_size, 1, channels * self.depth_multiplier))
        return nn.conv(x, kernel, self.strides, self.padding, self.dilation_rate, channels, self.data_format)


class DepthwiseConv1D(_Depthwise):
    """Each channel of a sequence convolved by itself, with ``depth_multiplier`` filters of its own.

    Args:
        kernel_size: the extent of the window.
        strides: the step between positions.
        padding: ``'valid'``, ``'same'`` or ``'causal'``.
        depth_multiplier: results for each channel, side by side in the output.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        dilation_rate: the distance between the elements of the window.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        options: ``depthwise_initializer``, ``depthwise_regularizer``, ``depthwise_constraint``, and those of
            :class:`KernelLayer` for the bias.

    Example:
        >>> DepthwiseConv1D(3, depth_multiplier=2)(np.ones((2, 10, 4))).shape
        (2, 8, 8)
    """

    rank = 1

    def __init__(self, kernel_size: Any, strides: Any = 1, padding: str = "valid", depth_multiplier: int = 1,
                 data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
                 **options: Any) -> None:
        super().__init__(None, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier, activation,
                         use_bias, **options)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias."""
        channels = self.channels(input_shape)
        self.kernel = self.add_depthwise(channels, "kernel")
        if self.use_bias:
            self.bias = self.add_bias((channels * self.depth_multiplier,))

    def call(self, x: Any) -> Any:
        """The convolved batch."""
        return self.finished(self.depthwise(x, self.kernel))


class DepthwiseConv2D(DepthwiseConv1D):
    """Each channel of an image convolved by itself; arguments as for :class:`DepthwiseConv1D`.

    Example:
        >>> DepthwiseConv2D(3, padding="same")(np.ones((2, 8, 8, 4))).shape
        (2, 8, 8, 4)
    """

    rank = 2


class SeparableConv1D(_Depthwise):
    """A convolution of each channel by itself, then a mixture of the channels at each position.

    Args:
        filters: the number of channels of the output.
        kernel_size: the extent of the window.
        strides: the step between positions.
        padding: ``'valid'``, ``'same'`` or ``'causal'``.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        dilation_rate: the distance between the elements of the window.
        depth_multiplier: results for each channel before the mixture.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        depthwise_initializer: of the ``(*window, in, depth_multiplier)`` kernel.
        pointwise_initializer: of the ``(1, …, in * depth_multiplier, filters)`` kernel.
        options: regularizers and constraints of the same names, and those of :class:`KernelLayer` for the bias.

    Example:
        >>> SeparableConv1D(6, 3)(np.ones((2, 10, 4))).shape
        (2, 8, 6)

    Source: Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
    """

    rank = 1

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = 1, depth_multiplier: int = 1,
                 activation: Any = None, use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
                 pointwise_initializer: Any = "glorot_uniform", *, pointwise_regularizer: Any = None,
                 pointwise_constraint: Any = None, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier,
                         activation, use_bias, depthwise_initializer, **options)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make both kernels and the bias."""
        channels, filters = self.channels(input_shape), self.filters or 1
        self.depthwise_kernel = self.add_depthwise(channels, "depthwise_kernel")
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.rank, channels * self.depth_multiplier, filters), self.pointwise_initializer,
            regularizer=self.pointwise_regularizer, constraint=self.pointwise_constraint)
        if self.use_bias:
            self.bias = self.add_bias((filters,))

    def call(self, x: Any) -> Any:
        """The convolved and mixed batch."""
        x = self.depthwise(x, self.depthwise_kernel)
        return self.finished(nn.conv(x, self.pointwise_kernel, data_format=self.data_format))


class SeparableConv2D(SeparableConv1D):
    """The same for images; arguments as for :class:`SeparableConv1D`.

    Example:
        >>> SeparableConv2D(6, 3, padding="same")(np.ones((2, 8, 8, 4))).shape
        (2, 8, 8, 6)
    """

    rank = 2


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D  # Keras's longer names

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D",
           "SeparableConvolution2D"]
