"""Losses that want a margin between classes, and losses of overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import not_negative
from chainrule.losses.base import EPSILON, Loss, Plain, matched, mean, total


def hinge(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``max(1 - y_true y_pred, 0)``; targets -1 and 1, or 0 and 1 in their place.

    Example:
        >>> hinge(np.array([[0.0, 1.0]]), np.array([[0.5, 3.0]]))
        array([0.75])
    """
    return mean(_margins(y_true, y_pred))


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``max(1 - y_true y_pred, 0)²``; targets as in :func:`hinge`.

    Example:
        >>> squared_hinge(np.array([[-1.0, 1.0]]), np.array([[1.0, 3.0]]))
        array([2.])
    """
    margins = _margins(y_true, y_pred)
    return mean(margins * margins)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``max(1 - the score of the true class + the best other score, 0)`` over the last axis; one-hot targets.

    Scores of the true class count as 0 among the others, as in Keras.

    Example:
        >>> categorical_hinge(np.array([[0.0, 1.0]]), np.array([[0.7, 0.9]])).round(2)
        array([0.8])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return np.maximum(np.max((1.0 - y_true) * y_pred, axis=-1) - total(y_true * y_pred) + 1.0, 0.0)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """``1 - 2 Σ y_true y_pred / (Σ y_true + Σ y_pred)``, the sums over ``axis`` (None: all axes).

    Example:
        >>> float(dice(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])).round(4))
        0.3333

    Source: Milletari, Navab and Ahmadi, "V-Net", 2016.
    """
    y_true, y_pred = matched(y_true, y_pred)
    both = np.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * both / (np.sum(y_true, axis=axis) + np.sum(y_pred, axis=axis) + EPSILON)


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """:func:`dice` with a weight for what is missed (``alpha``) and one for what is too much (``beta``).

    Example:
        >>> float(tversky(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]), alpha=1.0).round(4))
        0.5

    Source: Salehi, Erdogmus and Gholipour, "Tversky loss function for image segmentation", 2017.
    """
    y_true, y_pred = matched(y_true, y_pred)
    both = np.sum(y_true * y_pred, axis=axis)
    missed, surplus = np.sum((1.0 - y_pred) * y_true, axis=axis), np.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - both / (both + missed * alpha + surplus * beta + EPSILON)


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _margins(y_true: Any, y_pred: Any) -> Any:
    y_true, y_pred = matched(y_true, y_pred)
    bits = np.all((y_true == 0.0) | (y_true == 1.0))  # of the whole batch
    return np.maximum(1.0 - np.where(bits, 2.0 * y_true - 1.0, y_true) * y_pred, 0.0)


class Hinge(Plain):
    """For targets -1 and 1: :func:`hinge`."""

    function = staticmethod(hinge)


class SquaredHinge(Plain):
    """For targets -1 and 1: :func:`squared_hinge`."""

    function = staticmethod(squared_hinge)


class CategoricalHinge(Plain):
    """For one-hot targets: :func:`categorical_hinge`."""

    labels = "probabilities"
    function = staticmethod(categorical_hinge)


class Dice(Loss):
    """How little two masks overlap: :func:`dice`."""

    labels = "probabilities"

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None,
                 axis: Any = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = _axes(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One number, or one per element of the axes that are left."""
        return dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """How little two masks overlap: :func:`tversky`."""

    labels = "probabilities"

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, reduction: str | None = "sum_over_batch_size",
                 name: str | None = None, axis: Any = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.beta = not_negative("alpha", alpha), not_negative("beta", beta)
        self.axis = _axes(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One number, or one per element of the axes that are left."""
        return tversky(y_true, y_pred, self.alpha, self.beta, self.axis)
