"""Pooling: one number for each window, or for the whole of a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import nn
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer
from chainrule.layers.shape import each_of, format_of


class _Pooling(Layer):
    input_dtype = FLOAT
    rank = 2

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: str = "valid", data_format: str | None = None,
                 **options: Any) -> None:
        super().__init__(**options)
        self.pool_size = each_of("pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else each_of("strides", strides, self.rank)
        self.padding, self.data_format = str(padding).lower(), format_of(data_format)
        if self.padding not in ("valid", "same"):
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got padding={padding!r}",
                                   "'valid' or 'same'", "padding='same'")

    def call(self, x: Any) -> Any:
        """The pooled batch."""
        _check_rank(self, x, self.rank)
        return self.pooled(x, self.pool_size, self.strides, self.padding, self.data_format)

    pooled: Any

    def describe(self) -> str:
        """The window."""
        return str(self.pool_size)


class MaxPooling1D(_Pooling):
    """The largest element of each window of a sequence.

    Args:
        pool_size: the extent of the window, on all spatial axes or on each.
        strides: the step between positions; None: the window's extent.
        padding: ``'valid'`` or ``'same'``.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        options: those of every :class:`Layer`.

    Example:
        >>> MaxPooling1D(2)(np.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1)).ravel()
        array([5., 3.], dtype=float32)
    """

    rank = 1
    pooled = staticmethod(nn.max_pool)


class MaxPooling2D(_Pooling):
    """The largest element of each window of an image; arguments as for :class:`MaxPooling1D`.

    Example:
        >>> MaxPooling2D()(np.ones((1, 4, 6, 3))).shape
        (1, 2, 3, 3)
    """

    pooled = staticmethod(nn.max_pool)


class MaxPooling3D(_Pooling):
    """The largest element of each window of a volume; arguments as for :class:`MaxPooling1D`."""

    rank = 3
    pooled = staticmethod(nn.max_pool)


class AveragePooling1D(_Pooling):
    """The mean of each window of a sequence, of what it sees of the input; arguments as for :class:`MaxPooling1D`.

    Example:
        >>> AveragePooling1D(2)(np.array([1.0, 5.0, 2.0, 4.0]).reshape(1, 4, 1)).ravel()
        array([3., 3.], dtype=float32)
    """

    rank = 1
    pooled = staticmethod(nn.avg_pool)


class AveragePooling2D(_Pooling):
    """The mean of each window of an image; arguments as for :class:`MaxPooling1D`."""

    pooled = staticmethod(nn.avg_pool)


class AveragePooling3D(_Pooling):
    """The mean of each window of a volume; arguments as for :class:`MaxPooling1D`."""

    rank = 3
    pooled = staticmethod(nn.avg_pool)


class _GlobalPooling(Layer):
    input_dtype = FLOAT
    rank = 2

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.data_format, self.keepdims = format_of(data_format), bool(keepdims)

    def call(self, x: Any) -> Any:
        """One number for each channel."""
        _check_rank(self, x, self.rank)
        return self.pooled(x, self.keepdims, self.data_format)

    pooled: Any


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest element of each channel of a sequence.

    Args:
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        keepdims: whether the spatial axes stay, with extent 1.
        options: those of every :class:`Layer`.

    Example:
        >>> GlobalMaxPooling1D()(np.arange(6.0).reshape(1, 3, 2))
        array([[4., 5.]], dtype=float32)
    """

    rank = 1
    pooled = staticmethod(nn.global_max_pool)


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest element of each channel of an image; arguments as for :class:`GlobalMaxPooling1D`."""

    pooled = staticmethod(nn.global_max_pool)


class GlobalMaxPooling3D(_GlobalPooling):
    """The largest element of each channel of a volume; arguments as for :class:`GlobalMaxPooling1D`."""

    rank = 3
    pooled = staticmethod(nn.global_max_pool)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of a sequence, over the steps that its mask, if it has one, does not skip.

    Arguments as for :class:`GlobalMaxPooling1D`.

    Example:
        >>> GlobalAveragePooling1D()(np.arange(6.0).reshape(1, 3, 2))
        array([[2., 3.]], dtype=float32)
    """

    rank = 1
    pooled = staticmethod(nn.global_avg_pool)

    def call(self, x: Any, mask: Any = None) -> Any:
        """One number for each channel."""
        if mask is None:
            return super().call(x)
        steps, channels = (1, 2) if self.data_format == "channels_last" else (2, 1)
        mask = np.expand_dims(mask, channels)
        total = np.sum(np.where(mask, x, np.float32(0)), axis=steps, keepdims=self.keepdims)
        count = np.sum(np.where(mask, np.float32(1), np.float32(0)), axis=steps, keepdims=self.keepdims)
        return total / np.maximum(count, np.float32(1))


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of an image; arguments as for :class:`GlobalMaxPooling1D`.

    Example:
        >>> GlobalAveragePooling2D(keepdims=True)(np.ones((2, 4, 4, 3))).shape
        (2, 1, 1, 3)
    """

    pooled = staticmethod(nn.global_avg_pool)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel of a volume; arguments as for :class:`GlobalMaxPooling1D`."""

    rank = 3
    pooled = staticmethod(nn.global_avg_pool)


# Keras's short names
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D)


def _check_rank(layer: Layer, x: Any, rank: int) -> None:
    if len(x.shape) != rank + 2:
        raise ShapeError.of(f"layer {layer.name!r} ({type(layer).__name__}) got a batch of shape {tuple(x.shape)}",
                            f"{rank + 2} axes: the batch, {rank} spatial ones and the channels", "x[..., None]")


__all__ = [
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalAvgPool1D", "GlobalAvgPool2D",
    "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D"]
