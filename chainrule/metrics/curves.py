"""Metrics of all thresholds together: areas under curves, and the best of one rate where another is high enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.activations import sigmoid
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.metrics.base import Shape, Sums, ratio
from chainrule.metrics.confusion import Confusion
from chainrule.numpy import at

_EPSILON = 1e-7
_CURVES, _METHODS = ("ROC", "PR", "PRGAIN"), ("interpolation", "minoring", "majoring")


class AUC(Confusion):
    """The area under the ROC curve (recall over false positives' rate) or the precision-recall curve.

    Args:
        num_thresholds: how many points of the curve, evenly spaced from 0 to 1, both included.
        curve: ``"ROC"``, ``"PR"``, or ``"PRGAIN"``: precision and recall as gains over what guessing would reach.
        summation_method: ``"interpolation"`` between points, ``"minoring"`` or ``"majoring"`` for bounds.
        name: what the value is reported as.
        dtype: of the value.
        thresholds: the points between 0 and 1 in place of ``num_thresholds``.
        multi_label: whether each of the labels along the last axis has a curve; the value is the mean of the areas.
        num_labels: not needed, as the data say it; taken so that a program for Keras runs.
        label_weights: how much each label counts: in that mean, or, without ``multi_label``, in the one curve.
        from_logits: whether predictions are before the sigmoid.

    Example:
        >>> float(AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
        0.75

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006; Flach and Kull,
    "Precision-recall-gain curves: PR analysis done right", NeurIPS 2015.
    """

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
                 name: str | None = None, dtype: Any = None, thresholds: Sequence[float] | None = None,
                 multi_label: bool = False, num_labels: int | None = None,
                 label_weights: Sequence[float] | None = None, from_logits: bool = False) -> None:
        if str(curve).upper() not in _CURVES:
            raise unknown_name("curve", curve, _CURVES)
        if str(summation_method).lower() not in _METHODS:
            raise unknown_name("summation_method", summation_method, _METHODS)
        if num_labels is not None and not multi_label:
            raise ArgumentError.of(f"AUC got num_labels={num_labels} without multi_label", "both or none",
                                   "AUC(multi_label=True)")
        if thresholds is None:
            inner = np.arange(1, whole("num_thresholds", num_thresholds, least=2) - 1) / (num_thresholds - 1)
        else:
            inner = np.sort(np.asarray(thresholds, float))
        super().__init__(inner if len(inner) else None, name=name, dtype=dtype)
        self.thresholds = np.concatenate([[-_EPSILON], inner, [1.0 + _EPSILON]])
        self.num_thresholds = len(self.thresholds)
        self.curve, self.summation_method = str(curve).upper(), str(summation_method).lower()
        self.multi_label, self.num_labels, self.from_logits = bool(multi_label), num_labels, bool(from_logits)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, float)

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """Two histograms, or two for each label."""
        n = len(self.thresholds) + 1
        shape = (n, int(output_shape[-1] or 1)) if self.multi_label else (n,)
        return {"positive": shape, "negative": shape}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The histograms of a batch."""
        if self.multi_label and len(y_pred.shape) != 2:
            raise ShapeError.of(f"AUC of several labels got predictions of shape {tuple(y_pred.shape)}",
                                "(batch, labels)", "AUC()")
        return super().measure(y_true, y_pred, sample_weight)

    def scores(self, y_pred: Any) -> Any:
        """Probabilities."""
        return sigmoid(y_pred) if self.from_logits else y_pred

    def _histogram(self, scores: Any, weights: Any) -> Any:
        if self.label_weights is not None and not self.multi_label:
            weights = weights * self.label_weights.astype(weights.dtype)
        if not self.multi_label:
            return super()._histogram(scores, weights)
        edges, labels = self.thresholds.astype(scores.dtype), scores.shape[-1]
        exceeded = np.searchsorted(edges, scores, side="left") * labels + np.arange(labels)
        flat = at(np.zeros((len(edges) + 1) * labels, weights.dtype), np.ravel(exceeded)).add(np.ravel(weights))
        return np.reshape(flat, (len(edges) + 1, labels))

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The area, or the mean of those of all labels."""
        areas = np.sum(self._areas(tp, fp, tn, fn), axis=0)
        if not self.multi_label:
            return areas
        weights = np.ones(areas.shape) if self.label_weights is None else self.label_weights
        return ratio(np.sum(areas * weights), np.sum(weights))

    def _areas(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """Those between one threshold and the next."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _areas_of_precision(tp, fp, fn)
        recall, precision = ratio(tp, tp + fn), ratio(tp, tp + fp)
        x, y = (ratio(fp, fp + tn), recall) if self.curve == "ROC" else (recall, precision)
        if self.curve == "PRGAIN":
            odds = ratio(tp + fn, tn + fp)
            x = np.maximum(np.where(tp == 0, 0.0, 1.0 - odds * ratio(fn, tp)), 0.0)
            y = np.where(tp == 0, 1.0, 1.0 - odds * ratio(fp, tp))
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            bound = np.minimum if self.summation_method == "minoring" else np.maximum
            heights = bound(y[:-1], y[1:])
        return (x[:-1] - x[1:]) * heights


def _areas_of_precision(tp: Any, fp: Any, fn: Any) -> Any:
    """Between two points true positives grow in proportion to all positives: the precision itself is no line."""
    found = tp + fp
    gained, more = tp[:-1] - tp[1:], found[:-1] - found[1:]
    slope = ratio(gained, np.maximum(more, 0.0))
    intercept = tp[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    quotient = np.where(both, found[:-1] / np.where(both, found[1:], 1.0), 1.0)
    return ratio(slope * (gained + intercept * np.log(quotient)), np.maximum(tp[1:] + fn[1:], 0.0))


class AtLeast(Confusion):
    """Base of metrics that are the best of one rate where another one is at least a given value.

    Args:
        least: that value.
        num_thresholds: how many thresholds, evenly spaced from 0 to 1, are tried.
        class_id: only this class counts.
        name: what the value is reported as.
        dtype: of the value.
    """

    def __init__(self, least: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
                 dtype: Any = None) -> None:
        n = whole("num_thresholds", num_thresholds)
        super().__init__([0.5] if n == 1 else np.linspace(0.0, 1.0, n), None, class_id, name, dtype)
        self.least = share("the value wanted at least", least, one=True)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """The rate that is limited, and the one that is wanted."""
        raise NotImplementedError

    def value(self, tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
        """The best; 0 if there is none."""
        limited, wanted = self.rates(tp, fp, tn, fn)
        return np.max(np.where(limited >= self.least, wanted, 0.0))


class SensitivityAtSpecificity(AtLeast):
    """The best recall where the share of negatives left alone is at least ``specificity``. See :class:`AtLeast`.

    Example:
        >>> float(SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
        0.5
    """

    def __init__(self, specificity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Specificity, sensitivity."""
        return ratio(tn, tn + fp), ratio(tp, tp + fn)


class SpecificityAtSensitivity(AtLeast):
    """The best share of negatives left alone where the recall is at least ``sensitivity``. See :class:`AtLeast`."""

    def __init__(self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Sensitivity, specificity."""
        return ratio(tp, tp + fn), ratio(tn, tn + fp)


class PrecisionAtRecall(AtLeast):
    """The best precision where the recall is at least ``recall``. See :class:`AtLeast`."""

    def __init__(self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
                 dtype: Any = None) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Recall, precision."""
        return ratio(tp, tp + fn), ratio(tp, tp + fp)


class RecallAtPrecision(AtLeast):
    """The best recall where the precision is at least ``precision``. See :class:`AtLeast`."""

    def __init__(self, precision: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def rates(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
        """Precision, recall."""
        return ratio(tp, tp + fp), ratio(tp, tp + fn)


__all__ = ["AUC", "AtLeast", "PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity",
           "SpecificityAtSensitivity"]
