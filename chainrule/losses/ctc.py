"""Connectionist temporal classification: labels of a sequence whose timing is not known."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.activations import log_softmax
from chainrule.control import scan
from chainrule.errors import ShapeError
from chainrule.losses.base import Plain, array

_NEVER = -1e9  # the logarithm of the probability of what cannot be


def ctc(y_true: Any, y_pred: Any) -> Any:
    """``-log P(labels | predictions)``, the sum over all ways to spread the labels over time, blanks between them.

    Args:
        y_true: ``(batch, labels)`` whole numbers; 0 is the blank and fills up short sequences at their end; as
            many labels count as are not 0.
        y_pred: ``(batch, time, classes)`` logits.

    Returns:
        ``(batch,)``. Labels that do not fit into the time have a loss of about 10⁹.

    Example:
        >>> ctc(np.array([[1]]), np.zeros((1, 2, 2))).round(4)   # 3 of the 4 equally likely paths: 11, 01, 10
        array([0.2877])

    Source: Graves et al., "Connectionist temporal classification", ICML 2006.
    """
    y_true, y_pred = array(y_true), array(y_pred)
    if len(y_true.shape) != 2 or len(y_pred.shape) != 3 or y_true.shape[0] != y_pred.shape[0]:
        raise ShapeError.of(f"ctc got targets of shape {tuple(y_true.shape)} and predictions of shape "
                            f"{tuple(y_pred.shape)}", "(batch, labels) and (batch, time, classes)",
                            "Dense(classes)   # as the last layer, at every time")
    batch, n = y_true.shape
    labels = y_true.astype(np.int32)
    # blanks before, between and after the labels
    states = np.reshape(np.stack([np.zeros_like(labels), labels], axis=-1), (batch, 2 * n))
    states = np.concatenate([states, np.zeros((batch, 1), np.int32)], axis=1)
    before = np.concatenate([np.full((batch, 1), -1, np.int32), labels[:, :-1]], axis=1)
    new = np.reshape(np.stack([np.zeros(labels.shape, bool), labels != before], axis=-1), (batch, 2 * n))
    skips = np.concatenate([new, np.zeros((batch, 1), bool)], axis=1)  # the blank before a new label may be left out
    time = y_pred.shape[1]
    each = np.broadcast_to(states[:, None, :], (batch, time, 2 * n + 1))
    logp = np.take_along_axis(log_softmax(y_pred), each, axis=2)
    first = np.concatenate([logp[:, 0, :2], np.full((batch, 2 * n - 1), _NEVER, y_pred.dtype)], axis=1)

    def moved(alpha: Any, by: int) -> Any:
        return np.concatenate([np.full((batch, by), _NEVER, y_pred.dtype), alpha[:, :-by]], axis=1)

    def step(alpha: Any, here: Any) -> tuple[Any, None]:
        ways = alpha, moved(alpha, 1), np.where(skips, moved(alpha, 2), np.asarray(_NEVER, y_pred.dtype))
        return _log_sum(*ways) + here, None
    alpha = first if time == 1 else scan(step, first, np.moveaxis(logp[:, 1:], 1, 0))[0]
    length: Any = np.sum(labels != 0, axis=1, keepdims=True, dtype=np.int32)
    place = np.arange(2 * n + 1, dtype=np.int32)[None, :]
    end = (place == 2 * length) | ((place == 2 * length - 1) & (length > 0))
    return -_log_sums(np.where(end, alpha, np.asarray(_NEVER, y_pred.dtype)))


def _log_sum(a: Any, b: Any, c: Any) -> Any:
    largest = np.maximum(np.maximum(a, b), c)
    return largest + np.log(np.exp(a - largest) + np.exp(b - largest) + np.exp(c - largest))


def _log_sums(x: Any) -> Any:
    largest = np.max(x, axis=-1, keepdims=True)
    return largest[..., 0] + np.log(np.sum(np.exp(x - largest), axis=-1))


class CTC(Plain):
    """For sequences of labels: :func:`ctc`."""

    labels = "anything"
    function = staticmethod(ctc)
