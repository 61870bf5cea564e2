"""What the families of array functions share: registering a rule, arguments, reduced shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ChainruleTypeError
from chainrule.graph import user_source
from chainrule.ops import structure
from chainrule.ops.declare import Traced, constant_node, make
from chainrule.ops.index import iota
from chainrule.trace import FUNCTIONS

Rule = Callable[..., Any]


def records(*functions: Any) -> Callable[[Rule], Rule]:
    """Make the decorated rule what the NumPy ``functions`` do on traced arrays.

    A ufunc's method is a pair: ``(np.add, "reduce")``.
    """
    def register(rule: Rule) -> Rule:
        for function in functions:
            FUNCTIONS[function] = rule
        return rule
    return register


def array(x: Any) -> Any:
    """An argument as an array: traced, or of NumPy."""
    return x if isinstance(x, Traced) else np.asarray(x)


def traced(*args: Any) -> bool:
    """Whether any of the arguments is being recorded."""
    return any(isinstance(a, Traced) for a in args)


def depends_on_values(what: str, corrected: str) -> ChainruleTypeError:
    """The error for a result whose shape only the values decide, and so cannot be recorded."""
    source = user_source()
    where = f" (line {source.line} of {source.file})" if source else ""
    return ChainruleTypeError.of(f"the shape of {what} depends on the values of a traced array{where}",
                                 "a result of a known shape", corrected)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis`` (None for all, one, or several; negative from the end) as sorted axes."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, ndim)))


def axis_of(axis: Any, ndim: int) -> int:
    """One axis, counted from the front."""
    return int(np.lib.array_utils.normalize_axis_index(axis, ndim))


def count(shape: Sequence[int], axes: Sequence[int]) -> int:
    """How many elements are combined in a reduction of an array of ``shape``."""
    return math.prod(shape[a] for a in axes)


def kept(out: Any, axes: Sequence[int], shape: Sequence[int], keepdims: bool) -> Any:
    """A reduced array, with extents of 1 put back where asked."""
    if not keepdims:
        return out
    return reshaped(out, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def reshaped(x: Any, shape: Sequence[int]) -> Any:
    """``x`` in another shape; no node if it has that one."""
    return x if x.shape == tuple(shape) else structure.reshape(x, shape=tuple(shape))


def transposed(x: Any, axes: Sequence[int]) -> Any:
    """``x`` with its axes in another order; no node if they are."""
    return x if tuple(axes) == tuple(range(len(x.shape))) else structure.transpose(x, axes=tuple(axes))


def sliced(x: Any, axis: int, start: int, stop: int) -> Any:
    """``x[..., start:stop, ...]`` along one axis."""
    shape = x.shape
    if (start, stop) == (0, shape[axis]):
        return x
    return structure.slice_(x, start=tuple(start if i == axis else 0 for i in range(len(shape))),
                            stop=tuple(stop if i == axis else n for i, n in enumerate(shape)), step=(1,) * len(shape))


def filled(like: Any, shape: Sequence[int], value: Any, dtype: Any) -> Any:
    """An array of one value: traced, and nothing is stored for it."""
    scalar = type(like)(constant_node(np.asarray(value, dtype))) if isinstance(like, Traced) else np.asarray(value,
                                                                                                             dtype)
    return structure.broadcast(scalar, shape=tuple(shape), dims=()) if shape else scalar


def positions(like: Any, shape: Sequence[int], axis: int, dtype: Any = np.int64) -> Any:
    """0, 1, 2, … along ``axis`` of an array of ``shape``: traced if ``like`` is, and computed, not stored."""
    params = {"shape": tuple(shape), "dtype": np.dtype(dtype), "axis": axis}
    return type(like)(make(iota, (), params)) if isinstance(like, Traced) else iota.reference(**params)


def last(x: Any, axis: int) -> Any:
    """``x`` with one axis (counted from the front) moved to the end."""
    return transposed(x, [i for i in range(len(x.shape)) if i != axis] + [axis])


def from_last(x: Any, axis: int) -> Any:
    """``x`` with the last axis moved to ``axis``: undoes :func:`last`."""
    order = list(range(len(x.shape) - 1))
    order.insert(axis, len(order))
    return transposed(x, order)
