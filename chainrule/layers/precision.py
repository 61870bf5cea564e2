"""Mixed precision: weights are kept as float32, a layer computes and gives half numbers.

Sums and contractions add up in float32 and round once (``docs/design.md``); losses and metrics take their predictions
as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.errors import ArgumentError
from chainrule.layers.context import CALL
from chainrule.layers.parts import as_input
from chainrule.layers.weights import FLOAT, Weight
from chainrule.lazy import lazy

half = lazy("chainrule.half")  # which needs an extra

_POLICIES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def computed_in(name: str, dtype: Any) -> np.dtype:
    """The dtype in which the layer called ``name`` computes.

    Raises:
        ArgumentError: for a ``dtype`` other than None, float32 or a mixed policy.
        MissingExtra: where bfloat16 is not installed.
    """
    given = str(getattr(dtype, "name", getattr(dtype, "__name__", dtype)))  # of a policy, a dtype, a type
    if given in _POLICIES:
        return np.dtype(getattr(half, _POLICIES[given]))
    if dtype is not None and given != "float32":
        raise ArgumentError.of(f"layer {name!r} got dtype={dtype!r}",
                               "'float32', or 'mixed_bfloat16' or 'mixed_float16', which keep weights as float32",
                               "dtype='mixed_bfloat16'")
    return FLOAT


def in_dtype(x: Any, dtype: np.dtype) -> Any:
    """A container of arrays with its floats in the dtype that a layer computes in."""
    if dtype == FLOAT:
        return x
    return tree.map_leaves(lambda a: as_input(a, dtype) if dtypes.is_float(getattr(a, "dtype", _NONE)) else a, x)


def used(weight: Weight, dtype: np.dtype) -> Any:
    """What a layer reads of its weight: inside of a call in the dtype that it computes in, but state as it is kept."""
    if dtype == FLOAT or not weight.trainable or CALL.get() is None:
        return weight.value
    return in_dtype(weight.value, dtype)


_NONE = np.dtype(np.bool_)  # of what is no array
