"""What kernels that operations emit themselves share: blocks of lanes, and the order in which NaN comes last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes

_BLOCK = 64  # bytes that one step along contiguous elements handles


def precedes(e: Any, x: Any, y: Any) -> Any:
    """Whether ``x`` is sorted before ``y``: it is smaller, or it is a number and ``y`` is NaN."""
    smaller = e.lt(x, y)
    if not dtypes.is_float(x.dtype):
        return smaller
    return e.or_(smaller, e.and_(e.isnan(y), e.not_(e.isnan(x))))


def along(e: Any, extent: int, dtype: np.dtype, body: Callable[[Any, int], None]) -> None:
    """``body(start, lanes)`` for blocks that cover ``extent`` contiguous elements: wide ones, then single ones."""
    lanes = min(_BLOCK // dtype.itemsize, 1 << max(extent.bit_length() - 1, 0))
    whole = extent // lanes * lanes
    with e.loop(0, whole, lanes) as blocks:
        body(blocks.index, lanes)
    if whole < extent:
        with e.loop(whole, extent) as rest:
            body(rest.index, 1)


def plus(e: Any, x: Any, y: Any) -> Any:
    """The sum of two offsets, each a number known now or one computed then."""
    x, y = (e.index(n) if isinstance(n, int) else n for n in (x, y))
    return e.add(x, y)


def times(e: Any, x: Any, n: int) -> Any:
    """An offset times a known number."""
    return e.mul(x, e.index(n))
