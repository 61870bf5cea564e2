"""Convolutions over sequences, images and volumes, and their transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import nn
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import Shape
from chainrule.layers.kernel import KernelLayer
from chainrule.layers.shape import each_of, format_of

_UNITS = {1: "(batch, length, channels)", 2: "(batch, height, width, channels)",
          3: "(batch, depth, height, width, channels)"}


class ConvBase(KernelLayer):
    """What convolutions share.

    Args:
        filters: the number of channels of the output; None where it follows from the input.
        kernel_size: the extent of the window, for all spatial axes or for each.
        strides: the step between positions.
        padding: ``'valid'`` (none) or ``'same'`` (as many results as positions, divided by the stride, rounded up).
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        dilation_rate: the distance between the elements of the window.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.
    """

    rank = 2

    def __init__(self, filters: int | None, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
                 **options: Any) -> None:
        super().__init__(activation, use_bias, **options)
        self.filters = None if filters is None else whole("filters", filters)
        self.kernel_size = each_of("kernel_size", kernel_size, self.rank)
        self.strides = each_of("strides", strides, self.rank)
        self.dilation_rate = each_of("dilation_rate", dilation_rate, self.rank)
        self.data_format, self.padding = format_of(data_format), str(padding).lower()
        known = ("valid", "same", "causal") if self.rank == 1 else ("valid", "same")
        if self.padding not in known:
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got padding={padding!r}",
                                   f"one of {known}", "padding='same'")
        self.fixed_axes = (self.channel_axis,)

    @property
    def channel_axis(self) -> int:
        """Where the channels are."""
        return -1 if self.data_format == "channels_last" else 1

    def channels(self, input_shape: Shape) -> int:
        """The channels of the input; an error where there are none."""
        fits = _UNITS[self.rank] if self.data_format == "channels_last" else _UNITS[self.rank].replace(
            ", channels", "").replace("batch", "batch, channels")
        if len(input_shape) != self.rank + 2 or input_shape[self.channel_axis] is None:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got an input of shape {input_shape}",
                                fits, "x[..., None]   # for one channel")
        return int(input_shape[self.channel_axis])  # type: ignore[arg-type]

    def finished(self, x: Any) -> Any:
        """With bias, along the channels, and activation."""
        if not self.use_bias:
            return self.activation(x)
        bias: Any = self.bias
        if self.data_format == "channels_first":
            bias = np.reshape(bias, (-1, *(1,) * self.rank))
        return self.activation(x + bias)

    def describe(self) -> str:
        """Filters, window and activation."""
        return self.shown(*([] if self.filters is None else [self.filters]), self.kernel_size)


class _Conv(ConvBase):
    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = 1, groups: int = 1, activation: Any = None,
                 use_bias: bool = True, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                         **options)
        self.groups = whole("groups", groups)
        if filters % self.groups:
            raise ArgumentError.of(f"layer {self.name!r} got filters={filters} with groups={groups}",
                                   "filters that are a multiple of groups", f"filters={groups * -(-filters // groups)}")

    def build(self, input_shape: Shape) -> None:
        """Make the ``(*window, in / groups, filters)`` kernel and the bias."""
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got {channels} channels for "
                                f"groups={self.groups}", "a multiple of groups", "groups=1")
        self.kernel = self.add_kernel((*self.kernel_size, channels // self.groups, self.filters or 1))
        if self.use_bias:
            self.bias = self.add_bias((self.filters or 1,))

    def call(self, x: Any) -> Any:
        """The convolved batch."""
        return self.finished(nn.conv(x, self.kernel, self.strides, self.padding, self.dilation_rate, self.groups,
                                     self.data_format))


class Conv1D(_Conv):
    """A convolution over sequences: a window of ``kernel_size`` steps moves along, each filter sums over it.

    Args:
        filters: the number of channels of the output.
        kernel_size: the extent of the window.
        strides: the step between positions.
        padding: ``'valid'``, ``'same'``, or ``'causal'``: results see nothing ahead of them.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        dilation_rate: the distance between the elements of the window.
        groups: channels in as many groups, each with its own filters.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Shapes: ``(batch, length, channels)`` to ``(batch, results, filters)``.

    Example:
        >>> Conv1D(8, 3, padding="causal")(np.ones((2, 10, 4))).shape
        (2, 10, 8)
    """

    rank = 1


class Conv2D(_Conv):
    """A convolution over images; arguments as for :class:`Conv1D`, each extent for both axes or for each.

    Shapes: ``(batch, height, width, channels)`` to ``(batch, rows, columns, filters)``.

    Example:
        >>> Conv2D(8, 3, strides=2, padding="same", activation="relu")(np.ones((2, 28, 28, 3))).shape
        (2, 14, 14, 8)
    """


class Conv3D(_Conv):
    """A convolution over volumes; arguments as for :class:`Conv1D`, each extent for all axes or for each.

    Shapes: ``(batch, depth, height, width, channels)`` to ``(batch, …, filters)``.
    """

    rank = 3


class _ConvTranspose(ConvBase):
    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 output_padding: Any = None, data_format: str | None = None, dilation_rate: Any = 1,
                 activation: Any = None, use_bias: bool = True, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                         **options)
        self.output_padding = output_padding
        extra = (0,) if output_padding is None else each_of("output_padding", output_padding, self.rank, least=0)
        if output_padding is not None and any(a >= b for a, b in zip(extra, self.strides, strict=True)):
            raise ArgumentError.of(f"layer {self.name!r} got output_padding={output_padding!r} with "
                                   f"strides={self.strides}", "less than the stride on each axis", "output_padding=0")

    def build(self, input_shape: Shape) -> None:
        """Make the ``(*window, filters, in)`` kernel and the bias."""
        self.kernel = self.add_kernel((*self.kernel_size, self.filters or 1, self.channels(input_shape)))
        if self.use_bias:
            self.bias = self.add_bias((self.filters or 1,))

    def call(self, x: Any) -> Any:
        """The enlarged batch."""
        return self.finished(nn.conv_transpose(x, self.kernel, self.strides, self.padding, self.dilation_rate,
                                               self.output_padding, self.data_format))


class Conv1DTranspose(_ConvTranspose):
    """The transpose of :class:`Conv1D`: extents grow by the stride.

    Args:
        filters: the number of channels of the output.
        kernel_size: the extent of the window.
        strides: how far apart the window's positions are in the result.
        padding: ``'valid'`` or ``'same'``: extents are then multiplied by the stride.
        output_padding: further results at the end, below the stride.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        dilation_rate: the distance between the elements of the window.
        activation: a name or a function of an array; None for none.
        use_bias: whether a bias is added.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Example:
        >>> Conv1DTranspose(8, 3, strides=2, padding="same")(np.ones((2, 10, 4))).shape
        (2, 20, 8)
    """

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """The transpose of :class:`Conv2D`; arguments as for :class:`Conv1DTranspose`.

    Example:
        >>> Conv2DTranspose(8, 3, strides=2, padding="same")(np.ones((2, 7, 7, 4))).shape
        (2, 14, 14, 8)
    """


class Conv3DTranspose(_ConvTranspose):
    """The transpose of :class:`Conv3D`; arguments as for :class:`Conv1DTranspose`, but for Keras's order of two."""

    rank = 3

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, output_padding: Any = None, dilation_rate: Any = 1,
                 activation: Any = None, use_bias: bool = True, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
                         use_bias, **options)


# Keras's longer names
Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose, Convolution3DTranspose = (
    Conv1DTranspose, Conv2DTranspose, Conv3DTranspose)

__all__ = ["Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvBase",
           "Convolution1D", "Convolution1DTranspose", "Convolution2D", "Convolution2DTranspose", "Convolution3D",
           "Convolution3DTranspose"]
