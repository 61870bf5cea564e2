"""What all losses share: their reduction to one number, weights and masks, and the arithmetic they are made of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

import chainrule.numpy  # noqa: F401  from here on NumPy functions record themselves
from chainrule import dtypes
from chainrule.configuration import Configured
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.indexing import holding
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, make
from chainrule.ops.index import iota
from chainrule.ops.reduce import spread, sum_
from chainrule.ops.structure import reshape

EPSILON = 1e-7  # how close to 0 and 1 a probability of unknown origin may come
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


class Loss(Configured):
    """A loss with its options. A subclass defines ``call(y_true, y_pred)``, a loss per sample.

    Called itself, ``loss(y_true, y_pred, sample_weight=None, mask=None)``, it gives one number for all samples.
    ``labels`` says what targets it takes: ``numbers`` or ``probabilities`` (from 0 to 1) in the shape of the output,
    ``classes`` (whole numbers), or ``anything``.

    Args:
        name: by default the class's name in lower case.
        reduction: ``'sum_over_batch_size'`` (or ``'mean'``) divides the weighted sum by the number of values, without
            those that a mask leaves out; ``'mean_with_sample_weight'`` divides by the sum of the weights; ``'sum'``
            does not divide; ``'none'`` gives the weighted values themselves.
        dtype: what targets and predictions are converted to; None: they stay as they are.
    """

    kind = "loss"
    labels = "numbers"

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size",
                 dtype: Any = None) -> None:
        reduction = "none" if reduction is None else reduction
        if reduction not in REDUCTIONS:
            raise unknown_name("reduction", reduction, REDUCTIONS)
        self.name, self.reduction = name or snake_case(type(self).__name__), reduction
        self.dtype = None if dtype is None else named_dtype(dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        raise NotImplementedError

    def valid(self, y_true: Any, y_pred: Any) -> Any:
        """Which values of :meth:`call` count, as bools; None for all."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        """The loss of a batch.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: a weight per value, or per sample where a sample has several values.
            mask: False where a value does not count.
        """
        total, count = self.parts(array(y_true), array(y_pred), sample_weight, mask)
        if count is not None and not (isinstance(count, int | float) and count == 1):
            total = over(total, count)
        return total if self.dtype is None else ew.cast(total, dtype=self.dtype)

    def parts(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> tuple[Any, Any]:
        """What the loss of a batch is the quotient of: a sum and a number; None as the number if nothing is reduced."""
        if self.dtype is not None:
            y_true, y_pred = (ew.cast(array(y), dtype=self.dtype) for y in (y_true, y_pred))
        values = self.call(y_true, y_pred)
        own = self.valid(y_true, y_pred)
        if own is not None:
            mask = own if mask is None else ew.bit_and(own, array(mask))
        weights = None if sample_weight is None else fitted(sample_weight, values)
        count: Any = values.size if hasattr(values, "size") else 1
        if mask is not None:
            mask = fitted(mask, values)
            weights = mask if weights is None else weights * mask
            count = np.sum(mask)
        weighted = values if weights is None else values * weights
        if self.reduction == "none":
            return weighted, None
        if self.reduction == "sum":
            count = 1
        elif self.reduction == "mean_with_sample_weight" and weights is not None:
            count = np.sum(weights)
        return whole_sum(weighted), count

    def __repr__(self) -> str:
        plain = ("name", "reduction") if self.reduction == "sum_over_batch_size" else ("name",)
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items()
                          if k not in plain and not (k == "dtype" and v is None))
        return f"{type(self).__name__}({given})"


class Plain(Loss):
    """A loss without options of its own; a subclass names its function."""

    function: Any = None

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None,
                 dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        return type(self).function(y_true, y_pred)


# ---------------------------------------------------------------- what losses and metrics are made of


def over(total: Any, count: Any) -> Any:
    """``total / count``, and 0 where ``count`` is 0."""
    if isinstance(count, int | float):
        return ew.mul(total, 1.0 / count) if count else ew.mul(total, 0.0)
    return total / np.where(count == 0, 1, count).astype(total.dtype)


def fitted(weights: Any, values: Any) -> Any:
    """Weights, or a mask, in the dtype and the shape of the values that they belong to.

    They may have fewer axes than the values: a weight per sample counts for all values of the sample.
    """
    weights, shape = array(weights), tuple(values.shape)
    if weights.dtype != values.dtype:
        weights = ew.cast(weights, dtype=values.dtype)
    given = tuple(weights.shape)
    if given == shape:
        return weights
    while given and given[-1] == 1 and len(given) > len(shape):
        given = given[:-1]
    if any(a not in (b, 1) for a, b in zip(given, shape, strict=False)) or len(given) > len(shape):
        raise ShapeError.of(f"weights or a mask of shape {tuple(weights.shape)} for losses of shape {shape}",
                            f"one per sample, shape {shape[:1]}, or one per value, shape {shape}",
                            "sample_weight=np.ones(len(y))")
    return reshape(weights, shape=(*given, *(1 for _ in shape[len(given):]))) * np.ones(shape, values.dtype)


def whole_sum(values: Any) -> Any:
    """The sum of all elements, as a scalar."""
    axes = tuple(range(len(values.shape)))
    return sum_(values, axes=axes) if axes else values


def average(values: Any) -> Any:
    """The mean of all elements, as a scalar."""
    n = int(np.prod(values.shape))
    total = whole_sum(values)
    return total if n == 1 else ew.mul(total, 1.0 / n)


def matched(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets with the axes of the predictions: a missing or surplus last axis of extent 1 is put right."""
    y_true, y_pred = array(y_true), array(y_pred)
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
    y_true = holding(y_true, shape[-1])
    return ew.eq(positions(y_pred, y_true.dtype), spread(y_true, last(y_pred), shape))


