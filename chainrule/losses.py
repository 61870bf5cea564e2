"""Losses: what training makes small. Functions give a loss per sample; classes average it over the batch.

Cross-entropies are computed from logits wherever these are known: with ``from_logits``, and whenever the
recorded prediction is itself a sigmoid or a softmax. That is stable for every logit, and the gradient with
respect to the logits is simply ``prediction - target``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.activations import log_softmax, logits_of, shifted
from chainrule.arguments import positive, share
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, make
from chainrule.ops.index import iota
from chainrule.ops.reduce import spread, sum_
from chainrule.ops.structure import reshape

EPSILON = 1e-7  # how close to 0 and 1 a probability of unknown origin may come

# ---------------------------------------------------------------- functions: a loss per sample


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``(y_true - y_pred)²``.

    Example:
        >>> mean_squared_error(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
        array([0.5])
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = ew.sub(y_pred, y_true)
    return _mean(ew.mul(error, error))


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of ``|y_true - y_pred|``.

    Example:
        >>> mean_absolute_error(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
        array([0.5])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return _mean(ew.abs_(ew.sub(y_pred, y_true)))


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
    return _mean(ew.select(ew.le(size, delta), near, ew.sub(ew.mul(size, delta), 0.5 * delta * delta)))


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0) -> Any:
    """The mean over the last axis of ``-y log p - (1 - y) log(1 - p)``.

    Of logits z it is ``log(1 + exp(z)) - y z``; its gradient with respect to z is ``sigmoid(z) - y``.

    Args:
        y_true: targets from 0 to 1.
        y_pred: probabilities, or logits with ``from_logits``; the shape of ``y_true``.
        from_logits: whether ``y_pred`` is before the sigmoid.
        label_smoothing: targets are moved this share of the way to 1/2.

    Example:
        >>> binary_crossentropy(np.array([[1.0]]), np.array([[0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = matched(y_true, y_pred)
    if label_smoothing:
        y_true = ew.add(ew.mul(y_true, 1.0 - label_smoothing), 0.5 * label_smoothing)
    logits = y_pred if from_logits else logits_of(y_pred, "sigmoid")
    if logits is not None:
        return _mean(ew.sub(ew.softplus(logits), ew.mul(y_true, logits)))
    p = _clipped(y_pred)
    likelihood = ew.add(ew.mul(y_true, ew.log(p)), ew.mul(ew.sub(1.0, y_true), ew.log(ew.sub(1.0, p))))
    return _mean(ew.neg(likelihood))


def categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False,
                             label_smoothing: float = 0.0) -> Any:
    """``-Σ_c y_c log p_c`` over the last axis.

    Args:
        y_true: one-hot rows, or other probabilities of the classes.
        y_pred: probabilities of the classes, or logits with ``from_logits``; the shape of ``y_true``.
        from_logits: whether ``y_pred`` is before the softmax.
        label_smoothing: targets are moved this share of the way to all classes alike.

    Example:
        >>> categorical_crossentropy(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = matched(y_true, y_pred)
    if label_smoothing:
        y_true = ew.add(ew.mul(y_true, 1.0 - label_smoothing), label_smoothing / y_pred.shape[-1])
    logits = y_pred if from_logits else logits_of(y_pred, "softmax")
    logp = _log_normalized(y_pred) if logits is None else log_softmax(logits)
    return ew.neg(_total(ew.mul(y_true, logp)))


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Any:
    """``-log p_label`` over the last axis.

    Args:
        y_true: whole numbers from 0 to the number of classes - 1, of the shape of ``y_pred`` without its last
            axis (or with 1 there).
        y_pred: probabilities of the classes, or logits with ``from_logits``.
        from_logits: whether ``y_pred`` is before the softmax.

    Example:
        >>> sparse_categorical_crossentropy(np.array([1]), np.array([[0.5, 0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = _array(y_true), _array(y_pred)
    chosen = is_label(y_true, y_pred)
    logits = y_pred if from_logits else logits_of(y_pred, "softmax")
    if logits is None:
        return ew.neg(_total(ew.select(chosen, _log_normalized(y_pred), 0.0)))
    below = shifted(logits, _last(logits))
    return ew.sub(ew.log(_total(ew.exp(below))), _total(ew.select(chosen, below, 0.0)))


# ---------------------------------------------------------------- classes: averaged over the batch


class Loss:
    """A loss with its options. A subclass defines ``call(y_true, y_pred)``, a loss per sample.

    Called itself, it gives the mean over all samples. ``labels`` says what targets it takes: ``numbers`` or
    ``probabilities`` (from 0 to 1) in the shape of the output, ``classes`` (whole numbers), or ``anything``.
    """

    labels = "numbers"

    def __init__(self, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        """The mean loss of a batch."""
        return average(self.call(_array(y_true), _array(y_pred)))

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "name")
        return f"{type(self).__name__}({given})"


class MeanSquaredError(Loss):
    """The mean of the squared errors: :func:`mean_squared_error`.

    Example:
        >>> float(MeanSquaredError()([[0.0], [2.0]], [[1.0], [2.0]]))
        0.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The mean squared error of each sample."""
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(Loss):
    """The mean of the absolute errors: :func:`mean_absolute_error`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The mean absolute error of each sample."""
        return mean_absolute_error(y_true, y_pred)


class Huber(Loss):
    """Quadratic up to ``delta``, linear above: :func:`huber`."""

    def __init__(self, delta: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.delta = positive("delta", delta)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The Huber loss of each sample."""
        return huber(y_true, y_pred, self.delta)


class BinaryCrossentropy(Loss):
    """For targets 0 or 1 and the output of a sigmoid: :func:`binary_crossentropy`.

    Example:
        >>> round(float(BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]])), 4)
        0.6931
    """

    labels = "probabilities"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits, self.label_smoothing = from_logits, share("label_smoothing", label_smoothing, one=True)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing)


class CategoricalCrossentropy(Loss):
    """For one-hot targets and the output of a softmax: :func:`categorical_crossentropy`."""

    labels = "probabilities"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits, self.label_smoothing = from_logits, share("label_smoothing", label_smoothing, one=True)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing)


class SparseCategoricalCrossentropy(Loss):
    """For whole numbers as targets and the output of a softmax: :func:`sparse_categorical_crossentropy`."""

    labels = "classes"

    def __init__(self, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)


class FunctionLoss(Loss):
    """A loss from any function of ``(y_true, y_pred)`` that gives a loss per sample, or one number."""

    labels = "anything"

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What the function gives."""
        return self.function(y_true, y_pred)


_CLASSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy, "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy, "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError, "huber": Huber}
_BY_NAME = {
    **_CLASSES, **{c.__name__: c for c in _CLASSES.values()}, "bce": BinaryCrossentropy, "mse": MeanSquaredError,
    "mae": MeanAbsoluteError, "MSE": MeanSquaredError, "MAE": MeanAbsoluteError}
_OF_FUNCTION: dict[Any, type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy, categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy, mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError, huber: Huber}


def get(identifier: str | Loss | Callable[[Any, Any], Any]) -> Loss:
    """The loss of a name, of a function ``(y_true, y_pred)``, or the loss itself.

    Example:
        >>> get("mse")
        MeanSquaredError()
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise unknown_name("loss", identifier, [*_CLASSES, "mse", "mae", "bce"])
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if identifier in _OF_FUNCTION:
        return _OF_FUNCTION[identifier]()
    if callable(identifier):
        return FunctionLoss(identifier)
    raise ArgumentError.of(f"got loss={identifier!r}", "a name, a Loss, or a function of (y_true, y_pred)",
                           "loss='binary_crossentropy'")


# ---------------------------------------------------------------- what losses and metrics are made of


def average(values: Any) -> Any:
    """The mean of all elements, as a scalar."""
    n = int(np.prod(values.shape))
    axes = tuple(range(len(values.shape)))
    total = sum_(values, axes=axes) if axes else values
    return total if n == 1 else ew.mul(total, 1.0 / n)


def matched(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets with the axes of the predictions: a missing or surplus last axis of extent 1 is put right."""
    y_true, y_pred = _array(y_true), _array(y_pred)
    if y_true.shape != y_pred.shape:
        if (*y_true.shape, 1) == y_pred.shape or y_true.shape == (*y_pred.shape, 1):
            y_true = reshape(y_true, shape=tuple(y_pred.shape))
        else:
            shapes = tuple(y_true.shape), tuple(y_pred.shape)
            raise ShapeError.of(f"targets of shape {shapes[0]} for predictions of shape {shapes[1]}", "equal shapes",
                                "a last layer with one unit per column of the targets")
    if not dtypes.is_float(y_true.dtype):
        y_true = ew.cast(y_true, dtype=y_pred.dtype)
    return y_true, y_pred


def is_label(y_true: Any, y_pred: Any) -> Any:
    """A bool array of the shape of ``y_pred``: True at the class that ``y_true`` names."""
    shape = tuple(y_pred.shape)
    labels = tuple(y_true.shape)
    if labels not in (shape[:-1], (*shape[:-1], 1)):
        raise ShapeError.of(f"class labels of shape {labels} for predictions of shape {shape}",
                            f"whole numbers of shape {shape[:-1]}", "y = y.argmax(axis=-1)   # one-hot to labels")
    if labels != shape[:-1]:
        y_true = reshape(y_true, shape=shape[:-1])
    if y_true.dtype.kind not in "iu":
        y_true = ew.cast(y_true, dtype=np.dtype(np.int32))
    return ew.eq(positions(y_pred, y_true.dtype), spread(y_true, _last(y_pred), shape))


def positions(like: Any, dtype: Any) -> Any:
    """0, 1, 2, … along the last axis of an array of the shape of ``like``."""
    params = {"shape": tuple(like.shape), "dtype": np.dtype(dtype), "axis": len(like.shape) - 1}
    return type(like)(make(iota, (), params)) if isinstance(like, Traced) else iota.evaluate(**params)


def _array(x: Any) -> Any:
    return x if isinstance(x, Traced) else np.asarray(x)


def _last(x: Any) -> tuple[int, ...]:
    return (len(x.shape) - 1,)


def _total(x: Any) -> Any:
    return sum_(x, axes=_last(x))


def _mean(x: Any) -> Any:
    n = x.shape[-1]
    return reshape(x, shape=tuple(x.shape[:-1])) if n == 1 else ew.mul(_total(x), 1.0 / n)


def _clipped(p: Any) -> Any:
    return ew.minimum(ew.maximum(p, EPSILON), 1.0 - EPSILON)


def _log_normalized(p: Any) -> Any:
    """The logarithm of probabilities of unknown origin, made to sum to 1."""
    return ew.log(_clipped(ew.div(p, spread(_total(p), _last(p), p.shape))))


def snake_case(name: str) -> str:
    """``MeanSquaredError`` as ``mean_squared_error``."""
    return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))
