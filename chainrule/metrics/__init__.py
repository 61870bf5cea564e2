"""Metrics: what is reported beside the loss. Each is a function of sums over the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainrule import configuration, losses
from chainrule.configuration import serialize
from chainrule.errors import ArgumentError, unknown_name
from chainrule.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    argmax,
)
from chainrule.metrics.base import FunctionMetric, Mean, MeanMetric, MeanMetricWrapper, Metric, Sum
from chainrule.metrics.confusion import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from chainrule.metrics.curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from chainrule.metrics.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from chainrule.metrics.regression import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    concordance_correlation,
    pearson_correlation,
)

_CLASSES: dict[str, Callable[[], Metric]] = {losses.snake_case(c.__name__): c for c in (
    BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy, AUC, Precision, Recall, F1Score, FBetaScore, TruePositives, TrueNegatives,
    FalsePositives, FalseNegatives, BinaryIoU, MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanSquaredLogarithmicError, LogCoshError, KLDivergence, Poisson, Hinge, SquaredHinge,
    CategoricalHinge, CosineSimilarity, R2Score, PearsonCorrelation, ConcordanceCorrelation, BinaryCrossentropy,
    CategoricalCrossentropy, SparseCategoricalCrossentropy)}
_SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
          "msle": "mean_squared_logarithmic_error", "rmse": "root_mean_squared_error", "kld": "kl_divergence",
          "bce": "binary_crossentropy", "logcosh": "log_cosh_error", "cosine": "cosine_similarity"}
_BY_NAME: dict[str, Callable[[], Metric]] = {
    **_CLASSES, **{c.__name__: c for c in _CLASSES.values() if isinstance(c, type)},
    **{short: _CLASSES[name] for short, name in _SHORT.items()},
    **{short.upper(): _CLASSES[name] for short, name in _SHORT.items()}}
_FITTING: dict[str, tuple[Any, Any, Any]] = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)}
_FITTING |= {"acc": _FITTING["accuracy"], "ce": _FITTING["crossentropy"]}


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "metric")


def get(identifier: str | Metric | Callable[[Any, Any], Any], y_shape: tuple[int | None, ...] = (),
        output_shape: tuple[int | None, ...] = ()) -> Metric:
    """The metric of a name, of a function ``(y_true, y_pred)``, or the metric itself.

    ``accuracy`` and ``crossentropy`` are the kind that fits the shapes, as in Keras: binary for one output, sparse
    categorical for labels without (or with 1 on) the axis of the classes, else categorical.

    Args:
        identifier: what the user gave; a name becomes the metric's name as it is.
        y_shape: the shape of the targets.
        output_shape: the shape of the predictions.

    Example:
        >>> get("accuracy", (None,), (None, 10))
        SparseCategoricalAccuracy(name='accuracy')
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier.lower() in _FITTING:
            metric = _fitting(_FITTING[identifier.lower()], y_shape, output_shape)
        elif identifier in _BY_NAME:
            metric = _BY_NAME[identifier]()
        elif identifier in losses.FUNCTIONS:
            metric = FunctionMetric(losses.FUNCTIONS[identifier])
        else:
            raise unknown_name("metric", identifier, ["accuracy", "crossentropy", *_CLASSES, *_SHORT], "metrics")
        metric.name = identifier
        return metric
    if callable(identifier):
        return FunctionMetric(identifier)
    raise ArgumentError.of(f"metric {identifier!r}", "a name, a Metric, or a function of (y_true, y_pred)",
                           "metrics=['accuracy']")


def _fitting(kinds: tuple[Any, Any, Any], y_shape: tuple[int | None, ...],
             output_shape: tuple[int | None, ...]) -> Metric:
    binary, sparse, categorical = kinds
    if output_shape and output_shape[-1] == 1:
        return binary()
    if len(y_shape) < len(output_shape) or (y_shape and y_shape[-1] == 1):
        return sparse()
    return categorical()


__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
    "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity", "F1Score",
    "FBetaScore", "FalseNegatives", "FalsePositives", "FunctionMetric", "Hinge", "IoU", "KLDivergence",
    "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU", "MeanMetric",
    "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "OneHotIoU", "OneHotMeanIoU",
    "PearsonCorrelation", "Poisson", "Precision", "PrecisionAtRecall", "R2Score", "Recall", "RecallAtPrecision",
    "RootMeanSquaredError", "SensitivityAtSpecificity", "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge",
    "Sum", "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives", "argmax", "concordance_correlation",
    "deserialize", "get", "pearson_correlation", "serialize"]
