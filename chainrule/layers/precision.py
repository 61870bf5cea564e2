"""Mixed precision: weights are kept as float32, a layer computes and gives half numbers.

Sums and contractions add up in float32 and round once (``docs/design.md``); losses and metrics take their predictions
as float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


class _Setting:
    policy = "float32"  # read where a layer is made, and nowhere else


def dtype_policy() -> str:
    """What layers that are made now compute in, where their ``dtype`` does not say it.

    Example:
        >>> dtype_policy()
        'float32'
    """
    return _Setting.policy


def set_dtype_policy(policy: Any) -> str:
    """Say what layers compute in that are made from now on, where their ``dtype`` does not say it.

    Args:
        policy: ``"float32"``; or ``"mixed_float16"`` or ``"mixed_bfloat16"``: weights are float32, while what layers
            take, multiply and give is of half that size. A model that is made while it is ``"mixed_float16"`` gets a
            ``LossScaleOptimizer`` around the optimizer of ``compile``.

    Returns:
        The policy before.

    Raises:
        ArgumentError: for any other policy; nothing is changed then.
        MissingExtra: where bfloat16 is not installed.

    Example:
        >>> from chainrule import layers, mixed_precision
        >>> before = mixed_precision.set_dtype_policy("mixed_float16")
        >>> layers.Dense(2)(np.ones((1, 3), np.float32)).dtype
        dtype('float16')
        >>> mixed_precision.set_dtype_policy(before)
        'mixed_float16'

    Source: Micikevicius et al., "Mixed precision training", ICLR 2018.
    """
    before, name = _Setting.policy, _named(policy)
    if name not in ("float32", *_POLICIES):
        raise ArgumentError.of(f"set_dtype_policy got {policy!r}", f"'float32', {', '.join(map(repr, _POLICIES))}",
                               "set_dtype_policy('mixed_bfloat16')")
    computed_in("", name)  # or an error that says what is to be installed
    _Setting.policy = name
    return before


@contextmanager
def under(policy: str) -> Iterator[None]:
    """Inside, layers are made with this policy, whatever the program has set."""
    before, _Setting.policy = _Setting.policy, policy
    try:
        yield
    finally:
        _Setting.policy = before


def _named(policy: Any) -> str:
    """The name of a policy, a dtype, a type."""
    return str(getattr(policy, "name", getattr(policy, "__name__", policy)))


def computed_in(name: str, dtype: Any) -> np.dtype:
    """The dtype in which the layer called ``name`` computes.

    Raises:
        ArgumentError: for a ``dtype`` other than None (as :func:`dtype_policy` says), float32 or a mixed policy.
        MissingExtra: where bfloat16 is not installed.
    """
    given = _Setting.policy if dtype is None else _named(dtype)
    if given in _POLICIES:
        return np.dtype(getattr(half, _POLICIES[given]))
    if given != "float32":
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
