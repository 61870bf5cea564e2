"""Metrics of right and wrong decisions: their numbers, precision, recall, F-scores.

What is added up is a histogram each for the positive and the negative samples: how many thresholds a prediction
exceeds. The counts at all thresholds, true and false positives and negatives, follow from these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.arguments import positive, share, whole
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.losses.base import fitted, matched
from chainrule.metrics.base import Metric, Shape, Sums, ratio
from chainrule.numpy import at

_LOWEST = -1e10  # what every prediction exceeds


class Confusion(Metric):
    """Base of metrics that are functions of the numbers of true and false positives and negatives.

    A subclass defines ``value(tp, fp, tn, fn)``, each an array with an entry per threshold.

    Args:
        thresholds: a prediction above counts as positive; one number or several, 0.5 by default.
        top_k: only the k largest predictions of a sample may be positive; without thresholds they all are.
        class_id: only this class counts.
        name: what the value is reported as.
        dtype: of the value.
    """

    def __init__(self, thresholds: Any = None, top_k: int | None = None, class_id: int | None = None,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        default = 0.5 if top_k is None else _LOWEST
        given = np.atleast_1d(np.asarray(default if thresholds is None else thresholds, float))
        if given.ndim != 1 or not given.size or (thresholds is not None and not np.all((given >= 0) & (given <= 1))):
            raise ArgumentError.of(f"got thresholds={thresholds!r}", "a number from 0 to 1, or several",
                                   "thresholds=[0.25, 0.5, 0.75]")
        self._order = np.argsort(given, kind="stable")
        self.thresholds, self.single = given[self._order], np.ndim(thresholds) == 0
        self.top_k = None if top_k is None else whole("top_k", top_k)
        self.class_id = None if class_id is None else whole("class_id", class_id, least=0)

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """Two histograms."""
        n = len(self.thresholds) + 1
        return {"positive": (n,), "negative": (n,)}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The histograms of a batch."""
        y_true, y_pred = matched(y_true, y_pred)
        if not dtypes.is_float(y_pred.dtype):
            y_pred = y_pred.astype(np.float32)
        if self.class_id is not None and (len(y_pred.shape) != 2 or self.class_id >= y_pred.shape[-1]):
            raise ShapeError.of(f"metric {self.name!r} of class {self.class_id} got predictions of shape "
                                f"{tuple(y_pred.shape)}", f"(batch, classes), more than {self.class_id} classes",
                                "class_id=None")
        weights = None if sample_weight is None else fitted(sample_weight, y_pred)
        y_pred = self.scores(y_pred)
        if self.top_k is not None:
            rank = np.argsort(np.argsort(-y_pred, axis=-1, stable=True), axis=-1)  # of equal ones the first goes first
            y_pred = np.where(rank < self.top_k, y_pred, np.asarray(-np.inf, y_pred.dtype))
        if self.class_id is not None:
            y_true, y_pred = y_true[..., self.class_id], y_pred[..., self.class_id]
            weights = None if weights is None else weights[..., self.class_id]
        positive = (y_true != 0).astype(y_pred.dtype)
        weights = np.ones(positive.shape, positive.dtype) if weights is None else weights
        return {"positive": self._histogram(y_pred, positive * weights),
                "negative": self._histogram(y_pred, (1.0 - positive) * weights)}

    def scores(self, y_pred: Any) -> Any:
        """What is compared with the thresholds."""
        return y_pred

    def _histogram(self, scores: Any, weights: Any) -> Any:
        edges = self.thresholds.astype(scores.dtype)
        if len(edges) == 1:
            above = (scores > edges[0]).astype(weights.dtype)
            return np.stack([np.sum(weights * (1.0 - above)), np.sum(weights * above)])
        exceeded = np.searchsorted(edges, np.ravel(scores), side="left")
        return at(np.zeros(len(edges) + 1, weights.dtype), exceeded).add(np.ravel(weights))

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The value at each threshold, in the order they were given; a number for a single one."""
        fn, tn = np.cumsum(sums["positive"], axis=0)[:-1], np.cumsum(sums["negative"], axis=0)[:-1]
        tp, fp = np.sum(sums["positive"], axis=0) - fn, np.sum(sums["negative"], axis=0) - tn
        value = self.value(tp, fp, tn, fn)
        if value.shape != (len(self.thresholds),):
            return value
        return value[0] if self.single else value[np.argsort(self._order)]

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The value from the counts."""
        raise NotImplementedError


