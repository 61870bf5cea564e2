"""Normalisation: of a batch, of a sample, of groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import constraints, initializers, nn, regularizers
from chainrule.arguments import not_negative, share, whole
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.merge import unit
from chainrule.ops.elementwise import stop_gradient

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
        renorm: whether, while training, ``(x - mean) / deviation`` of the batch is corrected to what slower means
            would make of it: times r, plus d, both without gradient.
        renorm_clipping: limits ``rmin``, ``rmax`` of r and ``dmax`` of the size of d; what is left out is none.
        renorm_momentum: of those slower means.
        synchronized: False; there is one device.
        options: ``beta_regularizer``, ``gamma_regularizer``, ``beta_constraint``, ``gamma_constraint``, and those of
            every :class:`Layer`.

    Example:
        >>> layer = BatchNormalization()
        >>> layer(np.array([[1.0], [3.0]]), training=True).round(3).ravel()
        array([-1.,  1.], dtype=float32)
        >>> layer.moving_mean.round(4)
        array([0.02], dtype=float32)

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015; Ioffe, "Batch renormalization", NeurIPS 2017.
    """

    def __init__(self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True, beta_initializer: Any = "zeros", gamma_initializer: Any = "ones",
                 moving_mean_initializer: Any = "zeros", moving_variance_initializer: Any = "ones", *,
                 renorm: bool = False, renorm_clipping: dict[str, float] | None = None, renorm_momentum: float = 0.99,
                 synchronized: bool = False, **options: Any) -> None:
        super().__init__(center, scale, beta_initializer, gamma_initializer, **options)
        self.renorm, self.renorm_clipping = bool(renorm), dict(renorm_clipping or {})
        self.renorm_momentum = share("renorm_momentum", renorm_momentum, one=True)
        limits = self.renorm_clipping
        if synchronized or set(limits) - {"rmin", "rmax", "dmax"} or limits.get("dmax", 0.0) < 0 or \
                limits.get("rmin", -np.inf) > limits.get("rmax", np.inf):
            raise ArgumentError.of(f"layer {self.name!r} got synchronized={synchronized}, renorm_clipping={limits}",
                                   "one device; limits rmin up to rmax, and dmax not below 0",
                                   "renorm_clipping={'rmin': 0.3, 'rmax': 3.0, 'dmax': 5.0}")
        self.axis, self.momentum = axis, share("momentum", momentum, one=True)
        self.epsilon = not_negative("epsilon", epsilon)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.fixed_axes = (axis,)

    def build(self, input_shape: Shape) -> None:
        """Make ``gamma``, ``beta`` and the running means."""
        shape = extents(self, input_shape, [self.axis])
        self.add_parameters(shape)
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(shape, self.moving_variance_initializer, trainable=False)
        if self.renorm:
            self.moving_stddev = self.add_weight(shape, self._first_deviation, trainable=False)
            self.renorm_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False)
            self.renorm_stddev = self.add_weight(shape, self._first_deviation, trainable=False)

    def _first_deviation(self, shape: Any, dtype: Any) -> Any:
        return np.sqrt(self.moving_variance_initializer(shape, dtype))

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """The normalised batch."""
        gamma, beta = self.parameters
        if not (training and self.trainable):
            return nn.batch_norm(x, self.moving_mean, self.moving_variance, gamma, beta, self.axis, self.epsilon)
        axes = tuple(i for i in range(len(x.shape)) if i != self.axis % len(x.shape))
        if mask is not None and len(mask.shape) != len(x.shape) - 1:
            raise ShapeError.of(f"layer {self.name!r} (BatchNormalization) got a mask of shape {tuple(mask.shape)} for "
                                f"a batch of shape {tuple(x.shape)}", "one axis less", "mask[..., 0]")
        mean, variance = nn.moments(x, axes) if mask is None else _masked_moments(x, mask, axes)
        keep = np.float32(self.momentum)
        self.moving_mean = self.moving_mean * keep + mean * (1 - keep)
        if self.renorm:
            gamma, beta = self._corrected(mean, np.sqrt(variance + np.float32(self.epsilon)))
            return nn.batch_norm(x, mean, variance, gamma, beta, self.axis, self.epsilon)
        self.moving_variance = self.moving_variance * keep + variance * (1 - keep)
        return nn.batch_norm(x, mean, variance, gamma, beta, self.axis, self.epsilon)


    def _corrected(self, mean: Any, deviation: Any) -> tuple[Any, Any]:
        """``r gamma`` and ``d gamma + beta``; and the slower means take in this batch."""
        limits, epsilon = self.renorm_clipping, np.float32(self.epsilon)
        slow = np.maximum(self.renorm_stddev, np.sqrt(epsilon))
        r, d = deviation / slow, (mean - self.renorm_mean) / slow
        r = np.minimum(np.maximum(r, limits.get("rmin", -np.inf)), limits.get("rmax", np.inf))
        d = np.minimum(np.maximum(d, -limits.get("dmax", np.inf)), limits.get("dmax", np.inf))
        r, d = stop_gradient(r), stop_gradient(d)
        keep, slowly = np.float32(self.momentum), np.float32(self.renorm_momentum)
        self.renorm_mean = self.renorm_mean * slowly + mean * (1 - slowly)
        self.renorm_stddev = self.renorm_stddev * slowly + deviation * (1 - slowly)
        moving = self.moving_stddev * keep + deviation * (1 - keep)
        self.moving_stddev, self.moving_variance = moving, np.maximum(moving * moving - epsilon, 0)
        gamma, beta = self.parameters
        factor, summand = (r, d) if gamma is None else (r * gamma, d * gamma)
        return factor, summand if beta is None else summand + beta


