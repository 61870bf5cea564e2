"""Cross-entropies, plain and focal.

They are computed from logits wherever these are known: with ``from_logits``, and whenever the recorded prediction is
itself a sigmoid or a softmax. That is stable for every logit, and the gradient of the plain ones with respect to the
logits is simply ``prediction - target``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.activations import log_softmax, logits_of, shifted
from chainrule.arguments import not_negative, share
from chainrule.losses.base import Loss, array, axis_last, clipped, is_label, last, matched, mean, total, whole_axis
from chainrule.ops import elementwise as ew
from chainrule.ops.reduce import spread


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0,
                        axis: int = -1) -> Any:
    """The mean over ``axis`` of ``-y log p - (1 - y) log(1 - p)``.

    Of logits z it is ``log(1 + exp(z)) - y z``; its gradient with respect to z is ``sigmoid(z) - y``.

    Args:
        y_true: targets from 0 to 1.
        y_pred: probabilities, or logits with ``from_logits``; the shape of ``y_true``.
        from_logits: whether ``y_pred`` is before the sigmoid.
        label_smoothing: targets are moved this share of the way to 1/2.
        axis: the mean is over it.

    Example:
        >>> binary_crossentropy(np.array([[1.0]]), np.array([[0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = matched(y_true, y_pred)
    return mean(axis_last(_binary(_smoothed(y_true, label_smoothing, 0.5), y_pred, from_logits)[0], axis))


def categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False,
                             label_smoothing: float = 0.0, axis: int = -1) -> Any:
    """``-Σ_c y_c log p_c`` over ``axis``.

    Args:
        y_true: one-hot rows, or other probabilities of the classes.
        y_pred: probabilities of the classes, or logits with ``from_logits``; the shape of ``y_true``.
        from_logits: whether ``y_pred`` is before the softmax.
        label_smoothing: targets are moved this share of the way to all classes alike.
        axis: that of the classes.

    Example:
        >>> categorical_crossentropy(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = (axis_last(y, axis) for y in matched(y_true, y_pred))
    y_true = _smoothed(y_true, label_smoothing, 1.0 / y_pred.shape[-1])
    logp = _log_probabilities(y_pred, from_logits)
    return ew.neg(total(ew.mul(y_true, logp)))


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False,
                                    ignore_class: int | None = None, axis: int = -1) -> Any:
    """``-log p_label`` over ``axis``.

    Args:
        y_true: whole numbers from 0 to the number of classes - 1, of the shape of ``y_pred`` without its last
            axis (or with 1 there).
        y_pred: probabilities of the classes, or logits with ``from_logits``.
        from_logits: whether ``y_pred`` is before the softmax.
        ignore_class: the loss of this label is 0.
        axis: that of the classes.

    Example:
        >>> sparse_categorical_crossentropy(np.array([1]), np.array([[0.5, 0.5]])).round(4)
        array([0.6931])
    """
    y_true, y_pred = array(y_true), axis_last(array(y_pred), axis)
    if ignore_class is not None:
        loss = sparse_categorical_crossentropy(np.where(y_true == ignore_class, 0, y_true), y_pred, from_logits)
        return np.where(np.reshape(y_true, loss.shape) == ignore_class, np.zeros((), loss.dtype), loss)
    chosen = is_label(y_true, y_pred)
    logits = y_pred if from_logits else logits_of(y_pred, "softmax")
    if logits is None:
        return ew.neg(total(ew.select(chosen, _log_normalized(y_pred), 0.0)))
    below = shifted(logits, last(logits))
    return ew.sub(ew.log(total(ew.exp(below))), total(ew.select(chosen, below, 0.0)))


def binary_focal_crossentropy(y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25,
                              gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0,
                              axis: int = -1) -> Any:
    """:func:`binary_crossentropy` with each term times ``(1 - p_t)^gamma``, p_t the probability of what is true.

    Args:
        y_true: targets from 0 to 1.
        y_pred: probabilities, or logits with ``from_logits``; the shape of ``y_true``.
        apply_class_balancing: whether terms of class 1 count ``alpha`` and those of class 0 count ``1 - alpha``.
        alpha: see above.
        gamma: how much less is counted what is right already.
        from_logits: whether ``y_pred`` is before the sigmoid.
        label_smoothing: targets are moved this share of the way to 1/2.
        axis: the mean is over it.

    Example:
        >>> binary_focal_crossentropy(np.array([[1.0]]), np.array([[0.5]])).round(4)
        array([0.1733])

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    y_true, y_pred = matched(y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 0.5)
    terms, p = _binary(y_true, y_pred, from_logits)
    terms = terms * _focus(y_true * p + (1.0 - y_true) * (1.0 - p), gamma)
    if apply_class_balancing:
        terms = terms * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return mean(axis_last(terms, axis))


def categorical_focal_crossentropy(y_true: Any, y_pred: Any, alpha: float = 0.25, gamma: float = 2.0,
                                   from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Any:
    """``-Σ_c alpha (1 - p_c)^gamma y_c log p_c`` over ``axis``.

    Args:
        y_true: one-hot rows, or other probabilities of the classes.
        y_pred: probabilities of the classes, or logits with ``from_logits``; the shape of ``y_true``.
        alpha: a factor.
        gamma: how much less is counted what is right already.
        from_logits: whether ``y_pred`` is before the softmax.
        label_smoothing: targets are moved this share of the way to all classes alike.
        axis: that of the classes.

    Example:
        >>> categorical_focal_crossentropy(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).round(4)
        array([0.0433])

    Source: as :func:`binary_focal_crossentropy`.
    """
    y_true, y_pred = (axis_last(y, axis) for y in matched(y_true, y_pred))
    y_true = _smoothed(y_true, label_smoothing, 1.0 / y_pred.shape[-1])
    logp = _log_probabilities(y_pred, from_logits)
    return -total(y_true * logp * _focus(np.exp(logp), gamma)) * alpha


def _smoothed(y_true: Any, share_of: float, towards: float) -> Any:
    return ew.add(ew.mul(y_true, 1.0 - share_of), share_of * towards) if share_of else y_true


def _binary(y_true: Any, y_pred: Any, from_logits: bool) -> tuple[Any, Any]:
    """The cross-entropy of each element, and its probability."""
    logits = y_pred if from_logits else logits_of(y_pred, "sigmoid")
    if logits is not None:
        return ew.sub(ew.softplus(logits), ew.mul(y_true, logits)), ew.sigmoid(logits) if from_logits else y_pred
    p = clipped(y_pred)
    likelihood = ew.add(ew.mul(y_true, ew.log(p)), ew.mul(ew.sub(1.0, y_true), ew.log(ew.sub(1.0, p))))
    return ew.neg(likelihood), p


def _log_probabilities(y_pred: Any, from_logits: bool) -> Any:
    logits = y_pred if from_logits else logits_of(y_pred, "softmax")
    return _log_normalized(y_pred) if logits is None else log_softmax(logits)


def _log_normalized(p: Any) -> Any:
    """The logarithm of probabilities of unknown origin, made to sum to 1."""
    return ew.log(clipped(ew.div(p, spread(total(p), last(p), p.shape))))


def _focus(p: Any, gamma: float) -> Any:
    """``(1 - p)^gamma``."""
    rest = 1.0 - p
    return rest * rest if gamma == 2.0 else np.maximum(rest, 0.0) ** gamma


class BinaryCrossentropy(Loss):
    """For targets 0 or 1 and the output of a sigmoid: :func:`binary_crossentropy`.

    Example:
        >>> round(float(BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]])), 4)
        0.6931
    """

    labels = "probabilities"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing = from_logits, share("label_smoothing", label_smoothing, one=True)
        self.axis = whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class CategoricalCrossentropy(Loss):
    """For one-hot targets and the output of a softmax: :func:`categorical_crossentropy`."""

    labels = "probabilities"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing = from_logits, share("label_smoothing", label_smoothing, one=True)
        self.axis = whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class SparseCategoricalCrossentropy(Loss):
    """For whole numbers as targets and the output of a softmax: :func:`sparse_categorical_crossentropy`.

    Args:
        from_logits: whether predictions are before the softmax.
        ignore_class: samples of this label do not count; it need not be one of the classes.
        reduction: as in :class:`Loss`.
        axis: that of the classes.
        name: of the loss.
    """

    @property
    def labels(self) -> str:  # type: ignore[override]
        """Labels are checked beforehand where all of them name classes along the last axis."""
        return "classes" if self.ignore_class is None and self.axis == -1 else "anything"

    def __init__(self, from_logits: bool = False, ignore_class: int | None = None,
                 reduction: str | None = "sum_over_batch_size", axis: int = -1, name: str | None = None,
                 dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, self.ignore_class, self.axis)

    def valid(self, y_true: Any, y_pred: Any) -> Any:
        """Where the label is not the one to ignore."""
        if self.ignore_class is None:
            return None
        y_true, y_pred = array(y_true), axis_last(array(y_pred), self.axis)
        return np.reshape(y_true, tuple(y_pred.shape[:-1])) != self.ignore_class


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy that counts less what is right already: :func:`binary_focal_crossentropy`."""

    labels = "probabilities"

    def __init__(self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
                 from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing, self.alpha = bool(apply_class_balancing), share("alpha", alpha, one=True)
        self.gamma, self.from_logits = not_negative("gamma", gamma), from_logits
        self.label_smoothing, self.axis = share("label_smoothing", label_smoothing, one=True), whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The focal cross-entropy of each sample."""
        return binary_focal_crossentropy(y_true, y_pred, self.apply_class_balancing, self.alpha, self.gamma,
                                         self.from_logits, self.label_smoothing, self.axis)


class CategoricalFocalCrossentropy(Loss):
    """Cross-entropy that counts less what is right already: :func:`categorical_focal_crossentropy`."""

    labels = "probabilities"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
                 label_smoothing: float = 0.0, axis: int = -1, reduction: str | None = "sum_over_batch_size",
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.gamma, self.from_logits = alpha, not_negative("gamma", gamma), from_logits
        self.label_smoothing, self.axis = share("label_smoothing", label_smoothing, one=True), whole_axis(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The focal cross-entropy of each sample."""
        return categorical_focal_crossentropy(y_true, y_pred, self.alpha, self.gamma, self.from_logits,
                                              self.label_smoothing, self.axis)
