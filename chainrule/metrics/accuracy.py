"""Accuracies: how often a prediction is right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.activations import logits_of
from chainrule.arguments import whole
from chainrule.errors import ArgumentError
from chainrule.losses.base import is_label, matched, positions
from chainrule.metrics.base import MeanMetric
from chainrule.ops import elementwise as ew
from chainrule.ops.reduce import max_, min_, spread
from chainrule.ops.structure import reshape


class Accuracy(MeanMetric):
    """How often predictions equal targets exactly.

    Example:
        >>> round(float(Accuracy()([[1], [2], [3]], [[1], [2], [4]])), 4)
        0.6667
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each equal element."""
        return ew.eq(*matched(y_true, y_pred))


class BinaryAccuracy(MeanMetric):
    """How often a prediction is on the same side of ``threshold`` as its target, which is 0 or 1.

    Example:
        >>> float(BinaryAccuracy()([[1.0], [0.0]], [[0.9], [0.6]]))
        0.5
    """

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        if not 0 < threshold < 1:
            raise ArgumentError.of(f"got threshold={threshold}", "a number between 0 and 1", "threshold=0.5")
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right element."""
        y_true, y_pred = matched(y_true, y_pred)
        logits = logits_of(y_pred, "sigmoid")
        if logits is None:
            above = ew.gt(y_pred, self.threshold)
        else:  # the same question before the sigmoid, which training then need not compute for it
            above = ew.gt(logits, math.log(self.threshold / (1 - self.threshold)))
        right = ew.eq(y_true, ew.cast(above, dtype=y_true.dtype))
        one = len(right.shape) > 1 and right.shape[-1] == 1
        return reshape(right, shape=tuple(right.shape[:-1])) if one else right


class CategoricalAccuracy(MeanMetric):
    """How often the largest prediction is where the largest element of the one-hot target is.

    Example:
        >>> float(CategoricalAccuracy()([[0.0, 1.0]], [[0.2, 0.8]]))
        1.0
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        y_true, y_pred = matched(y_true, y_pred)
        return ew.eq(argmax(y_true), argmax(_scores(y_pred)))


class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest prediction is at the class that the target, a whole number, names.

    Example:
        >>> float(SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.3, 0.7]]))
        0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        label = y_true if tuple(y_true.shape) == tuple(y_pred.shape[:-1]) else reshape(y_true, shape=y_pred.shape[:-1])
        return ew.eq(argmax(_scores(y_pred)), ew.cast(label, dtype=np.dtype(np.int32)))


class TopKCategoricalAccuracy(MeanMetric):
    """How often the class of the one-hot target is among the ``k`` largest predictions, ties to its favour.

    Example:
        >>> float(TopKCategoricalAccuracy(k=2)([[0.0, 0.0, 1.0]], [[0.5, 0.2, 0.3]]))
        1.0
    """

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.k = whole("k", k)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        y_true, y_pred = matched(y_true, y_pred)
        return _in_top(ew.eq(positions(y_pred, np.int32), spread(argmax(y_true), _last(y_pred), y_pred.shape)),
                       y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the class that the target, a whole number, names is among the ``k`` largest predictions.

    With ``from_sorted_ids`` predictions are classes, the most probable first.

    Example:
        >>> float(SparseTopKCategoricalAccuracy(k=1)([2], [[0.5, 0.2, 0.3]]))
        0.0
    """

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy", dtype: Any = None,
                 from_sorted_ids: bool = False) -> None:
        super().__init__(name, dtype)
        self.k, self.from_sorted_ids = whole("k", k), bool(from_sorted_ids)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        if self.from_sorted_ids:
            label = np.reshape(y_true, (*y_pred.shape[:-1], 1))
            return np.any(y_pred[..., :self.k] == label.astype(y_pred.dtype), axis=-1)
        return _in_top(is_label(y_true, y_pred), y_pred, self.k)


def _in_top(chosen: Any, y_pred: Any, k: int) -> Any:
    """Whether fewer than k scores lie above the chosen one."""
    scores = _scores(y_pred)
    score = np.sum(np.where(chosen, scores, 0.0), axis=-1, keepdims=True)
    above = np.sum((scores > score).astype(np.int32), axis=-1)
    return (above < k) & (score[..., 0] == score[..., 0])  # NaN is never right


def _last(x: Any) -> tuple[int, ...]:
    return (len(x.shape) - 1,)


def argmax(x: Any) -> Any:
    """Where along the last axis the largest element is, the first of equal ones (int32)."""
    last = (len(x.shape) - 1,)
    where = positions(x, np.int32)
    largest = ew.eq(x, spread(max_(x, axes=last), last, x.shape))
    # a row with a NaN has no largest element: its place is none, beyond the end
    return min_(ew.select(largest, where, np.int32(x.shape[-1])), axes=last)


def _scores(y_pred: Any) -> Any:
    """What has its largest element where the prediction has it: the logits of a recorded softmax, else itself."""
    logits = logits_of(y_pred, "softmax")
    return y_pred if logits is None else logits
