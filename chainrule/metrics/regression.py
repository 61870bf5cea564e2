"""Metrics of numbers: errors and how much of the variance is explained. Most are losses under their own names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import losses
from chainrule.arguments import whole
from chainrule.errors import ShapeError, unknown_name
from chainrule.losses.base import EPSILON, axis_last, fitted, matched
from chainrule.metrics.base import DOUBLE, FunctionMetric, Metric, Shape, Sums, ratio
from chainrule.ops import elementwise as ew


class _LossMetric(FunctionMetric):
    """The mean of a loss function; a subclass names it."""

    loss: Any = None

    def __init__(self, name: str | None = None, dtype: Any = None, **options: Any) -> None:
        super().__init__(type(self).loss, name or losses.snake_case(type(self).__name__), dtype, **options)


class MeanSquaredError(_LossMetric):
    """The mean of the squared errors."""

    loss = staticmethod(losses.mean_squared_error)


class MeanAbsoluteError(_LossMetric):
    """The mean of the absolute errors."""

    loss = staticmethod(losses.mean_absolute_error)


class MeanAbsolutePercentageError(_LossMetric):
    """The mean of the relative errors, in percent."""

    loss = staticmethod(losses.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(_LossMetric):
    """The mean of the squared errors of the logarithms."""

    loss = staticmethod(losses.mean_squared_logarithmic_error)


class LogCoshError(_LossMetric):
    """The mean of the logarithm of the hyperbolic cosine of the errors."""

    loss = staticmethod(losses.log_cosh)

    def __init__(self, name: str = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)


class KLDivergence(_LossMetric):
    """The mean divergence of the targets' distributions from the predicted ones."""

    loss = staticmethod(losses.kl_divergence)


class Poisson(_LossMetric):
    """The mean of Poisson's loss."""

    loss = staticmethod(losses.poisson)


class Hinge(_LossMetric):
    """The mean of the hinge loss."""

    loss = staticmethod(losses.hinge)


class SquaredHinge(_LossMetric):
    """The mean of the squared hinge loss."""

    loss = staticmethod(losses.squared_hinge)


class CategoricalHinge(_LossMetric):
    """The mean of the categorical hinge loss."""

    loss = staticmethod(losses.categorical_hinge)


class BinaryCrossentropy(_LossMetric):
    """The mean binary cross-entropy; arguments as of :func:`chainrule.losses.binary_crossentropy`."""

    loss = staticmethod(losses.binary_crossentropy)

    def __init__(self, name: str = "binary_crossentropy", dtype: Any = None, from_logits: bool = False,
                 label_smoothing: float = 0.0) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(_LossMetric):
    """The mean categorical cross-entropy; arguments as of :func:`chainrule.losses.categorical_crossentropy`."""

    loss = staticmethod(losses.categorical_crossentropy)

    def __init__(self, name: str = "categorical_crossentropy", dtype: Any = None, from_logits: bool = False,
                 label_smoothing: float = 0.0, axis: int = -1) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean cross-entropy of labels; arguments as of :func:`chainrule.losses.sparse_categorical_crossentropy`."""

    loss = staticmethod(losses.sparse_categorical_crossentropy)

    def __init__(self, name: str = "sparse_categorical_crossentropy", dtype: Any = None, from_logits: bool = False,
                 ignore_class: int | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis)
        self.ignore_class, self.axis = ignore_class, axis

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The sum of the values; of samples to ignore the weights do not count."""
        if sample_weight is not None and self.ignore_class is not None:
            label = np.reshape(y_true, tuple(axis_last(y_pred, self.axis).shape[:-1]))
            sample_weight = fitted(sample_weight, label.astype(y_pred.dtype)) * (label != self.ignore_class)
        return super().measure(y_true, y_pred, sample_weight)


