"""Intersection over union: how well two partitions into classes overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ArgumentError
from chainrule.losses.base import array, fitted
from chainrule.metrics.base import Metric, Shape, Sums, ratio
from chainrule.numpy import at


class IoU(Metric):
    """The mean, over some classes, of ``tp / (tp + fp + fn)``.

    Args:
        num_classes: how many classes there are.
        target_class_ids: those that count.
        name: what the value is reported as.
        dtype: of the value.
        ignore_class: targets of this label do not count.
        sparse_y_true: whether targets are class labels; else the largest element along ``axis`` says the class.
        sparse_y_pred: likewise for predictions.
        axis: that of the classes.

    Example:
        >>> float(IoU(2, [0])([0, 0, 1, 1], [0, 1, 0, 1]).round(4))
        0.3333
    """

    def __init__(self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None,
                 dtype: Any = None, ignore_class: int | None = None, sparse_y_true: bool = True,
                 sparse_y_pred: bool = True, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.num_classes = whole("num_classes", num_classes)
        self.target_class_ids = list(target_class_ids)
        if any(not 0 <= i < self.num_classes for i in self.target_class_ids) or not self.target_class_ids:
            raise ArgumentError.of(f"got target_class_ids={self.target_class_ids}",
                                   f"classes from 0 to {self.num_classes - 1}", "target_class_ids=[0]")
        self.ignore_class = ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = bool(sparse_y_true), bool(sparse_y_pred), axis

    def sums(self, y_shape: Shape, output_shape: Shape, weighted: bool) -> dict[str, tuple[int, ...]]:
        """How often each class was taken for each."""
        return {"matrix": (self.num_classes, self.num_classes)}

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The matrix of a batch."""
        real, found = self.labels(array(y_true), self.sparse_y_true), self.labels(array(y_pred), self.sparse_y_pred)
        real, n = np.reshape(real, found.shape), self.num_classes
        weights = np.ones(found.shape, np.float32)
        if sample_weight is not None:
            weights = fitted(sample_weight, weights)
        kept = (real >= 0) & (real < n) & (found >= 0) & (found < n)
        if self.ignore_class is not None:
            kept = kept & (real != self.ignore_class)
        weights = weights * kept.astype(weights.dtype)
        real, found = np.where(kept, real, 0), np.where(kept, found, 0)
        matrix = at(np.zeros(n * n, weights.dtype), np.ravel(real * n + found)).add(np.ravel(weights))
        return {"matrix": np.reshape(matrix, (n, n))}

    def labels(self, y: Any, sparse: bool) -> Any:
        """The classes of targets or predictions."""
        return (y if sparse else np.argmax(y, axis=self.axis)).astype(np.int32)

    def outcome(self, sums: Sums, samples: int) -> Any:
        """The mean over the classes that occur."""
        matrix, wanted = sums["matrix"], np.asarray(self.target_class_ids)
        both = np.sum(matrix * np.eye(self.num_classes), axis=0)
        union = (np.sum(matrix, axis=0) + np.sum(matrix, axis=1) - both)[wanted]
        return ratio(np.sum(ratio(both[wanted], union)), np.sum((union > 0).astype(np.float64)))


class MeanIoU(IoU):
    """:class:`IoU` over all classes.

    Example:
        >>> float(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]).round(4))
        0.3333
    """

    def __init__(self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
                 sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1) -> None:
        super().__init__(num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """:class:`IoU` of one-hot targets and of scores of the classes."""

    def __init__(self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None,
                 dtype: Any = None, ignore_class: int | None = None, sparse_y_pred: bool = False,
                 axis: int = -1) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """:class:`MeanIoU` of one-hot targets and of scores of the classes."""

    def __init__(self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
                 sparse_y_pred: bool = False, axis: int = -1) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """:class:`IoU` of the two classes above and not above a threshold.

    Example:
        >>> float(BinaryIoU()([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]).round(4))
        0.5833
    """

    def __init__(self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5,
                 name: str | None = None, dtype: Any = None) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Sums:
        """The matrix of a batch, predictions by the side of the threshold they are on."""
        return super().measure(y_true, array(y_pred) >= self.threshold, sample_weight)
