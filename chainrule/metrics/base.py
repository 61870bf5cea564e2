"""What all metrics share: they are functions of sums, which the running program adds up batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.configuration import Configured
from chainrule.losses.base import array, fitted, snake_case, whole_sum
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.recorded import STEP, Reported

DOUBLE = np.dtype(np.float64)
Shape = tuple[int | None, ...]
Sums = dict[str, Any]


class Metric(Configured):
    """What is reported beside the loss: a function of sums over the samples.

    A subclass defines :meth:`sums`, what it adds up; :meth:`measure`, what a batch adds; and :meth:`outcome`, the
    value. The first two become part of the program that trains, the last is asked for once an epoch.

    :meth:`update_state`, :meth:`result` and :meth:`reset_state` add up over several batches, as in Keras. Called
    itself, ``metric(y_true, y_pred, sample_weight=None)``, it adds a batch and gives the metric of all so far; while a
    program is recorded, the metric of the batch.

    Args:
        name: what the value is reported as; by default the class's name in lower case.
        dtype: of the value; None: that of the sums.
    """

    kind = "metric"

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype = None if dtype is None else np.dtype(dtype)
        self._kept: tuple[Sums, int] | None = None

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """The names and shapes of what is added up, for targets and predictions of these shapes."""
        raise NotImplementedError

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """What a batch adds to each of the sums."""
        raise NotImplementedError

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The value, from the sums over ``samples`` samples."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch: the metric of all so far."""
        y_true, y_pred = array(y_true), array(y_pred)
        if isinstance(y_true, Traced) or isinstance(y_pred, Traced):
            return self._typed(self.outcome(self.measure(y_true, y_pred, sample_weight), _samples(y_pred)))
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to what :meth:`result` is the metric of; also in a ``train_step``, which is recorded."""
        y_true, y_pred = array(y_true), array(y_pred)
        self._add(self.measure(y_true, y_pred, sample_weight), _samples(y_pred))

    def _add(self, sums: Sums, samples: int) -> None:
        step = STEP.get()
        if step is not None:
            step.add(self, sums, samples)
            return
        if self._kept is not None:
            sums = {k: v + self._kept[0][k] for k, v in sums.items()}
            samples += self._kept[1]
        self._kept = {k: np.asarray(v, DOUBLE) for k, v in sums.items()}, samples

    def result(self) -> Any:
        """The metric of all batches given to :meth:`update_state` since :meth:`reset_state`; 0 if there was none.

        In a ``train_step`` it stands for the metric of the epoch, and can only be returned.
        """
        if STEP.get() is not None:
            return Reported(self)
        return self._typed(0.0 if self._kept is None else self.outcome(*self._kept))

    def _typed(self, value: Any) -> Any:
        return value if self.dtype is None else ew.cast(array(value), dtype=self.dtype)

    def reset_state(self) -> None:
        """Forget the batches."""
        step = STEP.get()
        if step is not None:
            step.reset(self)
        self._kept = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class MeanMetric(Metric):
    """The mean of a value per sample. A subclass defines ``call(y_true, y_pred)``, a bool or float per sample."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each sample."""
        raise NotImplementedError

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """The total, and the sum of the weights if there are any."""
        return {"total": (), "count": ()} if weighted else {"total": ()}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The sum of the values, in units of samples."""
        values = self.call(array(y_true), array(y_pred))
        if not dtypes.is_float(values.dtype):
            values = ew.cast(values, dtype=np.dtype(np.float32))
        if sample_weight is not None:
            weights = fitted(sample_weight, values)
            return {"total": whole_sum(values * weights), "count": whole_sum(weights)}
        each = _samples(y_pred) / (values.size or 1)  # so that batches count by their size
        total = whole_sum(values)
        return {"total": total if each == 1 else ew.mul(total, each)}

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The mean."""
        if "count" in sums:
            return ratio(sums["total"], sums["count"])
        return sums["total"] * (1.0 / samples)


class FunctionMetric(MeanMetric):
    """The mean of any function of ``(y_true, y_pred)`` that gives a value per sample, or one number.

    Args:
        function: the function.
        name: what the value is reported as; by default the function's name.
        dtype: of the value.
        options: further arguments of the function.

    Example:
        >>> float(FunctionMetric(lambda y, p: np.abs(y - p), "error")([1.0, 2.0], [1.0, 4.0]))
        1.0
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, dtype: Any = None,
                 **options: Any) -> None:
        super().__init__(name or getattr(function, "__name__", "metric"), dtype)
        self.function, self.options = function, options

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What the function gives."""
        return self.function(y_true, y_pred, **self.options)


class MeanMetricWrapper(FunctionMetric):
    """:class:`FunctionMetric` with Keras's name and argument ``fn``."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **options: Any) -> None:
        super().__init__(fn, name, dtype, **options)


class Sum(Metric):
    """The sum of values: ``update_state(values, sample_weight=None)``.

    Example:
        >>> float(Sum()([1.0, 2.0, 3.0]))
        6.0
    """

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add values."""
        self._add(*self._measured(values, sample_weight))

    def __call__(self, values: Any, sample_weight: Any = None) -> Any:  # type: ignore[override]
        """Add values: the value for all so far."""
        if isinstance(values, Traced):
            return self._typed(self.outcome(*self._measured(values, sample_weight)))
        self.update_state(values, sample_weight)
        return self.result()

    def _measured(self, values: Any, sample_weight: Any) -> tuple[Sums, int]:
        values = array(values)
        values = values if dtypes.is_float(values.dtype) else ew.cast(values, dtype=np.dtype(np.float32))
        weights = fitted(1.0 if sample_weight is None else sample_weight, values)
        return {"total": whole_sum(values * weights), "count": whole_sum(weights)}, 0

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The sum."""
        return sums["total"]


class Mean(Sum):
    """The mean of values: ``update_state(values, sample_weight=None)``.

    Example:
        >>> mean = Mean()
        >>> mean.update_state([1.0, 3.0])
        >>> mean.update_state(8.0)
        >>> float(mean.result())
        4.0
    """

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The mean."""
        return ratio(sums["total"], sums["count"])


def ratio(a: Any, b: Any) -> Any:
    """``a / b``, and 0 where ``b`` is 0."""
    zero = b == 0
    return np.where(zero, 0.0, a / np.where(zero, 1.0, b))


def _samples(y_pred: Any) -> int:
    return y_pred.shape[0] if len(y_pred.shape) else 1


__all__ = ["FunctionMetric", "Mean", "MeanMetric", "MeanMetricWrapper", "Metric", "Sum", "ratio"]
