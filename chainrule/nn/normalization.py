"""Normalisations: mean 0 and variance 1 over some axes, and what is learned on top.

Of half types mean, variance and what they normalise are computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.autodiff.custom import custom_jvp
from chainrule.dtypes import FLOAT32, is_half
from chainrule.errors import ShapeError
from chainrule.numpy.common import axes_of, axis_of, reshaped
from chainrule.ops.declare import common_dtype, convert, dtype_of, shape_of

Axes = int | Sequence[int]


def moments(x: Any, axis: Axes | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """Mean and variance (divided by the count) over axes: the statistics of :func:`batch_norm`.

    Example:
        >>> moments(np.array([[1.0, 2.0], [3.0, 6.0]]), axis=0)
        (array([2., 4.]), array([1., 4.]))
    """
    found = tuple(_rounded(part, x) for part in _moments(_wide(x), axis))
    if keepdims:
        return found
    axes = axes_of(axis, len(shape_of(x)))
    shape = tuple(n for i, n in enumerate(shape_of(x)) if i not in axes)
    return reshaped(found[0], shape), reshaped(found[1], shape)


def _moments(x: Any, axis: Axes | None) -> tuple[Any, Any]:
    return _mean_and_variance(x, axes_of(axis, len(shape_of(x))))


@custom_jvp
def _mean_and_variance(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    mean = _mean(x, axes)
    return mean, _mean(np.square(x - mean), axes)


def _mean(x: Any, axes: tuple[int, ...]) -> Any:
    """The mean with its axes kept. Where the last axis is one, but not those before, down the columns first."""
    last = len(shape_of(x)) - 1
    if last in axes and last - 1 not in axes and len(axes) > 1:
        x = np.mean(x, axis=tuple(a for a in axes if a != last), keepdims=True)
        axes = (last,)
    return np.mean(x, axis=axes, keepdims=True)


@_mean_and_variance.defjvp
def _tangents_of_moments(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """The mean's own change adds nothing to the variance's: Σ (x - mean) = 0 need not be computed."""
    (x, axes), t = primals, tangents[0]
    mean, variance = _mean_and_variance(x, axes)
    sloped = _mean((x - mean) * t, axes)
    return (mean, variance), (_mean(t, axes), sloped + sloped)


@custom_jvp
def _scaled(x: Any, mean: Any, factor: Any) -> Any:
    return (x - mean) * factor


@_scaled.defjvp
def _tangent_of_scaled(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """The mean's part is a product before it is spread out: its gradient is the sum that an offset's is, scaled."""
    (x, mean, factor), (dx, d_mean, d_factor) = primals, tangents
    return _scaled(x, mean, factor), dx * factor + (x - mean) * d_factor + -(d_mean * factor)


def _wide(x: Any) -> Any:
    """An array in which sums are computed: half types in float32."""
    return convert(x, FLOAT32) if is_half(dtype_of(x)) else x


def _rounded(result: Any, *given: Any) -> Any:
    """A result in the half type of what was given, if it is one."""
    dtype = common_dtype(given)
    return convert(result, dtype) if is_half(dtype) else result


def layer_norm(x: Any, scale: Any = None, offset: Any = None, axis: Axes = -1, epsilon: float = 1e-3) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` with mean and variance over ``axis``.

    Args:
        x: floats of any shape.
        scale: the shape of the normalised axes, in the order of ``x``; None is 1.
        offset: likewise; None is 0.
        axis: one or several.
        epsilon: keeps the root away from 0.

    Example:
        >>> layer_norm(np.array([[1.0, 3.0]]), epsilon=0.0)
        array([[-1.,  1.]])

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    axes = axes_of(axis, len(shape_of(x)))
    wide = _wide(x)
    mean, variance = _moments(wide, axes)
    return _adjusted(_rounded(_scaled(wide, mean, _reciprocal(variance, epsilon)), x), scale, offset, axes)


def rms_norm(x: Any, scale: Any = None, axis: Axes = -1, epsilon: float = 1e-6) -> Any:
    """``x / sqrt(mean(x²) + epsilon) * scale`` with the mean over ``axis``.

    Args:
        x: floats of any shape.
        scale: the shape of the normalised axes, in the order of ``x``; None is 1.
        axis: one or several.
        epsilon: keeps the root away from 0.

    Example:
        >>> rms_norm(np.array([[3.0, 4.0]])).round(4)
        array([[0.8485, 1.1314]])

    Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
    """
    axes = axes_of(axis, len(shape_of(x)))
    wide = _wide(x)
    out = wide * _reciprocal(np.mean(np.square(wide), axis=axes, keepdims=True), epsilon)
    return _adjusted(_rounded(out, x), scale, None, axes)


def batch_norm(x: Any, mean: Any, variance: Any, scale: Any = None, offset: Any = None, axis: int = -1,
               epsilon: float = 1e-3) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, all of them vectors along ``axis``.

    While training, mean and variance are :func:`moments` of the batch over all other axes; later, running means of
    these.

    Args:
        x: floats of any shape.
        mean: of shape ``(x.shape[axis],)``, as are ``variance``, ``scale`` and ``offset``.
        variance: see ``mean``.
        scale: None is 1.
        offset: None is 0.
        axis: that of the channels.
        epsilon: keeps the root away from 0.

    Example:
        >>> x = np.array([[1.0, 2.0], [3.0, 6.0]])
        >>> batch_norm(x, *moments(x, axis=0), epsilon=0.0)
        array([[-1., -1.],
               [ 1.,  1.]])

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """
    at = (axis_of(axis, len(shape_of(x))),)
    mean, variance = _along("mean", mean, x, at), _along("variance", variance, x, at)
    factor = _reciprocal(_wide(variance), epsilon)
    if scale is None or is_half(common_dtype((x, mean, variance))):
        return _adjusted(_rounded(_scaled(_wide(x), _wide(mean), factor), x, mean, variance), scale, offset, at)
    return _adjusted(_scaled(x, mean, factor * _along("scale", scale, x, at)), None, offset, at)


