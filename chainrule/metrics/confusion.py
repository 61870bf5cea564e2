"""Metrics of right and wrong decisions: precision, recall, the areas under curves.

What is added up is a histogram each for the positive and the negative samples: how many thresholds a prediction
exceeds. The counts at all thresholds, true and false positives and negatives, follow from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.activations import sigmoid
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, unknown_name
from chainrule.losses.base import fitted, matched
from chainrule.metrics.base import Metric, Shape, Sums, ratio
from chainrule.numpy import at

_EPSILON = 1e-7
_LOWEST = -1e10  # what every prediction exceeds


class Confusion(Metric):
    """Base of metrics that are functions of the numbers of true and false positives and negatives.

    A subclass defines ``value(tp, fp, tn, fn)``, each an array with an entry per threshold.

    Args:
        thresholds: a prediction above counts as positive; one number or several, 0.5 by default.
        top_k: only the k largest predictions of a sample may be positive; without thresholds they all are.
        class_id: only this class counts.
        name: what the value is reported as.
    """

    def __init__(self, thresholds: Any = None, top_k: int | None = None, class_id: int | None = None,
                 name: str | None = None) -> None:
        super().__init__(name)
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
        weights = None if sample_weight is None else fitted(sample_weight, y_pred)
        y_pred = self.scores(y_pred)
        if self.top_k is not None:
            least = np.sort(y_pred, axis=-1)[..., -min(self.top_k, y_pred.shape[-1])][..., None]
            y_pred = np.where(y_pred >= least, y_pred, np.asarray(-np.inf, y_pred.dtype))
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
        fn, tn = np.cumsum(sums["positive"])[:-1], np.cumsum(sums["negative"])[:-1]
        tp, fp = np.sum(sums["positive"]) - fn, np.sum(sums["negative"]) - tn
        value = self.value(tp, fp, tn, fn)
        if value.shape != (len(self.thresholds),):
            return value
        return value[0] if self.single else value[np.argsort(self._order)]

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The value from the counts."""
        raise NotImplementedError


class TruePositives(Confusion):
    """The number of positives that were found. Arguments: see :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return tp


class FalsePositives(Confusion):
    """The number of negatives taken for positives. Arguments: see :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return fp


class TrueNegatives(Confusion):
    """The number of negatives that were left alone. Arguments: see :class:`Confusion`."""

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """That number."""
        return tn


class FalseNegatives(Confusion):
    """The number of positives that were missed. Arguments: see :class:`Confusion`."""

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


class AUC(Confusion):
    """The area under the ROC curve (recall over false positives' rate) or the precision-recall curve.

    Args:
        num_thresholds: how many points of the curve, evenly spaced from 0 to 1, both included.
        curve: ``"ROC"`` or ``"PR"``.
        summation_method: ``"interpolation"`` between points, ``"minoring"`` or ``"majoring"`` for bounds.
        name: what the value is reported as.
        thresholds: the points between 0 and 1 in place of ``num_thresholds``.
        from_logits: whether predictions are before the sigmoid.

    Example:
        >>> float(AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
        0.75

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.
    """

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
                 name: str | None = None, thresholds: Sequence[float] | None = None,
                 from_logits: bool = False) -> None:
        if curve not in ("ROC", "PR"):
            raise unknown_name("curve", curve, ("ROC", "PR"))
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise unknown_name("summation_method", summation_method, ("interpolation", "minoring", "majoring"))
        if thresholds is None:
            inner = np.arange(1, whole("num_thresholds", num_thresholds, least=2) - 1) / (num_thresholds - 1)
        else:
            inner = np.sort(np.asarray(thresholds, float))
        super().__init__(inner if len(inner) else None, name=name)
        self.thresholds = np.concatenate([[-_EPSILON], inner, [1.0 + _EPSILON]])
        self.curve, self.summation_method, self.from_logits = curve, summation_method, bool(from_logits)

    def scores(self, y_pred: Any) -> Any:
        """Probabilities."""
        return sigmoid(y_pred) if self.from_logits else y_pred

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The area."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _area_of_precision(tp, fp, fn)
        recall = ratio(tp, tp + fn)
        x, y = (ratio(fp, fp + tn), recall) if self.curve == "ROC" else (recall, ratio(tp, tp + fp))
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            bound = np.minimum if self.summation_method == "minoring" else np.maximum
            heights = bound(y[:-1], y[1:])
        return np.sum((x[:-1] - x[1:]) * heights)


