"""Normalisations: mean 0 and variance 1 over some axes, and what is learned on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ShapeError
from chainrule.numpy.common import axes_of, axis_of, reshaped
from chainrule.ops.declare import shape_of

Axes = int | Sequence[int]


def moments(x: Any, axis: Axes | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """Mean and variance (divided by the count) over axes: the statistics of :func:`batch_norm`.

    Example:
        >>> moments(np.array([[1.0, 2.0], [3.0, 6.0]]), axis=0)
        (array([2., 4.]), array([1., 4.]))
    """
    mean = np.mean(x, axis=axis, keepdims=True)
    variance = np.mean(np.square(x - mean), axis=axis, keepdims=True)
    if keepdims:
        return mean, variance
    axes = axes_of(axis, len(shape_of(x)))
    shape = tuple(n for i, n in enumerate(shape_of(x)) if i not in axes)
    return reshaped(mean, shape), reshaped(variance, shape)


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
    mean, variance = moments(x, axes, keepdims=True)
    return _adjusted((x - mean) / np.sqrt(variance + epsilon), scale, offset, axes)


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
    return _adjusted(x / np.sqrt(np.mean(np.square(x), axis=axes, keepdims=True) + epsilon), scale, None, axes)


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
    return _adjusted((x - mean) / np.sqrt(variance + epsilon), scale, offset, at)


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
    apart = reshaped(x, (*shape[:at], groups, shape[at] // groups, *shape[at + 1:]))
    mean, variance = moments(apart, tuple(i for i in range(1, len(shape) + 1) if i != at), keepdims=True)
    return _adjusted(reshaped((apart - mean) / np.sqrt(variance + epsilon), shape), scale, offset, (at,))


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
