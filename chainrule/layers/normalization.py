"""Normalisation: of a batch, of a sample, of groups of channels, and of data before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import constraints, initializers, nn, regularizers
from chainrule.arguments import positive, share
from chainrule.errors import ArgumentError, ShapeError, UsageError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.merge import unit

Axes = int | Sequence[int]


class _Normalizer(Layer):
    """A layer with a factor ``gamma`` and a summand ``beta``.

    Args:
        center: whether ``beta`` is added.
        scale: whether there is a factor ``gamma``.
        beta_initializer: of ``beta``, and so on.
    """

    input_dtype = FLOAT
    supports_masking = True
    shared_arguments = ("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint")

    def __init__(self, center: bool = True, scale: bool = True, beta_initializer: Any = "zeros",
                 gamma_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
                 beta_constraint: Any = None, gamma_constraint: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def add_parameters(self, shape: Sequence[int]) -> None:
        """Make ``gamma`` and ``beta``."""
        if self.scale:
            self.gamma = self.add_weight(shape, self.gamma_initializer, regularizer=self.gamma_regularizer,
                                         constraint=self.gamma_constraint)
        if self.center:
            self.beta = self.add_weight(shape, self.beta_initializer, regularizer=self.beta_regularizer,
                                        constraint=self.beta_constraint)

    @property
    def parameters(self) -> tuple[Any, Any]:
        """``gamma`` and ``beta``; None where there is none."""
        return self.gamma if self.scale else None, self.beta if self.center else None


class BatchNormalization(_Normalizer):
    """Each channel with the mean 0 and the variance 1 over the batch, times ``gamma``, plus ``beta``.

    While training the statistics are those of the batch (of the steps its mask does not skip), and running means of
    them are kept; else, and where ``trainable`` is False, these are used: ``m ← momentum m + (1 - momentum) mean``.

    Args:
        axis: that of the channels.
        momentum: of the running means.
        epsilon: added to the variance.
        center: whether ``beta`` is added.
        scale: whether there is a factor ``gamma``.
        beta_initializer: of ``beta``.
        gamma_initializer: of ``gamma``.
        moving_mean_initializer: of the running mean.
        moving_variance_initializer: of the running variance.
        options: ``beta_regularizer``, ``gamma_regularizer``, ``beta_constraint``, ``gamma_constraint``, and those of
            every :class:`Layer`.

    Example:
        >>> layer = BatchNormalization()
        >>> layer(np.array([[1.0], [3.0]]), training=True).round(3).ravel()
        array([-1.,  1.], dtype=float32)
        >>> layer.moving_mean.round(4)
        array([0.02], dtype=float32)

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def __init__(self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True, beta_initializer: Any = "zeros", gamma_initializer: Any = "ones",
                 moving_mean_initializer: Any = "zeros", moving_variance_initializer: Any = "ones",
                 **options: Any) -> None:
        super().__init__(center, scale, beta_initializer, gamma_initializer, **options)
        self.axis, self.momentum = axis, share("momentum", momentum, one=True)
        self.epsilon = positive("epsilon", epsilon)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.fixed_axes = (axis,)

    def build(self, input_shape: Shape) -> None:
        """Make ``gamma``, ``beta`` and the running means."""
        shape = extents(self, input_shape, [self.axis])
        self.add_parameters(shape)
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(shape, self.moving_variance_initializer, trainable=False)

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """The normalised batch."""
        gamma, beta = self.parameters
        if not (training and self.trainable):
            return nn.batch_norm(x, self.moving_mean, self.moving_variance, gamma, beta, self.axis, self.epsilon)
        axes = tuple(i for i in range(len(x.shape)) if i != self.axis % len(x.shape))
        mean, variance = nn.moments(x, axes) if mask is None else _masked_moments(x, mask, axes)
        keep = np.float32(self.momentum)
        self.moving_mean = self.moving_mean * keep + mean * (1 - keep)
        self.moving_variance = self.moving_variance * keep + variance * (1 - keep)
        return nn.batch_norm(x, mean, variance, gamma, beta, self.axis, self.epsilon)