def _area_of_precision(tp: Any, fp: Any, fn: Any) -> Any:
    """Between two points true positives grow in proportion to all positives: the precision itself is no line."""
    found = tp + fp
    gained, more = tp[:-1] - tp[1:], found[:-1] - found[1:]
    slope = ratio(gained, np.maximum(more, 0.0))
    intercept = tp[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    quotient = np.where(both, found[:-1] / np.where(both, found[1:], 1.0), 1.0)
    return np.sum(ratio(slope * (gained + intercept * np.log(quotient)), np.maximum(tp[1:] + fn[1:], 0.0)))


class AtLeast(Confusion):
    """Base of metrics that are the best of one rate where another one is at least a given value.

    Args:
        least: that value.
        num_thresholds: how many thresholds, evenly spaced from 0 to 1, are tried.
        class_id: only this class counts.
        name: what the value is reported as.
    """

    def __init__(self, least: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None) -> None:
        n = whole("num_thresholds", num_thresholds)
        super().__init__([0.5] if n == 1 else np.linspace(0.0, 1.0, n), class_id=class_id, name=name)
        self.least = share("the value wanted at least", least, one=True)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """The rate that is limited, and the one that is wanted."""
        raise NotImplementedError

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The best; 0 if there is none."""
        limited, wanted = self.rates(tp, fp, tn, fn)
        return np.max(np.where(limited >= self.least, wanted, 0.0))


class SensitivityAtSpecificity(AtLeast):
    """The best recall where the share of negatives left alone is at least a value. See :class:`AtLeast`.

    Example:
        >>> float(SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
        0.5
    """

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Specificity, sensitivity."""
        return ratio(tn, tn + fp), ratio(tp, tp + fn)


class SpecificityAtSensitivity(AtLeast):
    """The best share of negatives left alone where the recall is at least a value. See :class:`AtLeast`."""

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Sensitivity, specificity."""
        return ratio(tp, tp + fn), ratio(tn, tn + fp)


class PrecisionAtRecall(AtLeast):
    """The best precision where the recall is at least a value. See :class:`AtLeast`."""

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Recall, precision."""
        return ratio(tp, tp + fn), ratio(tp, tp + fp)


class RecallAtPrecision(AtLeast):
    """The best recall where the precision is at least a value. See :class:`AtLeast`."""

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Precision, recall."""
        return ratio(tp, tp + fp), ratio(tp, tp + fn)


class FBetaScore(Metric):
    """``(1 + β²) precision recall / (β² precision + recall)`` of each class, and their average.

    Args:
        average: ``None`` for a value per class, ``"micro"`` (all classes counted together), ``"macro"`` (the mean) or
            ``"weighted"`` (by the number of samples of each class).
        beta: how much more recall counts than precision.
        threshold: predictions above are positive; None: the largest of each sample.
        name: what the value is reported as.

    Example:
        >>> float(FBetaScore("micro", beta=2.0, threshold=0.5)([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.8]]).round(4))
        0.7143
    """

    def __init__(self, average: str | None = None, beta: float = 1.0, threshold: float | None = None,
                 name: str | None = None) -> None:
        super().__init__(name)
        if average not in (None, "micro", "macro", "weighted"):
            raise unknown_name("average", average, ("micro", "macro", "weighted"))
        if not beta > 0:
            raise ArgumentError.of(f"got beta={beta!r}", "a number above 0", "beta=1.0")
        self.average, self.beta = average, float(beta)
        self.threshold = None if threshold is None else share("threshold", threshold, one=True)

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """Counts per class."""
        n = output_shape[-1] or 1
        return {"tp": (n,), "fp": (n,), "fn": (n,)}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The counts of a batch."""
        y_true, y_pred = matched(y_true, y_pred)
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

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = None) -> None:
        super().__init__(average, 1.0, threshold, name or "f1_score")
