"""What the distributions share: the shape and dtype of a result, and parameters that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.ops.declare import Traced, broadcast_shapes, convert, shape_of

Shape = int | Sequence[int] | None
FLOAT64 = np.dtype(np.float64)


def extents(shape: Shape, *parameters: Any) -> tuple[int, ...]:
    """``shape`` as a tuple, to which the parameters must broadcast; None is what they broadcast to themselves."""
    own = broadcast_shapes(*(shape_of(p) for p in parameters)) if parameters else ()
    if shape is None:
        return own
    wanted = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0 for n in wanted):
        raise ArgumentError.of(f"got shape={shape!r}", "whole numbers, 0 or more", "shape=(3, 4)")
    wanted = tuple(int(n) for n in wanted)
    if parameters and broadcast_shapes(own, wanted) != wanted:
        raise ShapeError.of(f"parameters of shape {own} for a result of shape {wanted}",
                            "parameters that broadcast to it", f"shape={broadcast_shapes(own, wanted)}")
    return wanted


def working(dtype: Any) -> np.dtype:
    """The dtype in which numbers of ``dtype`` are computed: float64 for itself, float32 for the others."""
    dtype = np.dtype(dtype)
    if not dtypes.is_float(dtype):
        raise ChainruleTypeError.of(f"got dtype={dtype}", "a floating dtype", "dtype=np.float32")
    return FLOAT64 if dtype == FLOAT64 else np.dtype(np.float32)


def whole_dtype(dtype: Any) -> np.dtype:
    """A dtype of whole numbers."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        raise ChainruleTypeError.of(f"got dtype={dtype}", "a dtype of whole numbers", "dtype=np.int64")
    return dtype


def positive(name: str, value: Any, dtype: np.dtype) -> Any:
    """A parameter in ``dtype``, its elements above 0 where they are known."""
    return _checked(name, value, dtype, lambda x: x > 0, "numbers above 0", "1.0")


def not_negative(name: str, value: Any, dtype: np.dtype) -> Any:
    """A parameter in ``dtype``, its elements 0 or more where they are known."""
    return _checked(name, value, dtype, lambda x: x >= 0, "numbers of 0 or more", "1.0")


def probability(name: str, value: Any, dtype: np.dtype = FLOAT64) -> Any:
    """A parameter in ``dtype``, its elements from 0 to 1 where they are known."""
    return _checked(name, value, dtype, lambda x: (x >= 0) & (x <= 1), "numbers from 0 to 1", "0.5")


def ordered(low_name: str, low: Any, high_name: str, high: Any, strictly: bool = False) -> None:
    """Refuse known bounds in the wrong order."""
    a, b = known(low), known(high)
    if a is None or b is None or np.all(np.less(a, b) if strictly else np.less_equal(a, b)):
        return
    raise ArgumentError.of(f"got {low_name}={_shown(a)} and {high_name}={_shown(b)}",
                           f"{low_name} {'below' if strictly else 'not above'} {high_name}",
                           f"{low_name}=0, {high_name}=1")


def known(x: Any) -> Any:
    """The values of an array, None if they are only known when a compiled function runs."""
    return x.node.value if isinstance(x, Traced) else x


def _checked(name: str, value: Any, dtype: np.dtype, fits: Callable[[Any], Any], described: str, example: str) -> Any:
    values = known(value)
    if values is not None and not np.all(fits(np.asarray(values))):
        raise ArgumentError.of(f"got {name}={_shown(values)}", described, f"{name}={example}")
    return convert(value, dtype)


def _shown(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=6, precision=4)
