"""Losses of numbers: errors, squared, absolute, relative, and distances of directions and distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.arguments import positive
from chainrule.losses.base import EPSILON, Loss, Plain, axis_last, matched, mean, total, whole_axis
from chainrule.ops import elementwise as ew


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``(y_true - y_pred)²``.

    Example:
        >>> mean_squared_error(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
        array([0.5])
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = ew.sub(y_pred, y_true)
    return mean(ew.mul(error, error))


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``|y_true - y_pred|``.

    Example:
        >>> mean_absolute_error(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
        array([0.5])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return mean(ew.abs_(ew.sub(y_pred, y_true)))


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``100 |y_true - y_pred| / |y_true|``, targets nearer to 0 than 1e-7 as if 1e-7.

    Example:
        >>> mean_absolute_percentage_error(np.array([[2.0, 4.0]]), np.array([[1.0, 5.0]]))
        array([37.5])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return 100.0 * mean(np.abs(y_true - y_pred) / np.maximum(np.abs(y_true), EPSILON))


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``(log(1 + y_true) - log(1 + y_pred))²``, numbers below 1e-7 as if 1e-7.

    Example:
        >>> mean_squared_logarithmic_error(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]])).round(4)
        array([0.2402])
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = np.log(np.maximum(y_pred, EPSILON) + 1.0) - np.log(np.maximum(y_true, EPSILON) + 1.0)
    return mean(error * error)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """The mean over the last axis of ``e²/2`` for errors up to ``delta``, of ``delta |e| - delta²/2`` above.

    Example:
        >>> huber(np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
        array([1.5])

    Source: Huber, "Robust estimation of a location parameter", 1964.
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = ew.sub(y_pred, y_true)
    size = ew.abs_(error)
    near = ew.mul(ew.mul(error, error), 0.5)
    return mean(ew.select(ew.le(size, delta), near, ew.sub(ew.mul(size, delta), 0.5 * delta * delta)))


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``log(cosh(y_pred - y_true))``: near e²/2 for small errors, |e| - log 2 for large.

    Example:
        >>> log_cosh(np.array([[0.0, 0.0]]), np.array([[0.0, 100.0]])).round(3)
        array([49.653])
    """
    y_true, y_pred = matched(y_true, y_pred)
    size = np.abs(y_pred - y_true)
    return mean(size + ew.softplus(size * -2.0) - math.log(2.0))


def poisson(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``y_pred - y_true log(y_pred + 1e-7)``: for counts and their expected number.

    Example:
        >>> poisson(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])).round(4)
        array([1.])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return mean(y_pred - y_true * np.log(y_pred + EPSILON))


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """The sum over the last axis of ``y_true log(y_true / y_pred)``, both at least 1e-7 and at most 1.

    Example:
        >>> kl_divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4)
        array([0.1438])

    Source: Kullback and Leibler, "On information and sufficiency", 1951.
    """
    y_true, y_pred = matched(y_true, y_pred)
    y_true, y_pred = (np.minimum(np.maximum(p, EPSILON), 1.0) for p in (y_true, y_pred))
    return total(y_true * np.log(y_true / y_pred))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between the vectors along ``axis``: -1 for one direction, 1 for opposite ones.

    Example:
        >>> cosine_similarity(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]])).round(4)
        array([-0.6])
    """
    y_true, y_pred = (axis_last(y, axis) for y in matched(y_true, y_pred))
    return -total(_normalized(y_true) * _normalized(y_pred))


def _normalized(x: Any) -> Any:
    return x / np.sqrt(np.maximum(np.sum(x * x, axis=-1, keepdims=True), EPSILON**2))


class MeanSquaredError(Plain):
    """The mean of the squared errors: :func:`mean_squared_error`.

    Example:
        >>> float(MeanSquaredError()([[0.0], [2.0]], [[1.0], [2.0]]))
        0.5
        >>> float(MeanSquaredError()([[0.0], [2.0]], [[1.0], [2.0]], sample_weight=[0.2, 1.0]))
        0.1
    """

    function = staticmethod(mean_squared_error)


class MeanAbsoluteError(Plain):
    """The mean of the absolute errors: :func:`mean_absolute_error`."""

    function = staticmethod(mean_absolute_error)


class MeanAbsolutePercentageError(Plain):
    """The mean of the relative errors in percent: :func:`mean_absolute_percentage_error`."""

    function = staticmethod(mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(Plain):
    """The mean of the squared errors of the logarithms: :func:`mean_squared_logarithmic_error`."""

    function = staticmethod(mean_squared_logarithmic_error)


class LogCosh(Plain):
    """A smooth mean absolute error: :func:`log_cosh`."""

    function = staticmethod(log_cosh)


class Poisson(Plain):
    """For counts: :func:`poisson`."""

    function = staticmethod(poisson)


class KLDivergence(Plain):
    """The divergence of one distribution from another: :func:`kl_divergence`."""

    labels = "probabilities"
    function = staticmethod(kl_divergence)


class Huber(Loss):
    """Quadratic up to ``delta``, linear above: :func:`huber`."""

    def __init__(self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size",
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = positive("delta", delta)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The Huber loss of each sample."""
        return huber(y_true, y_pred, self.delta)


class CosineSimilarity(Loss):
    """How far directions are from each other: :func:`cosine_similarity`."""

    def __init__(self, axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str | None = None,
                 dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Minus the cosine of each sample."""
        return cosine_similarity(y_true, y_pred, self.axis)
