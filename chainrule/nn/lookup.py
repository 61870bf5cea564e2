"""From whole numbers to vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.indexing import checked_indices, holding
from chainrule.numpy.common import axis_of, positions
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, dtype_of, shape_of
from chainrule.ops.index import take
from chainrule.ops.reduce import spread


def one_hot(labels: Any, classes: int, axis: int = -1, dtype: Any = np.float32) -> Any:
    """1 at the position that a label names, 0 elsewhere; a label out of range gives zeros only.

    Args:
        labels: whole numbers of any shape.
        classes: the extent of the new axis.
        axis: where the new axis is in the result.
        dtype: of the result.

    Example:
        >>> one_hot(np.array([0, 2]), 3)
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    labels = _whole_numbers("one_hot", labels)
    shape = list(labels.shape)
    at = axis_of(axis, len(shape) + 1)
    shape.insert(at, whole("classes", classes, 0))
    labels = holding(labels, shape[at])
    same = ew.eq(positions(labels, shape, at, labels.dtype), spread(labels, (at,), tuple(shape)))
    return ew.cast(same, dtype=np.dtype(dtype))


def embedding(ids: Any, table: Any) -> Any:
    """The rows of ``table`` that ``ids`` name: of shape ``(*ids.shape, *table.shape[1:])``.

    Known ids must be in range, negative ones count from the end; traced ids beyond the table give its first or last
    row.

    Args:
        ids: whole numbers of any shape.
        table: of shape (rows, …).

    Example:
        >>> embedding(np.array([[2, 0]]), np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
        array([[[4., 5.],
                [0., 1.]]])
    """
    ids = _whole_numbers("embedding", ids)
    rows = shape_of(table)
    if not rows:
        raise ShapeError.of("the function embedding got a scalar table", "a table of shape (rows, width)",
                            "np.zeros((1000, 64))")
    return take(table, checked_indices(ids, rows[0], 0), axis=0)


def _whole_numbers(name: str, x: Any) -> Any:
    if dtype_of(x).kind not in "iu":
        raise ChainruleTypeError.of(f"the function {name} got numbers of dtype {dtype_of(x)}", "whole numbers",
                                    "labels.astype(np.int64)")
    return x if isinstance(x, Traced) else np.asarray(x)
