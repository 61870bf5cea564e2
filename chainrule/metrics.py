"""Metrics: what is reported beside the loss. Each gives values per sample; their mean is reported."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes, losses
from chainrule.activations import logits_of
from chainrule.errors import ArgumentError, unknown_name
from chainrule.losses import average, matched, positions
from chainrule.losses.base import mean
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.ops.reduce import max_, min_, spread, sum_
from chainrule.ops.structure import reshape


class Metric:
    """A mean over samples. A subclass defines ``call(y_true, y_pred)``: a value, bool or float, per sample.

    Called itself, it gives the mean.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or losses.snake_case(type(self).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each sample."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        """The metric of a batch."""
        return average(self._values(y_true, y_pred))

    def measure(self, y_true: Any, y_pred: Any) -> tuple[Any, int]:
        """The sum of the values of a batch, and how many they are (a plain number): their quotient is the metric."""
        values = self._values(y_true, y_pred)
        axes = tuple(range(len(values.shape)))
        return (sum_(values, axes=axes) if axes else values), math.prod(values.shape)

    def _values(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = (y if isinstance(y, Traced) else np.asarray(y) for y in (y_true, y_pred))
        values = self.call(y_true, y_pred)
        return values if dtypes.is_float(values.dtype) else ew.cast(values, dtype=np.dtype(np.float32))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class BinaryAccuracy(Metric):
    """How often a prediction is on the same side of ``threshold`` as its target, which is 0 or 1.

    Example:
        >>> float(BinaryAccuracy()([[1.0], [0.0]], [[0.9], [0.6]]))
        0.5
    """

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        if not 0 < threshold < 1:
            raise ArgumentError.of(f"got threshold={threshold}", "a number between 0 and 1", "threshold=0.5")
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """1 for each right element, averaged over the last axis."""
        y_true, y_pred = matched(y_true, y_pred)
        logits = logits_of(y_pred, "sigmoid")
        if logits is None:
            above = ew.gt(y_pred, self.threshold)
        else:  # the same question before the sigmoid, which training then need not compute for it
            above = ew.gt(logits, math.log(self.threshold / (1 - self.threshold)))
        right = ew.eq(y_true, ew.cast(above, dtype=y_true.dtype))
        n = right.shape[-1]
        if n == 1:
            return reshape(right, shape=tuple(right.shape[:-1]))
        return mean(ew.cast(right, dtype=np.dtype(np.float32)))


class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the largest element of the one-hot target is.

    Example:
        >>> float(CategoricalAccuracy()([[0.0, 1.0]], [[0.2, 0.8]]))
        1.0
    """

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        y_true, y_pred = matched(y_true, y_pred)
        return ew.eq(argmax(y_true), argmax(_scores(y_pred)))


class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is at the class that the target, a whole number, names.

    Example:
        >>> float(SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.3, 0.7]]))
        0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """True for each right sample."""
        label = y_true if tuple(y_true.shape) == tuple(y_pred.shape[:-1]) else reshape(y_true, shape=y_pred.shape[:-1])
        return ew.eq(argmax(_scores(y_pred)), ew.cast(label, dtype=np.dtype(np.int32)))


class FunctionMetric(Metric):
    """A metric from any function of ``(y_true, y_pred)`` that gives a value per sample, or one number."""

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "metric"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What the function gives."""
        return self.function(y_true, y_pred)


class MeanSquaredError(FunctionMetric):
    """The mean of the squared errors."""

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(losses.mean_squared_error, name)


class MeanAbsoluteError(FunctionMetric):
    """The mean of the absolute errors."""

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(losses.mean_absolute_error, name)


_CLASSES: dict[str, Callable[[], Metric]] = {
    "binary_accuracy": BinaryAccuracy, "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy, "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError}
_BY_NAME: dict[str, Callable[[], Metric]] = {
    **_CLASSES, "mse": MeanSquaredError, "mae": MeanAbsoluteError, "MSE": MeanSquaredError, "MAE": MeanAbsoluteError,
    "BinaryAccuracy": BinaryAccuracy, "CategoricalAccuracy": CategoricalAccuracy,
    "SparseCategoricalAccuracy": SparseCategoricalAccuracy, "MeanSquaredError": MeanSquaredError,
    "MeanAbsoluteError": MeanAbsoluteError}
_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "binary_crossentropy": losses.binary_crossentropy, "categorical_crossentropy": losses.categorical_crossentropy,
    "sparse_categorical_crossentropy": losses.sparse_categorical_crossentropy, "huber": losses.huber}


def get(identifier: str | Metric | Callable[[Any, Any], Any], y_shape: tuple[int | None, ...] = (),
        output_shape: tuple[int | None, ...] = ()) -> Metric:
    """The metric of a name, of a function ``(y_true, y_pred)``, or the metric itself.

    ``accuracy`` is the kind that fits the shapes, as in Keras: binary for one output, sparse categorical for labels
    without (or with 1 on) the axis of the classes, else categorical.

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
    if isinstance(identifier, str):
        if identifier.lower() in ("accuracy", "acc"):
            metric = _fitting_accuracy(y_shape, output_shape)
        elif identifier in _BY_NAME:
            metric = _BY_NAME[identifier]()
        elif identifier in _FUNCTIONS:
            metric = FunctionMetric(_FUNCTIONS[identifier])
        else:
            raise unknown_name("metric", identifier, ["accuracy", *_CLASSES, *_FUNCTIONS, "mse", "mae"],
                               "metrics")
        metric.name = identifier
        return metric
    if callable(identifier):
        return FunctionMetric(identifier)
    raise ArgumentError.of(f"metric {identifier!r}", "a name, a Metric, or a function of (y_true, y_pred)",
                           "metrics=['accuracy']")


def _fitting_accuracy(y_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> Metric:
    if output_shape and output_shape[-1] == 1:
        return BinaryAccuracy()
    if len(y_shape) < len(output_shape) or (y_shape and y_shape[-1] == 1):
        return SparseCategoricalAccuracy()
    return CategoricalAccuracy()


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