class CosineSimilarity(FunctionMetric):
    """The mean cosine of the angle between targets and predictions, along ``axis``: 1 for one direction.

    Example:
        >>> float(CosineSimilarity()([[1.0, 0.0]], [[3.0, 4.0]]).round(4))
        0.6
    """

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class PearsonCorrelation(FunctionMetric):
    """The mean correlation of targets and predictions along ``axis``: 1 where one is a rising line of the other.

    Example:
        >>> float(PearsonCorrelation()([[0.0, 1.0, 2.0]], [[3.0, 5.0, 7.0]]).round(4))
        1.0

    Source: Pearson, "Notes on regression and inheritance in the case of two parents", 1895.
    """

    def __init__(self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(FunctionMetric):
    """The mean concordance of targets and predictions along ``axis``: 1 where they are equal.

    Example:
        >>> float(ConcordanceCorrelation()([[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]]).round(4))
        1.0

    Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989.
    """

    def __init__(self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between the vectors along ``axis``: the loss of the same name, with its sign turned."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """``mean((y - ȳ)(p - p̄)) / √(var(y) var(p))`` along ``axis``.

    Example:
        >>> pearson_correlation(np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 1.0, 0.0]])).round(4)
        array([-1.])
    """
    y_true, y_pred = _centred(y_true, y_pred, axis)
    scale = np.sqrt(np.mean(y_true * y_true, axis=axis) * np.mean(y_pred * y_pred, axis=axis))
    return np.mean(y_true * y_pred, axis=axis) / scale


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """``2 mean((y - ȳ)(p - p̄)) / (var(y) + var(p) + (ȳ - p̄)²)`` along ``axis``.

    Example:
        >>> concordance_correlation(np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 2.0, 3.0]])).round(4)
        array([0.5714])
    """
    apart = np.mean(y_true, axis=axis) - np.mean(y_pred, axis=axis)
    y_true, y_pred = _centred(y_true, y_pred, axis)
    spread = np.mean(y_true * y_true, axis=axis) + np.mean(y_pred * y_pred, axis=axis) + apart * apart
    return 2.0 * np.mean(y_true * y_pred, axis=axis) / (spread + EPSILON)


def _centred(y_true: Any, y_pred: Any, axis: int) -> Any:
    return (y - np.mean(y, axis=axis, keepdims=True) for y in matched(y_true, y_pred))


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of the squared errors.

    Example:
        >>> float(RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [4.0]]).round(4))
        3.5355
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The square of each error."""
        error = ew.sub(*matched(y_true, y_pred))
        return ew.mul(error, error)

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The square root of the mean."""
        return np.sqrt(super().outcome(sums, samples))


class R2Score(Metric):
    """``1 - Σ (y - p)² / Σ (y - ȳ)²``: the share of the variance that is explained.

    Args:
        class_aggregation: what is made of several outputs: ``"uniform_average"``, ``"variance_weighted_average"``, or
            None for a value each.
        num_regressors: the number of features; if not 0 the score is lowered for them (adjusted R²).
        name: what the value is reported as.
        dtype: of the value.

    Example:
        >>> float(R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]).round(4))
        0.5714
    """

    def __init__(self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0,
                 name: str = "r2_score", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise unknown_name("class_aggregation", class_aggregation, ("uniform_average", "variance_weighted_average"))
        self.class_aggregation, self.num_regressors = class_aggregation, whole("num_regressors", num_regressors, 0)

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """Sums per output, and the number of all targets, which Keras takes as that of samples."""
        n = (output_shape[-1] or 1,)
        return {"sum": n, "squares": n, "errors": n, "count": n, "samples": ()}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The sums of a batch, in double precision: the variance is a small difference of large numbers."""
        y_true, y_pred = (ew.cast(y, dtype=DOUBLE) for y in matched(y_true, y_pred))
        if len(y_pred.shape) != 2:
            raise ShapeError.of(f"metric {self.name!r} got predictions of shape {tuple(y_pred.shape)}",
                                "(batch, outputs)", "y_pred[:, None]")
        weights = np.ones(tuple(y_pred.shape)) if sample_weight is None else fitted(sample_weight, y_pred)
        weighted, error = y_true * weights, y_true - y_pred
        axes = tuple(range(len(y_pred.shape) - 1))
        return {"sum": np.sum(weighted, axis=axes), "squares": np.sum(weighted * y_true, axis=axes),
                "errors": np.sum(error * error * weights, axis=axes), "count": np.sum(weights, axis=axes),
                "samples": np.float64(math.prod(y_pred.shape))}

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The score."""
        variance = sums["squares"] - sums["sum"] * ratio(sums["sum"], sums["count"])
        score: Any = np.where(variance == 0, 0.0, 1.0 - ratio(sums["errors"], variance))
        if self.class_aggregation == "uniform_average":
            score = np.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = np.sum(score * ratio(variance, np.sum(variance)))
        if self.num_regressors:
            n = sums["samples"]
            score = 1.0 - (1.0 - score) * ratio(n - 1.0, n - self.num_regressors - 1.0)
        return score