def positions(like: Any, dtype: Any) -> Any:
    """0, 1, 2, … along the last axis of an array of the shape of ``like``."""
    params = {"shape": tuple(like.shape), "dtype": np.dtype(dtype), "axis": len(like.shape) - 1}
    return type(like)(make(iota, (), params)) if isinstance(like, Traced) else iota.evaluate(**params)


def array(x: Any) -> Any:
    """A recorded array as it is, else a NumPy array."""
    return x if isinstance(x, Traced) else np.asarray(x)


def last(x: Any) -> tuple[int, ...]:
    """The last axis, as the operations take it."""
    return (len(x.shape) - 1,)


def total(x: Any) -> Any:
    """The sum over the last axis."""
    return sum_(x, axes=last(x))


def mean(x: Any) -> Any:
    """The mean over the last axis."""
    n = x.shape[-1]
    return reshape(x, shape=tuple(x.shape[:-1])) if n == 1 else ew.mul(total(x), 1.0 / n)


def clipped(p: Any) -> Any:
    """Probabilities that a logarithm can be taken of."""
    return ew.minimum(ew.maximum(p, EPSILON), 1.0 - EPSILON)


def axis_last(x: Any, axis: int) -> Any:
    """``x`` with an axis moved to the end."""
    return x if axis in (-1, len(x.shape) - 1) else np.moveaxis(x, axis, -1)


def named_dtype(dtype: Any) -> np.dtype:
    """A floating dtype."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if not dtypes.is_float(found):
        raise ArgumentError.of(f"got dtype={dtype!r}", "a floating dtype", "dtype='float32'")
    return found


def whole_axis(axis: Any) -> int:
    """``axis`` as a whole number."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ArgumentError.of(f"got axis={axis!r}", "a whole number", "axis=-1")
    return int(axis)


def snake_case(name: str) -> str:
    """``MeanSquaredError`` as ``mean_squared_error``, ``KLDivergence`` as ``kl_divergence``."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