def _masked_moments(x: Any, mask: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and variance of the steps that the mask does not skip."""
    share = np.where(np.reshape(mask, (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape)))),
                     np.float32(1), np.float32(0))
    weights = np.broadcast_to(share, x.shape)
    total = np.sum(weights, axis=axes, keepdims=True) + np.float32(1e-7)
    x = np.where(weights != 0, x, np.float32(0))  # also where what is skipped is NaN
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
        self.axis, self.epsilon = axis, not_negative("epsilon", epsilon)
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
        self.groups = groups if groups == -1 else whole("groups", groups)
        self.axis, self.epsilon = axis, not_negative("epsilon", epsilon)
        self.fixed_axes = (axis,)

    def build(self, input_shape: Shape) -> None:
        """Make ``gamma`` and ``beta``."""
        shape = extents(self, input_shape, [self.axis])
        if self.groups == -1:
            self.groups = shape[0]
        if shape[0] % self.groups:
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
        self.axis, self.epsilon = axis, not_negative("epsilon", epsilon)
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
        self.axis, self.axes = axis, axes_of(axis)

    def call(self, x: Any) -> Any:
        """The batch in unit length."""
        return unit(x, self.axes)


def extents(layer: Layer, input_shape: Shape, axes: Sequence[int], batch: bool = False) -> tuple[int, ...]:
    """The extents of a layer's input along axes; an error where there are none, and for the batch if not ``batch``."""
    n = len(input_shape)
    if any(not -n <= a < n or (a % n == 0 and not batch) or input_shape[a] is None for a in axes):
        raise ShapeError.of(f"layer {layer.name!r} ({type(layer).__name__}) got an input of shape {input_shape} for "
                            f"axis={list(axes)}", "axes of known extent, not the batch", "axis=-1")
    return tuple(int(input_shape[a]) for a in axes)  # type: ignore[arg-type]


def axes_of(axis: Axes) -> tuple[int, ...]:
    """One axis or several as a tuple."""
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if not axes or not all(isinstance(a, int | np.integer) for a in axes):
        raise ChainruleTypeError.of(f"got axis={axis!r}", "a whole number, or several", "axis=-1")
    return tuple(int(a) for a in axes)


__all__ = ["BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]