def group_norm(x: Any, groups: int, scale: Any = None, offset: Any = None, axis: int = -1,
               epsilon: float = 1e-3) -> Any:
    """Each sample's channels in ``groups`` of equal size, each with its mean and variance over all positions.

    One group is layer normalisation over all axes but the first; a group for every channel is instance normalisation.

    Args:
        x: floats, the first axis the batch.
        groups: a divisor of the number of channels.
        scale: of shape ``(channels,)``; None is 1.
        offset: likewise; None is 0.
        axis: that of the channels.
        epsilon: keeps the root away from 0.

    Example:
        >>> group_norm(np.array([[1.0, 3.0, 10.0, 20.0]]), 2, epsilon=0.0)
        array([[-1.,  1., -1.,  1.]])

    Source: Wu and He, "Group normalization", ECCV 2018.
    """
    shape = shape_of(x)
    at = axis_of(axis, len(shape))
    if at == 0 or shape[at] % whole("groups", groups):
        raise ShapeError.of(f"the function group_norm with {groups} groups over axis {axis} of shape {shape}",
                            "a channel axis after the batch, its extent a multiple of groups", "groups=1")
    apart = reshaped(_wide(x), (*shape[:at], groups, shape[at] // groups, *shape[at + 1:]))
    mean, variance = _moments(apart, tuple(i for i in range(1, len(shape) + 1) if i != at))
    out = _rounded(_scaled(apart, mean, _reciprocal(variance, epsilon)), x)
    return _adjusted(reshaped(out, shape), scale, offset, (at,))


def _reciprocal(variance: Any, epsilon: float) -> Any:
    """One division for all that one variance normalises."""
    return 1.0 / np.sqrt(variance + epsilon)


def _adjusted(x: Any, scale: Any, offset: Any, axes: tuple[int, ...]) -> Any:
    if scale is not None:
        x = x * _along("scale", scale, x, axes)
    return x if offset is None else x + _along("offset", offset, x, axes)


def _along(name: str, parameter: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A parameter of the extents of ``axes``, shaped to broadcast against ``x``."""
    shape = shape_of(x)
    fits = tuple(shape[a] for a in axes)
    if shape_of(parameter) != fits:
        raise ShapeError.of(f"got {name} of shape {shape_of(parameter)} for axes {axes} of an array of shape {shape}",
                            f"shape {fits}", f"{name}=np.ones({fits})")
    return np.reshape(parameter, tuple(n if i in axes else 1 for i, n in enumerate(shape)))
