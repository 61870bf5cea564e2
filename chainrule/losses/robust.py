"""Losses of similarity between samples, and of labels that may be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import positive
from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses.base import Loss, array, is_label
from chainrule.ops import elementwise as ew

_NEVER = -1e30  # the logarithm of nothing, finite so that derivatives are


def circle(y_true: Any, y_pred: Any, ref_labels: Any = None, ref_embeddings: Any = None, remove_diagonal: bool = True,
           gamma: float = 80.0, margin: float = 0.4) -> Any:
    """``softplus(log Σ exp(-γ a (m - d)) + log Σ exp(γ b (1 - m - d)))``: the first sum over references of a sample's
    own class, the second over the others.

    d is 1 minus the cosine, at least 0; ``a = max(m + d, 0)`` and ``b = max(1 + m - d, 0)`` are the pairs' weights.

    Args:
        y_true: ``(batch,)`` whole numbers, the classes.
        y_pred: ``(batch, features)`` of length 1 each.
        ref_labels: classes of the references; None: ``y_true``.
        ref_embeddings: references; None: ``y_pred``.
        remove_diagonal: whether a sample is no reference of itself.
        gamma: γ.
        margin: m.

    Returns:
        ``(batch,)``; 0 where a sample has no reference of its class, or none of another.

    Example:
        >>> y = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> circle(np.array([1, 1, 2]), y, gamma=1.0).round(4)
        array([0.6163, 0.9617, 0.    ])

    Source: Sun et al., "Circle loss: a unified perspective of pair similarity optimization", CVPR 2020.
    """
    y_pred = array(y_pred)
    labels = np.reshape(array(y_true), (-1,)).astype(np.int32)
    references = y_pred if ref_embeddings is None else array(ref_embeddings)
    classes = labels if ref_labels is None else np.reshape(array(ref_labels), (-1,)).astype(np.int32)
    if len(y_pred.shape) != 2 or labels.shape[0] != y_pred.shape[0] or classes.shape[0] != references.shape[0]:
        raise ShapeError.of(f"circle got labels of shape {tuple(labels.shape)} for predictions of shape "
                            f"{tuple(y_pred.shape)}", "(batch,) and (batch, features)",
                            "UnitNormalization()(Dense(8)(x))")
    distance = np.maximum(1.0 - y_pred @ references.T, 0.0)
    same = labels[:, None] == classes[None, :]
    others: Any = np.arange(same.shape[0])[:, None] != np.arange(same.shape[1])
    own = same & others if remove_diagonal else same
    near = np.maximum((margin + distance) * own, 0.0) * (margin - distance) * -gamma
    far = np.maximum((1.0 + margin - distance) * ~same, 0.0) * (1.0 - margin - distance) * gamma
    return ew.softplus(_log_sum(near, own) + _log_sum(far, ~same))


def _log_sum(x: Any, counted: Any) -> Any:
    x = np.where(counted, x, np.asarray(_NEVER, x.dtype))
    largest = ew.stop_gradient(np.max(x, axis=1, keepdims=True))
    return largest[:, 0] + np.log(np.sum(np.exp(x - largest), axis=1))


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float = 0.5) -> Any:
    """``(1 - p^q) / q`` with the probability p of the true class: wrong labels count less than in a cross-entropy.

    Args:
        y_true: whole numbers from 0 to the number of classes - 1.
        y_pred: probabilities of the classes.
        q: between 0 (cross-entropy) and 1 (mean absolute error).

    Example:
        >>> categorical_generalized_cross_entropy(np.array([1]), np.array([[0.75, 0.25]]))
        array([1.])

    Source: Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    NeurIPS 2018.
    """
    y_pred = array(y_pred)
    p = np.sum(np.where(is_label(array(y_true), y_pred), y_pred, np.asarray(0, y_pred.dtype)), axis=-1)
    return (1.0 - p**q) * (1.0 / q)


class Circle(Loss):
    """For labels and vectors of length 1, near each other within a class and apart between classes: :func:`circle`.

    Samples whose loss is 0 do not count.
    """

    labels = "anything"

    def __init__(self, gamma: float = 80.0, margin: float = 0.4, remove_diagonal: bool = True,
                 reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.gamma, self.margin, self.remove_diagonal = positive("gamma", gamma), margin, bool(remove_diagonal)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        return circle(y_true, y_pred, None, None, self.remove_diagonal, self.gamma, self.margin)

    def valid(self, y_true: Any, y_pred: Any) -> Any:
        """Where the loss is above 0."""
        return self.call(y_true, y_pred) > 0


class CategoricalGeneralizedCrossEntropy(Loss):
    """For labels of which some are wrong: :func:`categorical_generalized_cross_entropy`."""

    labels = "classes"

    def __init__(self, q: float = 0.5, reduction: str | None = "sum_over_batch_size", name: str | None = None,
                 dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        if not 0 < q < 1:
            raise ArgumentError.of(f"got q={q!r}", "a number between 0 and 1", "q=0.5")
        self.q = q

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        return categorical_generalized_cross_entropy(y_true, y_pred, self.q)