class _Count(Confusion):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, None, None, name, dtype)


class TruePositives(_Count):
    """The number of positives that were found. Arguments: thresholds, name, dtype, as of :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return tp


class FalsePositives(_Count):
    """The number of negatives taken for positives. Arguments: thresholds, name, dtype, as of :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return fp


class TrueNegatives(_Count):
    """The number of negatives that were left alone. Arguments: thresholds, name, dtype, as of :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return tn


class FalseNegatives(_Count):
    """The number of positives that were missed. Arguments: thresholds, name, dtype, as of :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return fn


class Precision(Confusion):
    """The share of true ones among what was taken for positive. Arguments: see :class:`Confusion`.

    Example:
        >>> float(Precision()([0, 1, 1, 1], [1, 0, 1, 1]).round(4))
        0.6667
    """

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """``tp / (tp + fp)``."""
        return ratio(tp, tp + fp)


class Recall(Confusion):
    """The share of the positives that was found. Arguments: see :class:`Confusion`.

    Example:
        >>> float(Recall()([0, 1, 1, 1], [1, 0, 1, 1]).round(4))
        0.6667
    """

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """``tp / (tp + fn)``."""
        return ratio(tp, tp + fn)


class FBetaScore(Metric):
    """``(1 + β²) precision recall / (β² precision + recall)`` of each class, and their average.

    Args:
        average: ``None`` for a value per class, ``"micro"`` (all classes counted together), ``"macro"`` (the mean) or
            ``"weighted"`` (by the number of samples of each class).
        beta: how much more recall counts than precision.
        threshold: predictions above are positive; None: the largest of each sample.
        name: what the value is reported as.
        dtype: of the value.

    Example:
        >>> float(FBetaScore("micro", beta=2.0, threshold=0.5)([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.8]]).round(4))
        0.7143
    """

    def __init__(self, average: str | None = None, beta: float = 1.0, threshold: float | None = None,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise unknown_name("average", average, ("micro", "macro", "weighted"))
        self.average, self.beta = average, positive("beta", beta)
        self.threshold = None if threshold is None else share("threshold", positive("threshold", threshold), one=True)

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """Counts per class."""
        n = output_shape[-1] or 1
        return {"tp": (n,), "fp": (n,), "fn": (n,)}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The counts of a batch."""
        y_true, y_pred = matched(y_true, y_pred)
        if len(y_pred.shape) != 2:
            raise ShapeError.of(f"metric {self.name!r} got predictions of shape {tuple(y_pred.shape)}",
                                "(batch, classes)", "y_pred[:, None]")
        if self.threshold is None:
            largest = np.max(y_pred, axis=-1, keepdims=True)
            found = ((y_pred >= largest) & (np.abs(y_pred) > 1e-9)).astype(y_pred.dtype)
        else:
            found = (y_pred > self.threshold).astype(y_pred.dtype)
        real = y_true.astype(y_pred.dtype)
        weights = 1.0 if sample_weight is None else fitted(sample_weight, y_pred)
        axes = tuple(range(len(y_pred.shape) - 1))
        return {"tp": np.sum(found * real * weights, axis=axes), "fp": np.sum(found * (1 - real) * weights, axis=axes),
                "fn": np.sum((1 - found) * real * weights, axis=axes)}

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The score."""
        tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
        share_of = tp + fn
        if self.average == "micro":
            tp, fp, fn = np.sum(tp), np.sum(fp), np.sum(fn)
        precision, recall, square = ratio(tp, tp + fp), ratio(tp, tp + fn), self.beta**2
        score = ratio((1 + square) * precision * recall, square * precision + recall)
        if self.average == "macro":
            return np.mean(score)
        return np.sum(score * ratio(share_of, np.sum(share_of))) if self.average == "weighted" else score


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: :class:`FBetaScore` with β = 1.

    Example:
        >>> F1Score(threshold=0.5)([[1, 1], [1, 0], [0, 0]], [[0.2, 0.6], [0.7, 0.2], [0.6, 0.8]]).round(4)
        array([0.5   , 0.6667])
    """

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str = "f1_score",
                 dtype: Any = None) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