def _masked_moments(x: Any, mask: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and variance of the steps that the mask does not skip."""
    share = np.where(np.reshape(mask, (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape)))),
                     np.float32(1), np.float32(0))
    weights = np.broadcast_to(share, x.shape)
    total = np.sum(weights, axis=axes, keepdims=True) + np.float32(1e-7)
    mean = np.sum(x * weights, axis=axes, keepdims=True) / total
    variance = np.sum(np.square(x - mean) * weights, axis=axes) / np.sum(total, axis=axes)
    return np.sum(mean, axis=axes), variance


class LayerNormalization(_Normalizer):
    """Each sample with the mean 0 and the variance 1 along ``axis``, times ``gamma``, plus ``beta``.

    Args:
        axis: one or several.
        epsilon: added to the variance.
        center: whether ``beta`` is added.
        scale: whether there is a factor ``gamma``.
        beta_initializer: of ``beta``.
        gamma_initializer: of ``gamma``.
        options: ``beta_regularizer``, ``gamma_regularizer``, ``beta_constraint``, ``gamma_constraint``, and those of
            every :class:`Layer`.

    Example:
        >>> LayerNormalization()(np.array([[1.0, 3.0]])).round(2)
        array([[-1.,  1.]], dtype=float32)

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(self, axis: Axes = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
                 beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", **options: Any) -> None:
        super().__init__(center, scale, beta_initializer, gamma_initializer, **options)
        self.axis, self.epsilon = axis, positive("epsilon", epsilon)
        self.fixed_axes = axes_of(axis)

    def build(self, input_shape: Shape) -> None:
        """Make ``gamma`` and ``beta``."""
        n = len(input_shape)
        self.add_parameters(extents(self, input_shape, sorted(self.fixed_axes, key=lambda a: a % n)))

    def call(self, x: Any) -> Any:
        """The normalised batch."""
        gamma, beta = self.parameters
        return nn.layer_norm(x, gamma, beta, self.fixed_axes, self.epsilon)


class GroupNormalization(_Normalizer):
    """Each sample's channels in groups, each group with the mean 0 and the variance 1, times ``gamma``, plus ``beta``.

    Args:
        groups: their number; -1: a group for each channel.
        axis: that of the channels.
        epsilon: added to the variance.
        center: whether ``beta`` is added.
        scale: whether there is a factor ``gamma``.
        beta_initializer: of ``beta``.
        gamma_initializer: of ``gamma``.
        options: ``beta_regularizer``, ``gamma_regularizer``, ``beta_constraint``, ``gamma_constraint``, and those of
            every :class:`Layer`.

    Example:
        >>> GroupNormalization(2)(np.array([[1.0, 3.0, 10.0, 20.0]])).round(2)
        array([[-1.,  1., -1.,  1.]], dtype=float32)

    Source: Wu and He, "Group normalization", ECCV 2018.
    """

    def __init__(self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
                 beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", **options: Any) -> None:
        super().__init__(center, scale, beta_initializer, gamma_initializer, **options)
        self.groups, self.axis, self.epsilon = groups, axis, positive("epsilon", epsilon)
        self.fixed_axes = (axis,)

    def build(self, input_shape: Shape) -> None:
        """Make ``gamma`` and ``beta``."""
        shape = extents(self, input_shape, [self.axis])
        if self.groups == -1:
            self.groups = shape[0]
        if self.groups < 1 or shape[0] % self.groups:
            raise ArgumentError.of(f"layer {self.name!r} (GroupNormalization) got {shape[0]} channels for "
                                   f"groups={self.groups}", "groups that divide them", "groups=1")
        self.add_parameters(shape)

    def call(self, x: Any) -> Any:
        """The normalised batch."""
        gamma, beta = self.parameters
        return nn.group_norm(x, self.groups, gamma, beta, self.axis, self.epsilon)


class RMSNormalization(Layer):
    """``x / sqrt(mean(x²) + epsilon) * scale`` along ``axis``.

    Args:
        axis: one or several.
        epsilon: added to the mean of the squares.
        options: those of every :class:`Layer`.

    Example:
        >>> RMSNormalization()(np.array([[3.0, 4.0]])).round(4)
        array([[0.8485, 1.1314]], dtype=float32)

    Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, axis: Axes = -1, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, positive("epsilon", epsilon)
        self.fixed_axes = axes_of(axis)

    def build(self, input_shape: Shape) -> None:
        """Make ``scale``."""
        n = len(input_shape)
        shape = extents(self, input_shape, sorted(self.fixed_axes, key=lambda a: a % n))
        self.scale = self.add_weight(shape, "ones")

    def call(self, x: Any) -> Any:
        """The normalised batch."""
        return nn.rms_norm(x, self.scale, self.fixed_axes, self.epsilon)


class UnitNormalization(Layer):
    """Each sample divided by its length along ``axis``.

    Args:
        axis: one or several.
        options: those of every :class:`Layer`.

    Example:
        >>> UnitNormalization()(np.array([[3.0, 4.0]]))
        array([[0.6, 0.8]], dtype=float32)
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, axis: Axes = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, x: Any) -> Any:
        """The batch in unit length."""
        return unit(x, self.axis if isinstance(self.axis, int) else tuple(self.axis))


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)`` with the statistics of the whole data, which :meth:`adapt` takes in.

    Args:
        axis: axes with a mean and a variance of their own for each index; None: one for all.
        mean: the means, in place of ``adapt``.
        variance: the variances.
        invert: whether to undo it: ``x * sqrt(variance) + mean``.
        options: those of every :class:`Layer`.

    Example:
        >>> layer = Normalization()
        >>> layer.adapt(np.array([[1.0, 0.0], [3.0, 10.0]]))
        >>> layer(np.array([[3.0, 5.0]]))
        array([[1., 0.]], dtype=float32)
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, axis: Axes | None = -1, mean: Any = None, variance: Any = None, invert: bool = False,
                 **options: Any) -> None:
        super().__init__(**options)
        if (mean is None) != (variance is None):
            raise ArgumentError.of(f"layer {self.name!r} (Normalization) got a mean without a variance, or the reverse",
                                   "both, or none of them and adapt", "Normalization(mean=0.0, variance=1.0)")
        self.axis, self.mean, self.variance, self.invert = axis, mean, variance, bool(invert)
        self.axes = () if axis is None else axes_of(axis)

    def build(self, input_shape: Shape) -> None:
        """Make room for the statistics."""
        shape = extents(self, input_shape, self.axes)
        self.adapted_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.adapted_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
        self.count = self.add_weight((), "zeros", trainable=False, dtype="int32")
        if self.mean is not None:
            self.adapted_mean = np.broadcast_to(np.asarray(self.mean, FLOAT), shape)
            self.adapted_variance = np.broadcast_to(np.asarray(self.variance, FLOAT), shape)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Take in the statistics of ``data``, in place of those it had.

        Args:
            data: samples, the first axis counting them.
            batch_size: not needed; taken so that a program for Keras runs.
            steps: likewise.
        """
        if self.mean is not None:
            raise UsageError.of(f"adapt of layer {self.name!r}, which was given its mean and variance",
                                "one of the two", "Normalization()")
        array = np.asarray(data, np.float64)
        if array.ndim == 1:
            array = array[:, None]
        self.ensure_built((None, *array.shape[1:]))
        over = tuple(i for i in range(array.ndim) if i not in {a % array.ndim for a in self.axes})
        self.adapted_mean, self.adapted_variance = array.mean(axis=over), array.var(axis=over)
        self.count = len(array)

    def call(self, x: Any) -> Any:
        """The batch with the statistics taken away, or put back."""
        shape = tuple(n if i in {a % len(x.shape) for a in self.axes} else 1 for i, n in enumerate(x.shape))
        mean = np.reshape(self.adapted_mean, shape)
        deviation = np.maximum(np.sqrt(np.reshape(self.adapted_variance, shape)), np.float32(1e-7))
        return x * deviation + mean if self.invert else (x - mean) / deviation


def extents(layer: Layer, input_shape: Shape, axes: Sequence[int]) -> tuple[int, ...]:
    """The extents of a layer's input along axes; an error where there are none."""
    n = len(input_shape)
    if any(not -n <= a < n or a % n == 0 or input_shape[a] is None for a in axes):
        raise ShapeError.of(f"layer {layer.name!r} ({type(layer).__name__}) got an input of shape {input_shape} for "
                            f"axis={list(axes)}", "axes of known extent, not the batch", "axis=-1")
    return tuple(int(input_shape[a]) for a in axes)  # type: ignore[arg-type]


def axes_of(axis: Axes) -> tuple[int, ...]:
    """One axis or several as a tuple."""
    return (axis,) if isinstance(axis, int) else tuple(axis)


__all__ = ["BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "RMSNormalization",
           "UnitNormalization"]
